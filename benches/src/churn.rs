//! Connections that come and go: connect, upgrade, close, again, a few at a time.
//!
//! The server ends each TCP connection, as RFC 6455 §7.1.1 wants, so the tester's ports are
//! free again at once.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use ringway_acceptor::{
    Completion, Connection, Driver, Operation, Operations, SendMark, uring::UringDriver,
};
use ringway_frame::{CloseCode, MaskKeys, emit_close};

use crate::{
    crowd::{DRAINING_TIME_MAX, Slot, TURN_TIME_MAX, latencies, tester_driver},
    opening::{Opening, Openness, Target},
    tester::Times,
};

/// Opens and closes connections to one server.
pub struct Churn<'a> {
    target: &'a Target,
    concurrency: usize,
    driver: UringDriver,
    operations: Operations,
    /// By slot of the driver.
    visits: Vec<Option<Visit<'a>>>,
    keys: MaskKeys,
    latencies: Histogram<u64>,
    clock: Instant,
}

struct Visit<'a> {
    /// `None` once the Close is sent.
    opening: Option<Opening<'a>>,
    begun_at: Duration,
}

impl<'a> Churn<'a> {
    /// `concurrency` connections at a time.
    ///
    /// # Errors
    /// No io_uring here.
    pub fn new(target: &'a Target, concurrency: usize) -> Result<Self> {
        Ok(Self {
            target,
            concurrency,
            driver: tester_driver(u32::try_from(concurrency)?, 0)?,
            operations: Operations::default(),
            visits: (0..concurrency).map(|_| None).collect(),
            keys: MaskKeys::new(),
            latencies: latencies()?,
            clock: Instant::now(),
        })
    }

    /// Opens and closes for `time`, then waits until all are closed.
    ///
    /// # Errors
    /// A connection is refused or does not end.
    pub fn run(&mut self, time: Duration) -> Result<Slot> {
        let start = self.clock.elapsed();
        let mut slot = Slot::default();
        let mut open = 0;
        loop {
            let elapsed = self.clock.elapsed() - start;
            if elapsed < time {
                for _ in open..self.concurrency {
                    self.begin()?;
                }
                open = self.concurrency;
            } else if open == 0 {
                slot.elapsed = elapsed;
                return Ok(slot);
            }
            ensure!(elapsed < time + DRAINING_TIME_MAX, "{open} connections do not end");
            let closed = self.turn()?;
            open -= closed;
            slot.count += closed as u64;
        }
    }

    /// The times from connect to closed since the last call.
    pub fn take_latencies(&mut self) -> Vec<Times> {
        vec![Times::take(&mut self.latencies)]
    }

    fn begin(&mut self) -> Result<()> {
        let begun_at = self.clock.elapsed();
        let socket = self.target.connect()?;
        let connection = self.driver.adopt(socket).expect("as many as the driver may hold");
        let mut request = Vec::new();
        let opening = Some(self.target.request(&mut request)?);
        self.operations.send_owned(connection, &mut SendMark::default(), request, 0);
        self.visits[connection.slot() as usize] = Some(Visit { opening, begun_at });
        Ok(())
    }

    /// How many connections were closed.
    fn turn(&mut self) -> Result<usize> {
        self.driver.submit(&mut self.operations);
        self.driver.wait(Some(TURN_TIME_MAX))?;
        let mut closed = 0;
        while let Some(completion) = self.driver.next() {
            match completion {
                Completion::Received { connection, bytes } => {
                    let Some(visit) = &mut self.visits[connection.slot() as usize] else {
                        bail!("bytes on a connection that is closed");
                    };
                    let Some(opening) = &mut visit.opening else {
                        continue; // The server's Close; its FIN follows.
                    };
                    if opening.receive(bytes)? == Openness::Open {
                        visit.opening = None;
                        close(connection, &mut self.keys, &mut self.operations);
                    }
                }
                Completion::EndOfStream { connection } => {
                    self.operations.push(Operation::Close(connection));
                }
                Completion::Closed { connection } => {
                    let visit = self.visits[connection.slot() as usize].take();
                    ensure!(
                        visit.as_ref().is_some_and(|visit| visit.opening.is_none()),
                        "the server closed before the upgrade"
                    );
                    if let Some(visit) = visit {
                        let taken = self.clock.elapsed() - visit.begun_at;
                        self.latencies.saturating_record(taken.as_nanos() as u64);
                    }
                    closed += 1;
                }
                other => bail!("the server does not keep the connection: {other:?}"),
            }
        }
        Ok(closed)
    }
}

fn close(connection: Connection, keys: &mut MaskKeys, operations: &mut Operations) {
    operations.send(connection, &mut SendMark::default(), |out| {
        emit_close(out, Some(keys.draw()), CloseCode::NORMAL, "");
    });
}
