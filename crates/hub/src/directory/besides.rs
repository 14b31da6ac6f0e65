//! Connections that began while their client had other connections, after events that were sent
//! only to those. If an older connection ends without taking these events, another connection must
//! be told.
//!
//! Memory: 41 bytes per entry at a load of 7/8 at most. There is one entry for each such
//! connection, until an older one has reached its start; one for each ended connection until it is
//! known what its socket took; and one for the events that ended connections took. So the entries
//! are bounded by the connections, and a client with one connection has none. They hold hashes and
//! no names.

use hashbrown::HashTable;

use crate::cursor::Sequence;

/// Where a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The core.
    pub core: u32,
    /// Its place there.
    pub slot: u32,
}

/// What a connection must be told: other connections of its client have ended, and may not have
/// been served the events after `after` up to `through`, the position at which this one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The connection.
    pub seat: Seat,
    /// The client has had all events up to here.
    pub after: Sequence,
    /// The connection began here.
    pub through: Sequence,
}

/// The connections of one of the directory's shards.
#[derive(Debug, Default)]
pub(super) struct Besides {
    connections: HashTable<Beside>,
}

/// Two names with the same hash of 64 bits would be one client here.
#[derive(Debug)]
struct Beside {
    hash: u64,
    seat: Seat,
    /// Events up to here were sent only to older connections.
    began: Sequence,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is open.
    Here,
    /// It is open, and is being told which events other connections have not taken.
    Told,
    /// It has ended, and its socket may not have taken everything.
    Leaving,
    /// It has ended, after having been served up to here.
    Gone(Sequence),
}

impl Besides {
    /// A connection begins at `began` while the client has others.
    pub(super) fn add(&mut self, client: u64, seat: Seat, began: Sequence) {
        self.insert(Beside { hash: client, seat, began, stage: Stage::Here });
    }

    /// A connection ends. Returns where it began, or 0 if it began as the only one.
    pub(super) fn leave(&mut self, client: u64, seat: Seat) -> Sequence {
        self.take(client, |beside| beside.is_here() && beside.seat == seat)
    }

    /// A connection that began at `began` ends, and it is not known yet what its socket has taken.
    pub(super) fn await_fate(&mut self, client: u64, seat: Seat, began: Sequence) {
        if began > 0 || self.connections.iter_hash(client).any(|beside| beside.hash == client) {
            self.insert(Beside { hash: client, seat, began, stage: Stage::Leaving });
        }
    }

    /// It is known now what the socket has taken. Returns where the connection began, or 0.
    pub(super) fn end_wait(&mut self, client: u64, seat: Seat) -> Sequence {
        self.take(client, |beside| beside.stage == Stage::Leaving && beside.seat == seat)
    }

    /// A connection that began at `began` and was served up to `at` has ended. If several end
    /// before an older one, only the one with the highest `at` is remembered: the client may get
    /// events again.
    pub(super) fn note_gone(&mut self, client: u64, seat: Seat, began: Sequence, at: Sequence) {
        let gone = |beside: &Beside| match beside.stage {
            Stage::Gone(at) if beside.hash == client => Some(at),
            _ => None,
        };
        let earlier = self.connections.iter_hash(client).find_map(gone);
        if earlier.is_none_or(|earlier| earlier < at) {
            self.take(client, |beside| gone(beside).is_some());
            self.insert(Beside { hash: client, seat, began, stage: Stage::Gone(at) });
        }
    }

    /// A connection has been told.
    pub(super) fn take_over(&mut self, client: u64, seat: Seat) -> bool {
        let is_it = |beside: &Beside| {
            beside.hash == client && beside.stage == Stage::Told && beside.seat == seat
        };
        let found = self.connections.find_entry(client, is_it);
        found.map(|entry| entry.remove()).is_ok()
    }

    /// The client has had all events up to `served`. Returns how far it has been served, including
    /// the events that earlier ended connections took.
    pub(super) fn settle(&mut self, client: u64, mut served: Sequence) -> Sequence {
        if self.connections.is_empty() {
            return served;
        }
        let is_settled =
            |beside: &Beside, served| beside.hash == client && (1..=served).contains(&beside.began);
        while let Ok(entry) =
            self.connections.find_entry(client, |beside| is_settled(beside, served))
        {
            let (beside, _) = entry.remove();
            match beside.stage {
                Stage::Here | Stage::Told => {}
                Stage::Leaving => self.insert(Beside { began: 0, ..beside }),
                Stage::Gone(at) => served = served.max(at),
            }
        }
        self.shrink();
        served
    }

    /// The connection that must be told, if none of the `live` connections of the client, and no
    /// socket of an ended one, can have the events after `after`.
    pub(super) fn heir(&mut self, client: u64, live: u32, after: Sequence) -> Option<Handover> {
        if self.connections.is_empty() {
            return None;
        }
        if live == 0 {
            let is_awaited = |beside: &&Beside| beside.stage == Stage::Leaving;
            if self.of(client).find(is_awaited).is_none() {
                while self.take(client, |beside| beside.hash == client) > 0 {}
            }
            return None;
        }
        let is_other = |beside: &&Beside| matches!(beside.stage, Stage::Told | Stage::Leaving);
        let here = self.of(client).filter(|beside| beside.stage == Stage::Here);
        if self.of(client).any(|beside| is_other(&beside)) || here.clone().count() < live as usize {
            return None;
        }
        let Beside { seat, began: through, .. } =
            *here.min_by_key(|beside| (beside.began, beside.seat))?;
        let is_heir = |beside: &Beside| beside.hash == client && beside.seat == seat;
        let heir = self.connections.find_mut(client, |beside| is_heir(beside) && beside.is_here());
        heir?.stage = Stage::Told;
        Some(Handover { seat, after, through })
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.connections.allocation_size()
    }

    fn of(&self, client: u64) -> impl Iterator<Item = &Beside> + Clone {
        self.connections.iter_hash(client).filter(move |beside| beside.hash == client)
    }

    fn insert(&mut self, beside: Beside) {
        self.connections.insert_unique(beside.hash, beside, |beside| beside.hash);
    }

    /// Removes an entry of the client. Returns where it began, or 0 if there is none.
    fn take(&mut self, client: u64, is_it: impl Fn(&Beside) -> bool) -> Sequence {
        if self.connections.is_empty() {
            return 0;
        }
        let found =
            self.connections.find_entry(client, |beside| beside.hash == client && is_it(beside));
        let began = found.map_or(0, |entry| entry.remove().0.began);
        self.shrink();
        began
    }

    fn shrink(&mut self) {
        if self.connections.len() * 8 < self.connections.capacity() {
            self.connections.shrink_to(self.connections.len() * 2, |beside| beside.hash);
        }
    }
}

impl Beside {
    fn is_here(&self) -> bool {
        matches!(self.stage, Stage::Here | Stage::Told)
    }
}
