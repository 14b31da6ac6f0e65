//! A tester's process as its starter sees it.
//!
//! It never waits without end: a tester that says nothing is given up.

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

/// Connections may be refused slowly; a tester that takes longer to open them hangs.
const OPENING_TIME_MAX: Duration = Duration::from_secs(900);

/// What a slot may take beyond itself and its drain.
const SLOT_EXTRA_TIME_MAX: Duration = Duration::from_secs(30);

/// After its input has ended, a tester closes its connections and ends within this.
const PARTING_TIME_MAX: Duration = Duration::from_secs(5);

/// After a signal, a tester has this long to end what it is at.
const INTERRUPTED_TIME_MAX: Duration = Duration::from_secs(3);

/// Signals are looked for this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A tester. Ended on drop.
#[derive(Debug)]
pub struct Tester {
    child: Child,
    requests: Option<ChildStdin>,
    responses: Receiver<String>,
}

impl Tester {
    /// Starts this executable again, as the tester of the server of this name, with the words
    /// that this process was started with.
    ///
    /// # Errors
    /// It cannot be started.
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

    /// Waits until all its connections are open or were tried.
    ///
    /// # Errors
    /// None is open: the tester has said why.
    pub fn await_ready(&mut self) -> Result<Opened> {
        match self.read(OPENING_TIME_MAX)? {
            TesterResponse::Ready(opened) => Ok(opened),
            other => bail!("the tester said {other:?} before it was ready"),
        }
    }

    /// Its turn, at this rate; in a closed loop without.
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

    /// What the scheduler has given to its threads; the first, which only adds up, aside.
    ///
    /// # Errors
    /// The tester is gone.
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
                // A signal of the terminal reaches testers too, and they answer.
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

    /// Has it close its connections and end.
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
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread that reads, so that a wait for a line can end before there is one.
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
