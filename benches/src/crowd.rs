//! Many connections to one server, and the two ways to load them: closed loop and open loop.
//!
//! In a closed loop each echo releases the next message; in an open loop messages leave at
//! intended times, whatever comes back, and latency counts from there. Between slots the
//! connections stay open and cost nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use ringway_acceptor::{
    Completion, Driver, Operations, SendMark, Settings, WaitMode, uring::UringDriver,
};

use crate::{
    client::Client,
    opening::{Openness, Target},
    tester::Times,
    traffic::Traffic,
};

/// Handshakes under way at a time: well below a server's backlog.
const OPENING_MAX: usize = 256;

/// All handshakes must be done by then.
const OPENING_TIME_MAX: Duration = Duration::from_secs(60);

/// After a slot, all outstanding echoes must be back by then.
pub const DRAINING_TIME_MAX: Duration = Duration::from_secs(20);

/// The longest sleep of a turn: bounds how late a deadline is noticed.
pub const TURN_TIME_MAX: Duration = Duration::from_millis(100);

/// What one slot brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Messages echoed, or connections opened and closed.
    pub count: u64,
    /// Echoes that were not what was sent.
    pub faults: u64,
    /// From the first send to the last echo.
    pub elapsed: Duration,
}

/// What an echo releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loop {
    Closed,
    Open,
}

/// Open connections to one server.
pub struct Crowd {
    driver: UringDriver,
    operations: Operations,
    /// By slot of the driver: nothing is ever closed, so slots are dense.
    clients: Vec<Client>,
    traffic: Traffic,
    latencies: Histogram<u64>,
    clock: Instant,
    slot: Slot,
    outstanding: u64,
}

/// A driver for a tester: one completion wakes, and large messages find large buffers.
///
/// # Errors
/// No io_uring here.
pub fn tester_driver(connections: u32, payload_bytes: usize) -> Result<UringDriver> {
    let receive_buffer_bytes = if payload_bytes > 4096 { 64 * 1024 } else { 4096 };
    let settings = Settings {
        connections_max: connections,
        receive_buffers: 1024,
        receive_buffer_bytes,
        wait: WaitMode::Latency,
        ..Settings::default()
    };
    UringDriver::new(&settings, Vec::new()).context("the tester needs io_uring")
}

/// Latencies from 1 ns to a minute, to three digits.
///
/// # Errors
/// Never with these bounds.
pub fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

impl Crowd {
    /// Opens `connections` WebSockets.
    ///
    /// # Errors
    /// A connection or a handshake is refused, or all of them take over a minute.
    pub fn open(target: &Target, connections: usize, traffic: Traffic) -> Result<Self> {
        let driver = tester_driver(u32::try_from(connections)?, traffic.payload_bytes())?;
        let mut crowd = Self {
            driver,
            operations: Operations::default(),
            clients: Vec::with_capacity(connections),
            traffic,
            latencies: latencies()?,
            clock: Instant::now(),
            slot: Slot::default(),
            outstanding: 0,
        };
        while crowd.clients.len() < connections {
            let batch = OPENING_MAX.min(connections - crowd.clients.len());
            crowd.open_batch(target, batch)?;
        }
        Ok(crowd)
    }

    fn open_batch(&mut self, target: &Target, count: usize) -> Result<()> {
        let first = self.clients.len();
        let mut openings = Vec::with_capacity(count);
        for _ in 0..count {
            let connection =
                self.driver.adopt(target.connect()?).expect("as many as the driver may hold");
            ensure!(connection.slot() as usize == self.clients.len(), "slots are dense");
            self.clients.push(Client::new(connection));
            let mut request = Vec::new();
            openings.push(target.request(&mut request)?);
            self.operations.send_owned(connection, &mut SendMark::default(), request, 0);
        }
        let mut awaited = count;
        while awaited > 0 {
            ensure!(self.clock.elapsed() < OPENING_TIME_MAX, "handshakes take too long");
            self.driver.submit(&mut self.operations);
            self.driver.wait(Some(TURN_TIME_MAX))?;
            while let Some(completion) = self.driver.next() {
                let Completion::Received { connection, bytes } = completion else {
                    bail!("the server does not keep the connection: {completion:?}");
                };
                let opening = openings
                    .get_mut((connection.slot() as usize).wrapping_sub(first))
                    .context("the server speaks first: this is no echo")?;
                if opening.receive(bytes)? == Openness::Open {
                    awaited -= 1;
                }
            }
        }
        Ok(())
    }

    /// Keeps `depth` messages outstanding on each connection for `time`, then waits for the
    /// last echo.
    ///
    /// # Errors
    /// A connection ends, or echoes stay away.
    pub fn run_closed(&mut self, depth: u32, time: Duration) -> Result<Slot> {
        let start = self.clock.elapsed();
        self.slot = Slot::default();
        for client in &mut self.clients {
            for _ in 0..depth {
                client.send(&self.traffic, start, &mut self.operations);
            }
        }
        self.outstanding = self.clients.len() as u64 * u64::from(depth);
        while self.clock.elapsed() < start + time {
            self.turn(TURN_TIME_MAX, Loop::Closed)?;
        }
        self.drain(start)
    }

    /// Sends `rate` messages a second for `time`, evenly spread over time and connections,
    /// then waits for the last echo. Spins while messages are due, so as to be punctual.
    ///
    /// # Errors
    /// A connection ends, or echoes stay away.
    pub fn run_open(&mut self, rate: u32, time: Duration) -> Result<Slot> {
        let start = self.clock.elapsed();
        self.slot = Slot::default();
        let messages = (f64::from(rate) * time.as_secs_f64()) as u64;
        let interval_ns = 1e9 / f64::from(rate);
        let due = |index: u64| start + Duration::from_nanos((index as f64 * interval_ns) as u64);
        let mut sent = 0;
        while sent < messages {
            let now = self.clock.elapsed();
            ensure!(now < start + time + DRAINING_TIME_MAX, "the tester cannot keep up");
            while sent < messages && due(sent) <= now {
                let client = sent as usize % self.clients.len();
                self.clients[client].send(&self.traffic, due(sent), &mut self.operations);
                self.outstanding += 1;
                sent += 1;
            }
            self.turn(Duration::ZERO, Loop::Open)?;
        }
        self.drain(start)
    }

    /// All latencies since the last call.
    pub fn take_latencies(&mut self) -> Vec<Times> {
        vec![Times::take(&mut self.latencies)]
    }

    fn drain(&mut self, start: Duration) -> Result<Slot> {
        let deadline = self.clock.elapsed() + DRAINING_TIME_MAX;
        while self.outstanding > 0 {
            ensure!(
                self.clock.elapsed() < deadline,
                "{} echoes did not come back",
                self.outstanding
            );
            self.turn(TURN_TIME_MAX, Loop::Open)?;
        }
        self.slot.elapsed = self.clock.elapsed() - start;
        Ok(self.slot)
    }

    fn turn(&mut self, timeout: Duration, kind: Loop) -> Result<()> {
        let Self { driver, operations, clients, traffic, latencies, clock, slot, outstanding } =
            self;
        driver.submit(operations);
        driver.wait(Some(timeout))?;
        let now = clock.elapsed();
        while let Some(completion) = driver.next() {
            let (connection, bytes) = match completion {
                Completion::Received { connection, bytes } => (connection, bytes),
                Completion::Backlogged { .. } | Completion::Drained { .. } => continue,
                other => bail!("the server does not keep the connection: {other:?}"),
            };
            let client = &mut clients[connection.slot() as usize];
            let arrived = client.receive(bytes, now, traffic, latencies, operations)?;
            slot.count += u64::from(arrived.echoes);
            slot.faults += u64::from(arrived.faults);
            match kind {
                Loop::Closed => {
                    for _ in 0..arrived.echoes {
                        client.send(traffic, now, operations);
                    }
                }
                Loop::Open => *outstanding -= u64::from(arrived.echoes),
            }
        }
        Ok(())
    }
}
