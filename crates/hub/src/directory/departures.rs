//! Connections that end: how far their client has been served, and which other connection of the
//! client must be told which events may be missing.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::besides::{Handover, Seat};
use super::{Client, Directory, Shard};
use crate::cursor::Sequence;

/// Whether it is known what the socket of an ending connection has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is known: nothing is in flight.
    Known,
    /// It may have taken more.
    Awaited,
}

/// A connection that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// Whether it began while the client had other connections, so that earlier events may not have
    /// been served.
    pub is_beside: bool,
    /// The connection that must be told now, if any.
    pub handover: Option<Handover>,
}

impl Directory {
    /// A connection that began with [`Directory::arrive`] has ended, after having been served up to
    /// `at`. When the last one ends, the client is away; its position is the newest event that any
    /// of its connections was served.
    ///
    /// A connection that is behind must catch up first; otherwise the client stays behind.
    pub fn leave(&self, client: &str, at: Sequence) {
        let (hash, shard) = self.shard(client);
        self.depart(shard, hash, client, 0, at);
    }

    /// As [`Directory::leave`], for any connection. If it is not known yet what its socket has taken
    /// after `at`, [`Directory::end_departure`] must follow.
    ///
    /// ```
    /// # use ringway_hub::{Directory, Fate, Handover, Seat};
    /// # let directory = Directory::default();
    /// let [first, second] = [0, 1].map(|core| Seat { core, slot: 7 });
    /// directory.arrive_now("ann", first, 0);
    /// directory.arrive_now("ann", second, 5);
    /// let handover = directory.leave_seat("ann", first, 4, Fate::Known).handover;
    /// assert_eq!(handover, Some(Handover { seat: second, after: 4, through: 5 }));
    /// assert!(directory.take_over("ann", second));
    /// ```
    pub fn leave_seat(&self, client: &str, seat: Seat, at: Sequence, fate: Fate) -> Departed {
        let (hash, mut shard) = self.shard(client);
        let began = shard.besides.leave(hash, seat);
        match fate {
            Fate::Known if began > 0 => shard.besides.note_gone(hash, seat, began, at),
            Fate::Known => {}
            Fate::Awaited => shard.besides.await_fate(hash, seat, began),
        }
        Departed { is_beside: began > 0, handover: self.depart(shard, hash, client, began, at) }
    }

    /// A connection that began at `began` leaves.
    fn depart(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        hash: u64,
        client: &str,
        began: Sequence,
        at: Sequence,
    ) -> Option<Handover> {
        shard.change(hash, client, |entry| {
            entry.live = entry.live.saturating_sub(1);
            entry.behind = entry.behind.min(entry.live);
            if began == 0 {
                entry.left = entry.left.max(at);
            }
        });
        let (live, left, handover) = shard.conclude(hash, client)?;
        if live == 0 {
            // Its connections had to report the events that left the log while the client was
            // connected, and they have not reached those yet.
            let lost_to = self.lost_to.load(Ordering::Relaxed);
            if left < lost_to {
                shard.losses.add(hash, lost_to);
            } else {
                shard.losses.settle(hash, left);
            }
        }
        handover
    }

    /// It is known now what an ended connection was served: everything up to `at`, or, if `None`,
    /// no more than when it ended.
    pub fn end_departure(
        &self,
        client: &str,
        seat: Seat,
        at: Option<Sequence>,
    ) -> Option<Handover> {
        let (hash, mut shard) = self.shard(client);
        let began = shard.besides.end_wait(hash, seat);
        match at {
            Some(at) if began > 0 => shard.besides.note_gone(hash, seat, began, at),
            Some(at) => {
                shard.change(hash, client, |entry| entry.left = entry.left.max(at));
            }
            None => {}
        }
        let (_, left, handover) = shard.conclude(hash, client)?;
        if at.is_some() {
            shard.losses.settle(hash, left);
        }
        handover
    }

    /// A connection is told which events other connections of its client have not taken. Until its
    /// socket has taken this message, it counts as served no further than they were. False if it
    /// need not be told.
    pub fn take_over(&self, client: &str, seat: Seat) -> bool {
        let (hash, mut shard) = self.shard(client);
        shard.besides.take_over(hash, seat)
    }
}

impl Shard {
    /// After a departure: how many connections the client has, how far it has been served, and
    /// which of its connections must be told which events may be missing.
    fn conclude(&mut self, hash: u64, client: &str) -> Option<(u32, Sequence, Option<Handover>)> {
        let entry = self.clients.find_mut(hash, |entry| *entry.name == *client)?;
        entry.left = self.besides.settle(hash, entry.left);
        let Client { live, left, .. } = *entry;
        Some((live, left, self.besides.heir(hash, live, left)))
    }
}
