//! Measures the cost of an attack: the gateway's memory, and the latency of 100 good clients.
//!
//! The test itself provides the attack.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Client, Gateway, Request,
    frames::{FIN, TEXT, frame},
};

/// Clients that send echo messages all the time.
const GOOD_CLIENTS: usize = 100;

/// How often each thread lets one of its clients send a message.
const PACE: Duration = Duration::from_millis(4);

/// An attack is over when memory has not grown for this long.
const QUIET: Duration = Duration::from_millis(500);

/// By how much the good clients make the memory vary.
const NOISE_BYTES: u64 = 256 << 10;

/// The longest wait for the growth to stop.
const GROWTH_TIME_MAX: Duration = Duration::from_secs(10);

/// The cost of an attack.
#[derive(Debug)]
pub struct Cost {
    /// How much the gateway's resident memory grew at most.
    pub grown_bytes: u64,
    /// Of the good clients' round trips, the 99th percentile.
    pub p99: Duration,
}

/// Runs `run` while 100 good clients are connected, which must not be lost; the attack continues as
/// long as the value that `run` returns lives. Prints the cost.
#[track_caller]
pub fn attack<T>(name: &str, gateway: &Gateway, run: impl FnOnce() -> T) -> (Cost, T) {
    let mut good: Vec<Client> = (0..GOOD_CLIENTS).map(|_| Client::upgrade(gateway)).collect();
    good.iter_mut().for_each(round_trip);
    let before = gateway.resident_bytes();
    let (is_over, most) = (AtomicBool::new(false), AtomicU64::new(before));
    let (attackers, mut latencies) = thread::scope(|scope| {
        let is_over = &is_over;
        let threads: Vec<_> = good
            .chunks_mut(GOOD_CLIENTS / 2)
            .map(|clients| scope.spawn(move || echo_until(is_over, clients)))
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(gateway.resident_bytes(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        let ends = Ends(is_over);
        let attackers = run();
        // The last bytes must arrive and have their effect.
        stops_growing(gateway);
        drop(ends);
        let latencies = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        (attackers, latencies.collect::<Vec<_>>())
    });
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    let grown_bytes = most.into_inner() - before;
    // Not `eprintln`, whose output the test harness hides while a test passes.
    let _ = writeln!(
        io::stderr(),
        "ATTACK {name}: {} KiB grown, p99 of {} good round trips {p99:?}",
        grown_bytes >> 10,
        latencies.len(),
    );
    (Cost { grown_bytes, p99 }, attackers)
}

/// Waits until the buffered bytes have stopped growing, or the longest time of an attack has
/// passed.
fn stops_growing(gateway: &Gateway) {
    let start = Instant::now();
    let (mut most, mut risen) = ([0; 2], start);
    while risen.elapsed() < QUIET && start.elapsed() < GROWTH_TIME_MAX {
        let held = [gateway.metric("ringway_buffered_bytes"), gateway.resident_bytes()];
        if held.iter().zip(most).any(|(held, most)| *held > most + NOISE_BYTES) {
            (most, risen) = (held, Instant::now());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Stops the good clients, also if an expectation of the attack fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that attacks: it sends as many bytes as are accepted, and expects no answer.
pub fn attacker(address: SocketAddr, first: &Request, then: &[u8]) -> Client {
    let mut client = Client::connect_to(address);
    client.sends_what_is_taken(first.bytes());
    client.sends_what_is_taken(then);
    client
}

fn round_trip(client: &mut Client) {
    client.sends(frame(FIN | TEXT, [b'g'; 64]));
    client.receives_text([b'g'; 64]);
}

fn echo_until(is_over: &AtomicBool, clients: &mut [Client]) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for index in (0..clients.len()).cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        round_trip(&mut clients[index]);
        latencies.push(start.elapsed());
        thread::sleep(PACE);
    }
    latencies
}
