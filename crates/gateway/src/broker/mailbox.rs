//! Messages to the cores from the control thread and from each other: to leave, to read the log,
//! and what to do with their clients.
//!
//! It is a little shared memory and a wake-up. Events do not pass through it: they are in the log.

use ringway_acceptor::{ConnectionId, Operation, Operations, Waker};
use ringway_frame::CloseCode;
use ringway_hub::{Cursor, Handover, Name};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    auth::{Identity, Ticket},
    broker::{
        Awaited, ConnectionDescription,
        source::{SubmissionOutcome, SubmitterId, Token},
    },
    config::settings::Settings,
    refusal::Refusal,
};

/// Shared by the control thread and all cores.
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The time within which the cores must leave, once a drain has begun.
    drain: OnceLock<Duration>,
    /// How many cores take no more events from clients.
    closed_cores: AtomicUsize,
    cores: Mutex<Vec<Core>>,
    /// Receives the outcomes of the control thread's submissions.
    control: OnceLock<Control>,
}

struct Control(Box<dyn Fn(u64, SubmissionOutcome) + Send + Sync>);

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Control")
    }
}

#[derive(Debug)]
struct Core {
    waker: Waker,
    mail: Vec<CoreMessage>,
}

/// What one core must do with its own clients.
#[derive(Debug, Clone)]
pub enum CoreMessage {
    /// Panic, to test what follows a panic.
    #[cfg(test)]
    Panic,
    /// Close every connection of a client.
    Close {
        /// The client.
        client: Name,
        /// The close code, for transports that have one.
        code: CloseCode,
        /// The reason given to the client.
        reason: Box<str>,
    },
    /// Describe every connection of a client. Who asks has heard all cores when the last of these
    /// messages is dropped.
    Describe {
        /// The client.
        client: Name,
        /// Receives the descriptions.
        answer: UnboundedSender<ConnectionDescription>,
    },
    /// The outcome of a submission of this core is known.
    Appended {
        /// Its number among the core's submissions.
        number: u64,
        /// The event's place in the log.
        result: SubmissionOutcome,
    },
    /// The answer to a command that a connection waits for is known.
    Answered {
        /// The connection.
        connection: ConnectionId,
        /// The command.
        awaited: Arc<Awaited>,
    },
    /// The client of a waiting request is identified, or refused.
    Identified {
        /// The request.
        ticket: Ticket,
        /// The client's identity, or why it is refused.
        result: Result<Identity, Refusal>,
    },
    /// Use these settings from now on; see [`Settings::replaced_by`].
    ReplaceSettings(Arc<Settings>),
    /// Send a client a gap if events may be missing: another of its connections has ended without
    /// taking everything that was sent to it.
    TakeOver {
        /// The client.
        client: Name,
        /// The connection that is sent the gap, and the missing events.
        handover: Handover,
    },
    /// A client has shown another token for one of its connections.
    Renew {
        /// The connection. If it does not belong to the client, nothing happens.
        connection: ConnectionId,
        /// What the token says.
        identity: Box<Identity>,
    },
    /// Change a subscription of a connection.
    Listen {
        /// The connection. If it does not belong to the client, nothing happens.
        connection: ConnectionId,
        /// The client that asked.
        client: Name,
        /// The topic.
        topic: Box<str>,
        /// The change.
        change: Change,
    },
}

/// A change of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Subscribe, from this cursor or else from now on.
    Subscribe(Option<Cursor>),
    /// Subscribe from the log's position when the request was answered.
    SubscribeSince(Cursor),
    /// Unsubscribe.
    Unsubscribe,
}

impl Mailbox {
    /// Adds a core. Its index is the number of cores that were added before it.
    pub fn register(&self, waker: Waker) {
        if self.is_draining() {
            waker.wake();
        }
        self.cores().push(Core { waker, mail: Vec::new() });
    }

    /// Registers `receive` for the outcomes of the control thread's submissions, with their
    /// numbers. The source's thread calls it.
    pub fn register_control(
        &self,
        receive: impl Fn(u64, SubmissionOutcome) + Send + Sync + 'static,
    ) {
        let _ = self.shared.control.set(Control(Box::new(receive)));
    }

    /// Tells a submitter the outcome of a pending submission. The event is in the log by then.
    pub fn complete(&self, token: Token, result: SubmissionOutcome) {
        let Token { submitter, number } = token;
        match submitter {
            SubmitterId::Core(core) => self.tell(core, CoreMessage::Appended { number, result }),
            SubmitterId::Control => {
                if let Some(Control(receive)) = self.shared.control.get() {
                    receive(number, result);
                }
            }
        }
    }

    /// Tells every core to stop accepting, to take no more events, and then to disconnect its
    /// clients, all within `time`. The first call decides the time.
    pub fn drain(&self, time: Duration) {
        let cores = self.cores();
        let _ = self.shared.drain.set(time);
        cores.iter().for_each(|core| core.waker.wake());
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain_time().is_some()
    }

    /// The time within which the cores must leave, if a drain has begun.
    pub fn drain_time(&self) -> Option<Duration> {
        self.shared.drain.get().copied()
    }

    /// Notes that a core takes no more events; each core calls it once. The last one wakes all
    /// cores.
    pub fn close_intake(&self) {
        self.shared.closed_cores.fetch_add(1, Ordering::AcqRel);
        if self.is_log_final() {
            self.wake_all();
        }
    }

    /// Whether no core takes events any more, so that the log no longer grows.
    pub fn is_log_final(&self) -> bool {
        self.shared.closed_cores.load(Ordering::Acquire) >= self.cores().len()
    }

    /// Wakes every core: the log has grown.
    pub fn wake_all(&self) {
        self.cores().iter().for_each(|core| core.waker.wake());
    }

    /// Makes `core` wake all others in its batch: the log has grown.
    pub fn wake_others(&self, core: usize, operations: &mut Operations) {
        for (number, other) in self.cores().iter().enumerate() {
            if number != core {
                operations.push(Operation::Wake(other.waker.clone()));
            }
        }
    }

    /// Sends a message to every core.
    pub fn tell_all(&self, order: &CoreMessage) {
        for core in self.cores().iter_mut() {
            core.mail.push(order.clone());
            core.waker.wake();
        }
    }

    /// Sends a message to one core, if there is such a core.
    pub fn tell(&self, core: usize, order: CoreMessage) {
        if let Some(core) = self.cores().get_mut(core) {
            core.mail.push(order);
            core.waker.wake();
        }
    }

    /// Takes the messages for `core`.
    pub fn collect(&self, core: usize) -> Vec<CoreMessage> {
        self.cores().get_mut(core).map(|core| std::mem::take(&mut core.mail)).unwrap_or_default()
    }

    fn cores(&self) -> MutexGuard<'_, Vec<Core>> {
        self.shared.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
