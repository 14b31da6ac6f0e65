//! Events that a core has read and still needs in its turn, used in place: they are neither copied
//! nor reference-counted one by one.
//!
//! A pinned segment keeps all later ones alive, so nothing stays pinned when the turn ends. An
//! event that is needed for longer is copied ([`Event::try_copy`]).

use std::sync::Arc;

use crate::event::Event;
use crate::segment::Segment;

/// Pinned events of a log, for the time of a turn.
#[derive(Debug, Default)]
pub struct Pins {
    segments: Vec<Arc<Segment<Event>>>,
}

/// Names a pinned event to the [`Pins`] that pinned it, until these are cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedEvent {
    segment: u32,
    slot: u32,
}

impl Pins {
    /// Pins the event in a slot, which is filled. Events are pinned in the order of the log.
    #[inline]
    pub(crate) fn pin(&mut self, segment: &Arc<Segment<Event>>, slot: usize) -> PinnedEvent {
        if self.segments.last().is_none_or(|last| !Arc::ptr_eq(last, segment)) {
            self.segments.push(Arc::clone(segment));
        }
        PinnedEvent { segment: (self.segments.len() - 1) as u32, slot: slot as u32 }
    }

    /// A pinned event.
    ///
    /// # Panics
    /// The pins have been cleared since.
    #[inline]
    #[must_use]
    pub fn event(&self, pinned: PinnedEvent) -> &Event {
        let segment = self.segments.get(pinned.segment as usize);
        segment.and_then(|one| one.item(pinned.slot as usize)).expect("the event is pinned")
    }

    /// Whether nothing is pinned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Releases everything.
    pub fn clear(&mut self) {
        self.segments.clear();
    }
}
