//! The outcome of a command that appended an event: it is the answer to the sender, and is
//! remembered in case the command is sent again.
//!
//! It knows no subprotocol.

use ringway_hub::{Cursor, Liveness};

use crate::{
    broker::{NotifyOutcome, Place},
    memory::OutOfMemory,
};

/// The outcome of a command.
#[derive(Debug)]
pub struct Receipt {
    /// The event's place in the log; the log's end if no recipient gets it; the log's beginning
    /// while the event is pending.
    pub cursor: Cursor,
    outcome: Option<Outcomes>,
}

/// One outcome for each recipient. The names are concatenated, so that many recipients cost only
/// two allocations.
#[derive(Debug, Default)]
struct Outcomes {
    names: String,
    /// The end of each name, and the outcome for that recipient.
    ends: Vec<(u32, NotifyOutcome)>,
}

/// Memory for a receipt: reserved before the event is appended, which must then be acknowledged.
#[derive(Debug)]
pub struct ReceiptRoom(Outcomes);

impl ReceiptRoom {
    /// Reserves memory for these recipients.
    ///
    /// # Errors
    /// [`OutOfMemory`]
    pub fn new<S: AsRef<str>>(recipients: &[S]) -> Result<Self, OutOfMemory> {
        let mut outcomes = Outcomes::default();
        let bytes = recipients.iter().map(|name| name.as_ref().len()).sum();
        outcomes.names.try_reserve_exact(bytes).map_err(|_| OutOfMemory)?;
        outcomes.ends.try_reserve_exact(recipients.len()).map_err(|_| OutOfMemory)?;
        Ok(Self(outcomes))
    }

    /// The receipt of a notify.
    pub fn notified(self, place: Place, outcome: &[(&str, NotifyOutcome)]) -> Receipt {
        let Self(mut outcomes) = self;
        for (name, of) in outcome {
            outcomes.names.push_str(name);
            outcomes.ends.push((outcomes.names.len() as u32, *of));
        }
        Receipt { cursor: place.cursor(), outcome: Some(outcomes) }
    }
}

impl Receipt {
    /// The receipt of a publish.
    pub fn published(place: Place) -> Self {
        Self { cursor: place.cursor(), outcome: None }
    }

    /// The outcome for each recipient, without duplicates; `None` for a publish.
    ///
    /// ```
    /// use ringway::broker::{Place, ReceiptRoom};
    /// use ringway_hub::{Cursor, Epoch, NotifyOutcome};
    /// let outcome = [("ann", NotifyOutcome::Delivered), ("bob", NotifyOutcome::Queued)];
    /// let room = ReceiptRoom::new(&["ann", "bob"]).unwrap();
    /// let place = Place::At(Cursor { epoch: Epoch::new(1), sequence: 7 });
    /// let receipt = room.notified(place, &outcome);
    /// assert!(receipt.outcome().unwrap().eq(outcome));
    /// ```
    pub fn outcome(&self) -> Option<impl Iterator<Item = (&str, NotifyOutcome)>> {
        let Outcomes { names, ends } = self.outcome.as_ref()?;
        let mut start = 0;
        Some(ends.iter().map(move |(end, of)| {
            let name = &names[start..*end as usize];
            start = *end as usize;
            (name, *of)
        }))
    }

    /// Fills in the event's place, which was not known before. Recipients that are connected now
    /// get the event.
    pub(super) fn place(&mut self, cursor: Cursor, liveness: impl Fn(&str) -> Liveness) {
        self.cursor = cursor;
        let Some(Outcomes { names, ends }) = &mut self.outcome else { return };
        let mut start = 0;
        for (end, of) in ends {
            let name = &names[start..*end as usize];
            start = *end as usize;
            if *of == NotifyOutcome::Queued && liveness(name) == Liveness::Live {
                *of = NotifyOutcome::Delivered;
            }
        }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let outcomes = self.outcome.as_ref().map_or(0, |outcomes| {
            outcomes.names.capacity() + outcomes.ends.capacity() * size_of::<(u32, NotifyOutcome)>()
        });
        size_of::<Self>() + outcomes
    }
}
