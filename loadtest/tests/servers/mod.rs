//! Echo servers of a chosen speed: in threads of the test, or in a process whose CPU time can be
//! measured.
//!
//! They only echo; one of them echoes only messages in its own format.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tokio_tungstenite::tungstenite;

/// Set in a process that is a server: the microseconds of CPU time for each message.
const BURN: &str = "RINGWAY_LOADTEST_SERVER_BURN_US";

/// Called for each message before it is echoed.
type Work = Arc<dyn Fn() + Send + Sync>;

/// Serves in threads of this process.
pub fn start(work: Work) -> SocketAddr {
    start_for("", work)
}

/// Echoes messages that begin with these words, and ignores all others.
pub fn of_language(words: &'static str) -> SocketAddr {
    start_for(words, Arc::new(|| {}))
}

fn start_for(words: &'static str, work: Work) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let work = work.clone();
            thread::spawn(move || echo(socket, words, &work));
        }
    });
    address
}

/// Serves a client until its connection ends.
fn echo(stream: TcpStream, words: &str, work: &Work) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        let is_data = message.is_text() || message.is_binary();
        if is_data && message.clone().into_data().starts_with(words.as_bytes()) {
            work();
            if socket.send(message).is_err() {
                return;
            }
        }
    }
}

/// Echoes at once.
pub fn plain() -> SocketAddr {
    start(Arc::new(|| {}))
}

/// Echoes at most this many messages per second; missed ones are made up for within `burst`.
pub fn of_capacity(per_second: u32, burst: Duration) -> SocketAddr {
    let (each, next) = (Duration::from_secs(1) / per_second, Mutex::new(Instant::now()));
    start(Arc::new(move || {
        let until = {
            let mut next = next.lock().unwrap();
            *next = (*next).max(Instant::now() - burst) + each;
            *next
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }))
}

/// A server in a separate process. Dropping it ends the process.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts a server that spends this much CPU time on each message, in addition to the echo. The
    /// test binary needs a test named `serves` that calls [`serve_if_asked`].
    pub fn start(burn: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serves", "--nocapture", "--test-threads=1"])
            .env(BURN, burn.as_micros().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("serving at ")?;
            Some(address.parse().unwrap())
        });
        // The pipe must be read to its end, but the rest of the output is not needed.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("the address that it serves at") }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is killed, if this process is to be a server.
pub fn serve_if_asked() {
    let Ok(burn) = std::env::var(BURN) else { return };
    let burn = Duration::from_micros(burn.parse().unwrap());
    let address = start(Arc::new(move || {
        // CPU time, which excludes the time of other processes.
        let until = cpu_time() + burn;
        while cpu_time() < until {
            std::hint::spin_loop();
        }
    }));
    println!("serving at {address}");
    // If a test is killed, its server ends soon.
    thread::sleep(Duration::from_secs(120));
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs the load generator.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway-loadtest")).args(arguments).output().unwrap()
}

/// The JSON in the output.
pub fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}
