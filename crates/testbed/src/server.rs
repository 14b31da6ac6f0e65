//! A server's process: starts it, waits until it prints its address, and ends it with SIGTERM or on
//! drop. Its output is shown when the test that started it fails.

use std::fs;
use std::io::pipe;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Output;

/// How often a process that is about to end is checked.
const POLL: Duration = Duration::from_millis(5);
/// How long output may trail behind a process that has ended.
const TRAILING_OUTPUT: Duration = Duration::from_millis(300);
/// How many lines of its output an error quotes.
const QUOTED_LINES_MAX: usize = 20;
/// Clock ticks per second in /proc/PID/stat: USER_HZ, which is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Output,
}

impl Server {
    /// Starts it; its standard output and error are merged. Takes the command by value, because a
    /// kept [`Command`] would hold the pipe open.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: Command) -> Result<Self> {
        Self::start_with(command, None, None)
    }

    /// As [`Server::start`], with these sockets as standard input and output, if there are any.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(
        mut command: Command,
        stdin: Option<OwnedFd>,
        stdout: Option<OwnedFd>,
    ) -> Result<Self> {
        let (reader, writer) = pipe().context("cannot create a pipe")?;
        let stdout = match stdout {
            Some(socket) => Stdio::from(socket),
            None => writer.try_clone().context("cannot duplicate a pipe")?.into(),
        };
        let child = command
            .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(stdout)
            .stderr(writer)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, output: Output::of(reader) })
    }

    /// Waits for a line with `text`.
    ///
    /// # Errors
    /// The server ends, or the time limit passes, without such a line. The error quotes its last
    /// lines.
    pub fn says(&mut self, text: &str, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            // In steps: a process that has ended may have left its pipe to a child.
            let part = end.saturating_duration_since(Instant::now()).min(TRAILING_OUTPUT);
            if let Some(line) = self.output.wait_for(text, part) {
                return Ok(line);
            }
            if let Some(status) = self.child.try_wait()? {
                self.output.wait_for_end(TRAILING_OUTPUT);
                if let Some(line) = self.output.wait_for(text, Duration::ZERO) {
                    return Ok(line);
                }
                bail!("it ended with {status} and did not say {text:?}:\n{}", self.last_lines());
            }
            if Instant::now() >= end {
                bail!(
                    "it did not say {text:?} within {} s:\n{}",
                    limit.as_secs(),
                    self.last_lines()
                );
            }
            if self.output.wait_for_end(Duration::ZERO) {
                thread::sleep(POLL);
            }
        }
    }

    /// The address that it listens on, once it prints it in a line with `ws://`.
    ///
    /// # Errors
    /// As [`Server::says`].
    pub fn announces(&mut self, limit: Duration) -> Result<SocketAddr> {
        let line = self.says("ws://", limit)?;
        address_after(&line, "ws://").with_context(|| format!("no address in {line:?}"))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// The server has ended and its status was read.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot send {signal:?}"))
    }

    /// Waits for its end; `None` if the limit is reached first.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn ends(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= end {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Sends SIGTERM, and expects exit status 0 within the limit.
    ///
    /// # Errors
    /// The server had already ended, ends with another status, or keeps running.
    pub fn stop(&mut self, limit: Duration) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended by itself with {status}:\n{}", self.last_lines());
        }
        self.signal(Signal::TERM)?;
        match self.ends(limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                bail!("it ended with {status} after SIGTERM, not with 0:\n{}", self.last_lines())
            }
            None => bail!(
                "it was still running {} s after SIGTERM:\n{}",
                limit.as_secs(),
                self.last_lines()
            ),
        }
    }

    /// Its output so far.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The end of its output, for an error.
    pub fn last_lines(&self) -> String {
        self.output.last(QUOTED_LINES_MAX)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Resident memory in bytes (proc_pid_status(5)).
    ///
    /// # Errors
    /// The server has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// The server has ended.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Processor time used so far, by all threads (proc_pid_stat(5)).
    ///
    /// # Errors
    /// The server has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name in parentheses may contain anything; utime and stime are the twelfth and the
        // thirteenth field after it.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(TICK * ticks.sum::<Result<u32, _>>()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("output of process {}: {:#?}", self.pid(), self.output.lines());
        }
    }
}

/// The address after `scheme` in a line such as `is listening on ws://127.0.0.1:4711; …`.
pub fn address_after(line: &str, scheme: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(scheme)?;
    rest.split([';', ',', ' ', '/', '"']).next()?.parse().ok()
}
