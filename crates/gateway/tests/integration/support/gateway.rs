//! A gateway that runs: its addresses, its log, its signals, and what the kernel says of it.
//!
//! Dropping it kills the process, and only that one.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Client, Engine, Launch, PATIENCE, Response, eventually};

/// Clock ticks per second in /proc/PID/stat: USER_HZ, which is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running gateway.
pub struct Gateway {
    process: Child,
    log: Arc<Log>,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The private API.
    pub api: SocketAddr,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// Nothing is read after the next line.
    is_unwanted: bool,
    ended: bool,
}

impl Gateway {
    /// With defaults but for its ports.
    #[track_caller]
    pub fn start(engine: Engine) -> Self {
        Launch::on(engine).start()
    }

    /// With these settings.
    #[track_caller]
    pub fn start_with(engine: Engine, settings: &[&str]) -> Self {
        Launch::on(engine).set(settings).start()
    }

    /// Takes charge of a process that has just been started.
    #[track_caller]
    pub(super) fn watch(mut process: Child) -> Self {
        let log = Arc::new(Log::default());
        let stderr = process.stderr.take().unwrap();
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.fill(stderr)
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self { process, log, address: unknown, api: unknown };
        let line = gateway.logs("is listening");
        gateway.logs("is serving");
        gateway.address = address_after(&line, "ws://");
        gateway.api = address_after(&line, "http://");
        gateway
    }

    /// The first log line with `text` in it, as soon as there is one.
    #[track_caller]
    pub fn logs(&self, text: &str) -> String {
        let start = Instant::now();
        let mut log = self.log.lock();
        loop {
            if let Some(line) = log.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero() && !log.ended, "no {text:?} in the log: {:#?}", log.lines);
            log = self.log.grown.wait_timeout(log, left).unwrap().0;
        }
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().lines.clone()
    }

    /// Closes the reading end of the log: what the gateway writes from now on fails.
    #[track_caller]
    pub fn loses_its_log(&self) {
        self.log.lock().is_unwanted = true;
        self.signal("HUP");
        eventually("the next line of the log", || self.log.lock().ended);
    }

    /// Sends a signal: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// The answer of the private API.
    #[track_caller]
    pub fn api(&self, path: &str) -> Response {
        let mut client = Client::connect_to(self.api);
        client.sends(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.receives_response()
    }

    /// The value of a metric; of one that is told apart by a label and is named without it, the sum.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.api("/metrics").body).unwrap();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<u64> =
            samples.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {name} in {text}");
        values.iter().sum()
    }

    /// Waits until it holds this many connections.
    #[track_caller]
    pub fn holds(&self, connections: u64) {
        let what = format!("the gateway holds {connections} connections");
        eventually(&what, || self.metric("ringway_connections") == connections);
    }

    /// Waits until this many clients of the hub are on a transport.
    #[track_caller]
    pub fn serves(&self, clients: u64, transport: &str) {
        let metric = format!("ringway_sessions{{transport=\"{transport}\"}}");
        let what = format!("{clients} clients on {transport}");
        eventually(&what, || self.metric(&metric) == clients);
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Processor time used so far, by all threads.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // proc_pid_stat(5): the name in parentheses may contain anything; utime and stime are
        // the twelfth and the thirteenth field after it.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u32 = fields[11..13].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum();
        TICK * ticks
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Either it has ended already, or nobody needs it any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("log of the gateway: {:#?}", self.log());
        }
    }
}

impl Log {
    /// A test that failed while it held the lock still wants to see the log.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = self.lock();
            log.lines.push(line);
            self.grown.notify_all();
            if log.is_unwanted {
                break;
            }
        }
        // The loop has dropped the pipe.
        self.lock().ended = true;
        self.grown.notify_all();
    }
}

/// Sends a signal to a process that the test has started.
#[track_caller]
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

#[track_caller]
fn address_after(line: &str, scheme: &str) -> SocketAddr {
    let (_, rest) = line.split_once(scheme).unwrap_or_else(|| panic!("no {scheme} in {line:?}"));
    let end = rest.find([';', ',', ' ', '"']).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("no address after {scheme} in {line:?}"))
}
