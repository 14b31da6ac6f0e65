//! A core's side of the hub: who is subscribed here, how far the log was read, who waits for a
//! turn of its own.
//!
//! It is lent to whichever peer is served, and never holds one.

use std::{cell::Cell, collections::VecDeque, sync::Arc};

use ringway_acceptor::Connection;
use ringway_hub::{Cursor, Reader, Sequence, Subscriptions, Tail};

use crate::{commons::Commons, dispatch::Dispatch, limits::TURN_EVENT_BYTES_MAX, orders::Orders};

/// A core's side of the hub.
pub struct Desk {
    /// What all cores share.
    pub commons: Arc<Commons>,
    /// How other cores are told something.
    pub orders: Orders,
    /// This core's place among the cores.
    pub core: usize,
    /// Who on this core listens to what.
    pub subscriptions: Subscriptions,
    /// This core's way to the end of the log.
    pub tail: Tail,
    /// How far this core has read.
    pub reader: Reader,
    /// What was read and is not sent yet.
    pub dispatch: Dispatch,
    /// Peers that have something to do in the next turn, without anything happening to them.
    pub ready: VecDeque<Connection>,
    /// Whether the other cores have something to read.
    pub news: News,
    /// WebSockets here that share compressed events.
    pub deflated: usize,
    /// What was written or gone through for single clients since it was last set to 0, in bytes.
    pub spent: Cell<usize>,
}

/// Whether the log has grown by this core's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It has, and others are to be woken.
    Some,
    /// It has not.
    None,
}

impl Desk {
    /// A core that nobody is connected to.
    pub fn new(commons: Arc<Commons>, orders: Orders, core: usize) -> Self {
        Self {
            reader: commons.log.reader(),
            commons,
            orders,
            core,
            subscriptions: Subscriptions::default(),
            tail: Tail::default(),
            dispatch: Dispatch::default(),
            ready: VecDeque::new(),
            news: News::None,
            deflated: 0,
            spent: Cell::new(0),
        }
    }

    /// Counts what a client has cost.
    pub fn spend(&self, bytes: usize) {
        self.spent.set(self.spent.get().saturating_add(bytes));
    }

    /// Whether a turn has no room for more of it.
    pub fn is_spent(&self) -> bool {
        self.spent.get() >= TURN_EVENT_BYTES_MAX
    }

    /// The last event that this core has read.
    pub fn position(&self) -> Sequence {
        self.reader.position()
    }

    /// The last event that every live client of this core has been sent.
    pub fn settled(&self) -> Sequence {
        self.dispatch.settled(self.position())
    }

    /// Where a client with this cursor goes on.
    ///
    /// # Errors
    /// The cursor is not of this log: nothing before the oldest event can be told from what the
    /// client has seen, so it goes on there.
    pub fn judge(&self, cursor: Cursor) -> Result<Sequence, Sequence> {
        let log = &self.commons.log;
        if cursor.epoch == log.epoch() && cursor.sequence <= log.head() {
            Ok(cursor.sequence)
        } else {
            Err(log.first() - 1)
        }
    }
}
