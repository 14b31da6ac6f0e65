//! 1,000 good clients that receive events while the gateway is attacked.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ringway_acceptor::descriptors;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::support::{
    Application, Gateway, Request,
    frames::{FIN, TEXT, frame},
};

pub const GOOD_CLIENTS: usize = 1_000;

/// How often an event is published for all of them.
const PACE: Duration = Duration::from_millis(100);

/// How long the last event may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Generous: machines that run tests are busy, and the gateway is not optimised there.
const P99_MAX: Duration = Duration::from_secs(3);

/// Runs `attack` while the good clients receive events; the attack continues as long as the value
/// that it returns lives. Prints the p99 of their deliveries.
#[track_caller]
pub fn attacked<T>(name: &str, gateway: &Gateway, attack: impl FnOnce() -> T) -> T {
    descriptors::raise_limit().unwrap();
    let mut good: Vec<GoodClient> =
        (0..GOOD_CLIENTS).map(|number| GoodClient::joins(gateway.address, number)).collect();
    good.iter_mut().for_each(GoodClient::is_welcome);
    let (start, is_over) = (Instant::now(), AtomicBool::new(false));
    let (attackers, mut latencies) = thread::scope(|scope| {
        let is_over = &is_over;
        let publisher = scope.spawn(move || publish(gateway, start, is_over));
        let reader = scope.spawn(move || {
            let mut latencies = Vec::new();
            // Read once more after the last event was published.
            while !publisher.is_finished() {
                receive(&mut good, start, &mut latencies);
            }
            let published = publisher.join().unwrap();
            let deadline = Instant::now() + PATIENCE;
            while good.iter().any(|client| client.events < published) {
                assert!(Instant::now() < deadline, "events were lost");
                receive(&mut good, start, &mut latencies);
            }
            good.iter_mut().for_each(GoodClient::is_served);
            latencies
        });
        let ends = Ends(is_over);
        let attackers = attack();
        drop(ends);
        (attackers, reader.join().unwrap())
    });
    latencies.sort_unstable();
    let [p50, p99] = [50, 99].map(|percent| latencies[latencies.len() * percent / 100]);
    // Not `eprintln`, whose output the test harness hides while a test passes.
    let count = latencies.len();
    let line = format!("ATTACK {name}: {count} deliveries, p50 {p50:?}, p99 {p99:?}");
    let _ = writeln!(io::stderr(), "{line}");
    assert!(p99 < P99_MAX, "{line}");
    attackers
}

/// Ends the events, also if an expectation of the attack fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes events until it is over; returns how many.
fn publish(gateway: &Gateway, start: Instant, is_over: &AtomicBool) -> u64 {
    let mut application = Application::of(gateway);
    let mut published = 0;
    while published < 10 || !is_over.load(Ordering::Relaxed) {
        let data = format!("{published} {}", start.elapsed().as_nanos());
        let event = json!({"topic": "good", "data": data}).to_string();
        assert_eq!(application.posts("/v1/publish", event).status, 200);
        published += 1;
        thread::sleep(PACE);
    }
    published
}

/// Receives what has arrived, for a few milliseconds.
fn receive(good: &mut [GoodClient], start: Instant, latencies: &mut Vec<Duration>) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    let is_ready: Vec<bool> = {
        let sockets = good.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN));
        let mut sockets: Vec<PollFd<'_>> = sockets.collect();
        poll(&mut sockets, Some(&timeout)).unwrap();
        sockets.iter().map(|socket| !socket.revents().is_empty()).collect()
    };
    for (client, _) in good.iter_mut().zip(is_ready).filter(|(_, is_ready)| *is_ready) {
        client.reads();
        let now = start.elapsed();
        while let Some(text) = client.text() {
            if let Some(sent) = client.takes_event(&text) {
                latencies.push(now.saturating_sub(sent));
            }
        }
    }
}

/// A subscriber that reads all it is sent.
struct GoodClient {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Events that it has received, without a gap between them.
    events: u64,
}

impl GoodClient {
    fn joins(address: SocketAddr, number: usize) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = Request::upgrade_of(&format!("/ws?client=good-{number}&topic=good"));
        stream.write_all(&request.bytes()).unwrap();
        Self { stream, unread: Vec::new(), events: 0 }
    }

    fn is_welcome(&mut self) {
        let end = loop {
            self.reads();
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        assert!(self.unread.starts_with(b"HTTP/1.1 101 "), "{:?}", self.unread);
        self.unread.drain(..end + 4);
        assert!(self.waits_for_text().contains("\"welcome\""));
    }

    /// Its next command is answered, and nothing else has come.
    fn is_served(&mut self) {
        self.stream.write_all(&frame(FIN | TEXT, r#"{"type":"ping"}"#)).unwrap();
        let text = self.waits_for_text();
        assert!(text.contains("\"pong\""), "{text}");
    }

    fn waits_for_text(&mut self) -> String {
        loop {
            match self.text() {
                Some(text) => return text,
                None => self.reads(),
            }
        }
    }

    fn reads(&mut self) {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("a good client was closed: {:?}", self.unread),
            Ok(count) => self.unread.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("a good client was cut off: {error}"),
        }
    }

    /// The next message that is complete (RFC 6455 §5.2).
    fn text(&mut self) -> Option<String> {
        let (start, length) = match *self.unread.get(..2)? {
            [first, 126] if first == FIN | TEXT => {
                (4, usize::from(u16::from_be_bytes(self.unread.get(2..4)?.try_into().unwrap())))
            }
            [first, length] if first == FIN | TEXT && length < 126 => (2, usize::from(length)),
            _ => panic!("not a text: {:?}", self.unread),
        };
        let text = self.unread.get(start..start + length)?.to_vec();
        self.unread.drain(..start + length);
        Some(String::from_utf8(text).unwrap())
    }

    /// The moment at which an event was published; it must be the next one.
    fn takes_event(&mut self, text: &str) -> Option<Duration> {
        let (_, data) = text.split_once("\"data\":\"").unwrap_or_else(|| panic!("{text}"));
        let (data, _) = data.split_once('"')?;
        let (number, sent) = data.split_once(' ')?;
        assert_eq!(number.parse(), Ok(self.events), "an event was lost: {text}");
        self.events += 1;
        sent.parse().ok().map(Duration::from_nanos)
    }
}
