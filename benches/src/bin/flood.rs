//! By how much does a client that publishes large events at full speed delay the events of others?
//!
//! Good clients publish small events at a low rate, each to a topic of its own that it is subscribed
//! to, and measure how long their events take. First they are alone; then a client publishes to a
//! topic with subscribers, as fast as the gateway reads, whether its events are accepted or refused.
//! Late clients would hide a delay, so a latency counts from when its event was due.

#![forbid(unsafe_code)]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ringway_acceptor::{cores, descriptors};
use ringway_benches::{
    client,
    gateway::{WITHOUT_HEARTBEATS, binary_beside_this_one, launch},
    handshake::{Link, Target},
    publisher::TOPIC,
};
use ringway_frame::{
    Compression, DataKind, FrameReader, MaskKeys, Opcode, Piece, ReadLimits, Role, emit_frame,
};

const LIMITS: ReadLimits = ReadLimits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };

/// So that a flood whose events are refused goes on.
const PATIENT: &str = "limits.errors_max=1000000";

/// The longest wait for the last events of good clients.
const LAST_TIME_MAX: Duration = Duration::from_secs(20);

/// Measure the latency of others' events while a client floods a topic
#[derive(Debug, Parser)]
struct Args {
    /// Good clients
    #[arg(long, default_value_t = 20)]
    clients: u32,
    /// Events a second of each
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Subscribers of the flooded topic
    #[arg(long, default_value_t = 50)]
    subscribers: u32,
    /// Bytes of data in each event of the flood
    #[arg(long, default_value_t = 4000)]
    size: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Set a key of the gateways, such as history.client_share=100; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Fail if the p99 of good clients during the flood is longer than this, in milliseconds
    #[arg(long)]
    max: Option<u64>,
    /// Engines to measure
    #[arg(long, default_values_t = ["epoll".to_owned(), "uring".to_owned()])]
    io: Vec<String>,
    /// The ringway binary [default: the one in the folder of this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// The server's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core of the good clients and of the flood
    #[arg(long, default_value_t = 1)]
    tester_core: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.clients > 0 && args.rate > 0 && args.seconds > 0, "at least one event");
    descriptors::raise_limit()?;
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => binary_beside_this_one()?,
    };
    println!(
        "{:<8} {:<7} {:>8} {:>10} {:>10} {:>10} {:>14} {:>10}",
        "server", "flood", "events", "p50, ms", "p99, ms", "max, ms", "flood accepted", "refused"
    );
    let mut worst = Duration::ZERO;
    for io in &args.io {
        worst = worst.max(measure(&args, &binary, io)?);
    }
    let max = args.max.map(Duration::from_millis);
    ensure!(max.is_none_or(|max| worst <= max), "the p99 during a flood is {worst:?}");
    Ok(())
}

/// Measures the gateway on one engine; returns the p99 during the flood.
fn measure(args: &Args, binary: &Path, io: &str) -> Result<Duration> {
    let settings: Vec<&str> = args.set.iter().map(String::as_str).collect();
    let launch =
        launch(binary, args.server_core).flags(&["--io", io]).set(&[WITHOUT_HEARTBEATS, PATIENT]);
    let gateway = launch.set(&settings).start()?;
    let target = Target::parse(&gateway.echo_url())?;
    let mut good = GoodClients::open(&target, args)?;
    let sinks = (0..args.subscribers)
        .map(|number| client::connect(&target, Link::Loopback, &format!("sink-{number}"), TOPIC));
    let sinks = sinks.collect::<Result<Vec<_>>>()?;
    // Pinned on threads of their own: a gateway would inherit the pinning of the thread that starts it.
    let quiet = on_core(args, || good.run(args))?;
    print(io, "without", &quiet, &Flood::default());
    let flood = Flood::default();
    let flooder = client::connect(&target, Link::Loopback, "flooder", "nobody")?;
    let flooded = thread::scope(|scope| {
        let _stop = Stop(&flood.is_over);
        scope.spawn(|| pinned(args, || flood.drain(sinks)));
        scope.spawn(|| pinned(args, || flood.publish(flooder, args.size)));
        thread::sleep(Duration::from_millis(500));
        on_core(args, || good.run(args))
    })?;
    print(io, "with", &flooded, &flood);
    Ok(part(&flooded, 99))
}

/// Runs `run` on a thread of its own on the tester's core.
fn on_core<T: Send>(args: &Args, run: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            cores::pin(args.tester_core).context("pinning the tester")?;
            run()
        });
        thread.join().expect("it does not panic")
    })
}

fn pinned(args: &Args, run: impl FnOnce() -> Result<()>) {
    // Only the effect of the flood is measured. If it fails, the latencies are too good, and the
    // columns of the flood show it.
    if let Err(error) =
        cores::pin(args.tester_core).context("pinning the tester").and_then(|()| run())
    {
        eprintln!("the flood has ended: {error:#}");
    }
}

fn print(io: &str, which: &str, latencies: &[Duration], flood: &Flood) {
    let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
    println!(
        "{io:<8} {which:<7} {:>8} {:>10.2} {:>10.2} {:>10.2} {:>14} {:>10}",
        latencies.len(),
        ms(part(latencies, 50)),
        ms(part(latencies, 99)),
        ms(part(latencies, 100)),
        flood.accepted.load(Ordering::Relaxed),
        flood.refused.load(Ordering::Relaxed),
    );
}

/// The latency that this many percent of the sorted latencies do not exceed.
fn part(latencies: &[Duration], percent: usize) -> Duration {
    let place = (latencies.len() * percent).div_ceil(100).max(1) - 1;
    latencies.get(place).copied().unwrap_or_default()
}

/// Sets a flag when dropped, even after an error.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients whose events are measured.
struct GoodClients {
    clients: Vec<GoodClient>,
    start: Instant,
}

struct GoodClient {
    socket: TcpStream,
    reader: FrameReader,
    text: Vec<u8>,
    topic: String,
    received: u64,
}

impl GoodClients {
    fn open(target: &Target, args: &Args) -> Result<Self> {
        let open = |number| {
            let topic = format!("good-{number}");
            Ok(GoodClient {
                socket: client::connect(target, Link::Loopback, &topic, &topic)?,
                reader: FrameReader::new(Role::Client, Compression::Off),
                text: Vec::new(),
                topic,
                received: 0,
            })
        };
        let clients = (0..args.clients).map(open).collect::<Result<_>>()?;
        Ok(Self { clients, start: Instant::now() })
    }

    /// Publishes at the rate for some time; returns all latencies, sorted.
    fn run(&mut self, args: &Args) -> Result<Vec<Duration>> {
        let (mut latencies, mut keys, mut out) = (Vec::new(), MaskKeys::new(), Vec::new());
        let pace = Duration::from_secs(1) / (args.rate * args.clients);
        let (begin, time) = (self.start.elapsed(), Duration::from_secs(args.seconds));
        let (mut due, mut sent) = (begin, 0_u64);
        let before: u64 = self.clients.iter().map(|client| client.received).sum();
        loop {
            let now = self.start.elapsed();
            while due <= now && due < begin + time {
                let count = self.clients.len() as u64;
                let client = &mut self.clients[(sent % count) as usize];
                let nanos = due.as_nanos();
                let topic = &client.topic;
                let text = format!(
                    r#"{{"type":"publish","id":"{nanos}","topic":"{topic}","data":{nanos}}}"#
                );
                out.clear();
                emit_frame(&mut out, Some(keys.draw()), Opcode::Text, text.as_bytes());
                client.socket.write_all(&out).context("a good client's socket is full")?;
                (due, sent) = (due + pace, sent + 1);
            }
            for client in &mut self.clients {
                client.read(self.start, &mut latencies)?;
            }
            let received = self.clients.iter().map(|client| client.received).sum::<u64>() - before;
            if due >= begin + time && received == sent {
                break;
            }
            ensure!(now < begin + time + LAST_TIME_MAX, "{received} of {sent} events came");
            thread::sleep(Duration::from_micros(200));
        }
        latencies.sort_unstable();
        Ok(latencies)
    }
}

impl GoodClient {
    fn read(&mut self, start: Instant, latencies: &mut Vec<Duration>) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let count = match self.socket.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the server has closed a good client's connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let (now, mut bytes) = (start.elapsed(), &mut buffer[..count]);
            while let Some(piece) = self.reader.read(&mut bytes, &LIMITS)? {
                let Piece::Data { kind: DataKind::Text, payload, end_of_message, .. } = piece
                else {
                    continue;
                };
                self.text.extend_from_slice(payload);
                if end_of_message {
                    let text = String::from_utf8_lossy(&self.text);
                    ensure!(!text.contains(r#""type":"error""#), "the server answered {text}");
                    ensure!(!text.contains(r#""type":"gap""#), "an event is lost: {text}");
                    if let Some((_, data)) = text.split_once(r#""data":"#) {
                        let due = Duration::from_nanos(data.trim_end_matches('}').parse()?);
                        latencies.push(now.saturating_sub(due));
                        self.received += 1;
                    }
                    self.text.clear();
                }
            }
        }
    }
}

/// A client that publishes at full speed, and its subscribers.
#[derive(Default)]
struct Flood {
    is_over: AtomicBool,
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Flood {
    /// Publishes as fast as the gateway takes the bytes.
    fn publish(&self, mut socket: TcpStream, size: usize) -> Result<()> {
        let (mut keys, mut out, mut sent, mut number) = (MaskKeys::new(), Vec::new(), 0, 0_u64);
        let (data, mut buffer) = ("x".repeat(size), vec![0; 64 << 10]);
        while !self.is_over.load(Ordering::Relaxed) {
            if sent == out.len() {
                let text = format!(
                    r#"{{"type":"publish","id":"{number}","topic":"{TOPIC}","data":"{data}"}}"#
                );
                out.clear();
                emit_frame(&mut out, Some(keys.draw()), Opcode::Text, text.as_bytes());
                (sent, number) = (0, number + 1);
            }
            match socket.write(&out[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_micros(100));
                }
                Err(error) => return Err(error.into()),
            }
            match socket.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the server has closed the flooder's connection"),
                Ok(count) => self.count(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Counts the answers; one that is cut in two is not counted.
    fn count(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let count = |what| text.matches(what).count() as u64;
        self.accepted.fetch_add(count(r#""type":"ack""#), Ordering::Relaxed);
        self.refused.fetch_add(count(r#""type":"error""#), Ordering::Relaxed);
    }

    /// Reads what the subscribers are sent.
    fn drain(&self, mut sockets: Vec<TcpStream>) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        while !self.is_over.load(Ordering::Relaxed) {
            let mut has_read = false;
            for socket in &mut sockets {
                match socket.read(&mut buffer) {
                    Ok(0) => anyhow::bail!("the server has closed a subscriber's connection"),
                    Ok(_) => has_read = true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !has_read {
                thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }
}
