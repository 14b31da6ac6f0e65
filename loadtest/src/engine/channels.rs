//! The channels between the coordinator and its workers.
//!
//! The coordinator does not read its queue between two measurements, so the queue is bounded: while
//! it is full, a worker goes on counting in the interval that it could not hand over.

use std::{
    sync::mpsc::{self, Receiver, SyncSender, TrySendError},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::measure::interval::Interval;

/// Intervals of each worker that may be queued for the coordinator: four seconds of them, which is
/// much longer than the coordinator takes for anything while a measurement runs.
const INTERVALS_WAITING_MAX: usize = 16;

/// A command to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerCommand {
    /// Measure from `start` on, for `duration`.
    Run { start: Duration, duration: Duration },
    /// Start nothing new.
    Stop,
    /// Close all connections.
    End,
}

/// A message from a worker.
pub(super) enum WorkerEvent<O> {
    /// Each connection is open, or its first attempt has failed.
    Ready,
    /// The latest interval.
    Interval(Box<Interval>),
    /// A measurement has ended.
    Done(WorkerRun<O>),
    /// The worker cannot go on.
    Failed(anyhow::Error),
}

/// The results of one worker in a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkerRun<O> {
    pub(super) outcome: O,
    /// From the start to the last answer.
    pub(super) elapsed: Duration,
    /// From the start to the end of the sending.
    pub(super) lasted: Duration,
    /// CPU time of the thread, without the time that it spun.
    pub(super) busy: Duration,
    /// CPU time of the thread.
    pub(super) cpu: Duration,
    /// Time that the thread waited for a CPU.
    pub(super) waited: Duration,
    /// How often the thread was preempted although it had work.
    pub(super) preempted: u64,
    /// How far the workload was behind when it was stopped.
    pub(super) behind: Duration,
    /// Connections open at the end.
    pub(super) open: u32,
}

/// An event, with the index of the worker that sent it.
pub(super) type Said<O> = (usize, WorkerEvent<O>);

/// The queue for the events of this many workers.
pub(super) fn events<O>(workers: u32) -> (SyncSender<Said<O>>, Receiver<Said<O>>) {
    mpsc::sync_channel(workers as usize * INTERVALS_WAITING_MAX)
}

/// The ends of a worker's channels.
pub(super) struct Channels<O> {
    pub(super) commands: Receiver<WorkerCommand>,
    pub(super) events: SyncSender<Said<O>>,
    pub(super) index: usize,
    /// Intervals are returned here for reuse.
    pub(super) spare: Receiver<Box<Interval>>,
}

impl<O> Channels<O> {
    /// Sends an event that the coordinator waits for.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub(super) fn say(&self, event: WorkerEvent<O>) -> Result<()> {
        self.events.send((self.index, event)).ok().context(GONE)
    }

    /// Hands over the current interval and leaves an empty one in its place. While the queue is
    /// full, it keeps the interval, which is handed over later together with what follows.
    ///
    /// # Errors
    /// The coordinator has ended.
    pub(super) fn hand_over(&self, seen: &mut Box<Interval>) -> Result<()> {
        seen.settle();
        let mut empty = self.spare.try_recv().unwrap_or_default();
        empty.clear();
        let full = std::mem::replace(seen, empty);
        match self.events.try_send((self.index, WorkerEvent::Interval(full))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full((_, WorkerEvent::Interval(full)))) => {
                *seen = full;
                Ok(())
            }
            Err(_) => Err(anyhow::anyhow!(GONE)),
        }
    }
}

const GONE: &str = "the coordinator is gone";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_bounded_and_not_lost() {
        let (events, heard) = events::<()>(1);
        let (_commands_in, commands) = mpsc::channel();
        let (_spare_in, spare) = mpsc::channel();
        let channels = Channels { commands, events, index: 0, spare };
        let mut seen = Box::<Interval>::default();
        let sent = |said: Said<()>| match said {
            (0, WorkerEvent::Interval(interval)) => interval.sent,
            _ => panic!("nothing else was said"),
        };
        for _ in 0..1000 {
            seen.sent += 1;
            channels.hand_over(&mut seen).unwrap();
        }
        let waiting: Vec<u64> = heard.try_iter().map(sent).collect();
        assert_eq!(waiting, [1; INTERVALS_WAITING_MAX]);
        assert_eq!(seen.sent, 1000 - INTERVALS_WAITING_MAX as u64);
        channels.hand_over(&mut seen).unwrap();
        assert_eq!((heard.try_iter().map(sent).collect(), seen.sent), (vec![984], 0));
        drop(heard);
        assert!(channels.hand_over(&mut seen).is_err());
    }
}
