//! A tester's process, as seen by the process that started it.
//!
//! It never waits forever: a tester that sends nothing is given up.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::slot::{Opened, Slot, TesterRequest, TesterResponse};
use crate::{
    engine::signal,
    measure::process::{self, Scheduled},
};

/// A server may refuse connections slowly, but a tester that takes longer to open them hangs.
const OPENING_TIME_MAX: Duration = Duration::from_secs(900);

/// However short the time is, one round is measured: a busy machine needs a moment to start a tester.
const OPENING_TIME_MIN: Duration = Duration::from_secs(10);

/// The most time that a slot may take in addition to its length and its drain.
const SLOT_EXTRA_TIME_MAX: Duration = Duration::from_secs(30);

/// A tester must close its connections and end within this time after the end of its input.
const PARTING_TIME_MAX: Duration = Duration::from_secs(5);

/// A tester must finish its slot within this time after a signal.
const INTERRUPTED_TIME_MAX: Duration = Duration::from_secs(3);

/// How often to check for signals.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A tester's process. Dropping it ends the process.
#[derive(Debug)]
pub struct Tester {
    child: Child,
    requests: Option<ChildStdin>,
    responses: Receiver<String>,
}

impl Tester {
    /// Starts this executable again, as the tester of the server of this name, with the arguments
    /// of this process.
    ///
    /// # Errors
    /// The tester cannot be started.
    pub fn start(name: &str) -> Result<Self> {
        // The first two are the program and `compare`.
        let words: Vec<OsString> = env::args_os().skip(2).collect();
        let mut child = Command::new(env::current_exe().context("finding this program")?)
            .args(["tester", "--target", name])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a tester")?;
        let requests = Some(child.stdin.take().context("its input is piped")?);
        let responses = read_lines(child.stdout.take().context("its output is piped")?)?;
        Ok(Self { child, requests, responses })
    }

    /// Waits until each connection is open or its first attempt has failed, or until the deadline.
    ///
    /// # Errors
    /// No connection is open; the error is the tester's.
    pub fn await_ready(&mut self, deadline: Option<Instant>) -> Result<Opened> {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let within = left.unwrap_or(OPENING_TIME_MAX).clamp(OPENING_TIME_MIN, OPENING_TIME_MAX);
        match self.read(within)? {
            TesterResponse::Ready(opened) => Ok(opened),
            other => bail!("the tester said {other:?} before it was ready"),
        }
    }

    /// Measures one slot at this rate, or in a closed loop if there is none.
    ///
    /// # Errors
    /// The tester has ended or hangs.
    pub fn measure(&mut self, slot: Duration, drain: Duration, rate: Option<f64>) -> Result<Slot> {
        let micros = slot.as_micros() as u64;
        let request = serde_json::to_string(&TesterRequest::Measure { micros, rate })?;
        let requests = self.requests.as_mut().context("the tester was told to end")?;
        writeln!(requests, "{request}").context("the tester has ended")?;
        match self.read(slot + drain + SLOT_EXTRA_TIME_MAX)? {
            TesterResponse::Slot(slot) => Ok(*slot),
            other => bail!("the tester said {other:?} instead of what it saw"),
        }
    }

    /// The scheduler's figures of its threads, without the first, which only adds up.
    ///
    /// # Errors
    /// The tester has ended.
    pub fn scheduled(&self) -> Result<Scheduled> {
        let pid = self.child.id();
        let mut threads = process::threads(pid)?;
        threads.remove(&pid);
        Ok(threads.values().fold(Scheduled::default(), |sum, one| Scheduled {
            cpu: sum.cpu + one.cpu,
            waited: sum.waited + one.waited,
        }))
    }

    fn read(&mut self, within: Duration) -> Result<TesterResponse> {
        let mut deadline = Instant::now() + within;
        let mut is_hurried = false;
        loop {
            if !is_hurried && signal::seen().is_some() {
                // A signal from the terminal reaches testers, too, and they answer.
                is_hurried = true;
                deadline = deadline.min(Instant::now() + INTERRUPTED_TIME_MAX);
            }
            match self.responses.recv_timeout(LOOK_INTERVAL) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(TesterResponse::Failed(why)) => return Err(anyhow!(why)),
                    Ok(answer) => return Ok(answer),
                    Err(_) => bail!("the tester said `{line}`"),
                },
                Err(RecvTimeoutError::Disconnected) => bail!("the tester has ended"),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    ensure!(!is_hurried, "interrupted");
                    bail!("the tester has said nothing for {} s", within.as_secs())
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Makes the tester close its connections and end.
    pub fn end(&mut self) {
        self.requests = None;
        let deadline = Instant::now() + PARTING_TIME_MAX;
        while Instant::now() < deadline && signal::seen().is_none() {
            match self.responses.recv_timeout(LOOK_INTERVAL) {
                Err(RecvTimeoutError::Disconnected) => break,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        // The tester may have ended already, so both may fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a thread that reads lines, so that waiting for one can time out.
fn read_lines(out: ChildStdout) -> Result<Receiver<String>> {
    let (line_in, lines) = mpsc::channel();
    let read = move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if line_in.send(line).is_err() {
                break;
            }
        }
    };
    thread::Builder::new()
        .name("tester-responses".to_owned())
        .spawn(read)
        .context("starting a thread")?;
    Ok(lines)
}
