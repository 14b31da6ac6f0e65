//! Connections that leave: how far their client has been served, and which other connection of the
//! client is to be told what may be missing.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::besides::{Handover, Seat};
use super::{Client, Directory, Shard};
use crate::cursor::Sequence;

/// Whether it is known what the socket of a connection that leaves has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is known.
    Known,
    /// It may have taken more.
    Awaited,
}

/// A connection that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departed {
    /// Whether it began beside others, and the client may not have been served what came before.
    pub is_beside: bool,
    /// Which connection is to be told now.
    pub handover: Option<Handover>,
}

impl Directory {
    /// A connection that came with [`Directory::arrive`] has gone, having been served up to `at`. With
    /// the last one the client is away, since the newest event that any of its connections was served.
    ///
    /// A connection that is behind catches up first, or the client stays behind.
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
            // Its connections had to report what left the log while the client was here, and they
            // have not come that far.
            let lost_to = self.lost_to.load(Ordering::Relaxed);
            if left < lost_to {
                shard.losses.add(hash, lost_to);
            } else {
                shard.losses.settle(hash, left);
            }
        }
        handover
    }

    /// It is known now what a connection that has left was served: everything up to `at`, or, if `None`,
    /// no more than when it left.
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

    /// A connection is told what other connections of its client have not taken. Until it has taken that,
    /// it counts as served no further than they were. False if it is not to be told.
    pub fn take_over(&self, client: &str, seat: Seat) -> bool {
        let (hash, mut shard) = self.shard(client);
        shard.besides.take_over(hash, seat)
    }
}

impl Shard {
    /// After a departure: how many connections the client has, how far it has been served, and which
    /// of its connections is to be told what may be missing.
    fn conclude(&mut self, hash: u64, client: &str) -> Option<(u32, Sequence, Option<Handover>)> {
        let entry = self.clients.find_mut(hash, |entry| *entry.name == *client)?;
        entry.left = self.besides.settle(hash, entry.left);
        let Client { live, left, .. } = *entry;
        Some((live, left, self.besides.heir(hash, live, left)))
    }
}
