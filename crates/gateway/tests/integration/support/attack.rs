//! What an attack costs: the gateway's memory, and the latency of 100 clients that do nothing wrong.
//!
//! It attacks nobody itself; the test brings the attack.

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

/// Clients that echo all the time.
const GOOD_CLIENTS: usize = 100;

/// How often each thread has one of its clients send something.
const PACE: Duration = Duration::from_millis(4);

/// An attack is over when nothing has grown for so long.
const QUIET: Duration = Duration::from_millis(500);

/// What the good clients make the gateway take and give back.
const NOISE_BYTES: u64 = 256 << 10;

/// However long it goes on to grow.
const GROWTH_TIME_MAX: Duration = Duration::from_secs(10);

/// What an attack cost.
#[derive(Debug)]
pub struct Cost {
    /// How much the gateway's resident memory grew at most.
    pub grown_bytes: u64,
    /// Of the good clients' round trips, the 99th percentile.
    pub p99: Duration,
}

/// Runs `run`, which keeps up the attack for as long as what it gives back lives, beside 100 good
/// clients, each of which must stay. Prints what it cost.
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
        // The last bytes and their effects must arrive as well.
        stops_growing(gateway);
        drop(ends);
        let latencies = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        (attackers, latencies.collect::<Vec<_>>())
    });
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    let grown_bytes = most.into_inner() - before;
    // Not `eprintln`, which the harness keeps to itself while a test passes.
    let _ = writeln!(
        io::stderr(),
        "ATTACK {name}: {} KiB grown, p99 of {} good round trips {p99:?}",
        grown_bytes >> 10,
        latencies.len(),
    );
    (Cost { grown_bytes, p99 }, attackers)
}

/// Waits until no more is buffered than a while ago, and no longer than an attack may take.
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

/// Ends the good clients, also when an expectation of the attack is not met.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that attacks: it sends what is taken, and expects nothing.
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
