//! Child processes with a time limit, and their output line by line.
//! Only ends processes that it, or a child of its own, has started.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

/// How often a running child is checked.
const POLL: Duration = Duration::from_millis(20);
/// How long output may trail behind a child that has ended.
const TRAILING_OUTPUT: Duration = Duration::from_millis(300);

/// The result of a finished command.
pub struct Captured {
    pub status: ExitStatus,
    pub output: String,
}

/// Runs a command to its end; its output goes to the output of this program.
pub fn run(mut command: Command, limit: Duration) -> Result<ExitStatus> {
    let line = display(&command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{line}`; check that it is installed"))?;
    match wait(&mut child, limit)? {
        Some(status) => Ok(status),
        None => {
            end_with_descendants(&mut child);
            bail!("`{line}` was still running after {} s and was ended", limit.as_secs())
        }
    }
}

/// As [`run`], but anything other than exit status 0 is an error.
pub fn check(command: Command, limit: Duration) -> Result<()> {
    let line = display(&command);
    let status = run(command, limit)?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a command to its end and keeps standard output and error, in order.
pub fn capture(command: Command, limit: Duration) -> Result<Captured> {
    let mut output = String::new();
    let status = follow(command, limit, |line| {
        output.push_str(line);
        output.push('\n');
    })?;
    Ok(Captured { status, output })
}

/// Runs a command to its end and passes on each line that it prints.
pub fn follow(
    command: Command,
    limit: Duration,
    mut each_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    let line = display(&command);
    let (mut child, lines) = spawn_with_lines(command)?;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(POLL) {
            Ok(text) => {
                each_line(&text);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, at)) if at.elapsed() > TRAILING_OUTPUT => return Ok(status),
            None if Instant::now() >= deadline => {
                end_with_descendants(&mut child);
                bail!("`{line}` was still running after {} s and was ended", limit.as_secs());
            }
            _ => {}
        }
    }
}

/// Starts a command; its standard output and error arrive merged, line by line. Takes the command
/// by value, because a kept `Command` would hold the pipe open for ever.
pub fn spawn_with_lines(mut command: Command) -> Result<(Child, Receiver<String>)> {
    let line = display(&command);
    let (reader, writer) = pipe().context("cannot create a pipe")?;
    let child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot duplicate a pipe")?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start `{line}`; check that it is installed"))?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || forward_lines(reader, &sender));
    Ok((child, lines))
}

fn forward_lines(reader: PipeReader, sender: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&bytes);
        if sender.send(text.trim_end_matches(['\r', '\n']).to_owned()).is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Waits for a child; `None` if the limit is reached first.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Ends a child and all of its descendants at once.
pub fn end_with_descendants(child: &mut Child) {
    let mut doomed = descendants(child.id());
    doomed.reverse();
    for pid in doomed {
        // A descendant may have ended meanwhile.
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The processes below `root`, parents before children (proc_pid_stat(5)).
pub fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may contain spaces and parentheses.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// The processor time of all descendants that have ended and were waited for (proc_pid_stat(5)).
pub fn cpu_time_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may contain spaces and parentheses; `cutime` and `cstime` are the
    // fields 16 and 17, counted from 1, and the name is the second.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(13).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

/// A command as typed in a shell, for messages.
pub fn display(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    let line = words.join(" ");
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_errors_arrive_in_order() {
        let captured =
            capture(shell("echo one; echo two >&2; printf three"), Duration::from_secs(10))
                .unwrap();
        assert!(captured.status.success());
        assert_eq!(captured.output, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_stuck_command_is_ended_with_its_children() {
        let began = Instant::now();
        let error = run(shell("sleep 60 & sleep 60; true"), Duration::from_millis(200));
        assert!(error.unwrap_err().to_string().contains("still running"));
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(descendants(std::process::id()).len() < 8);
    }

    #[test]
    fn the_processor_time_of_children_is_counted() {
        let before = cpu_time_of_children();
        check(shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"), INSTANT).unwrap();
        let used = cpu_time_of_children() - before;
        assert!(used > Duration::ZERO && used < INSTANT, "{used:?}");
    }

    #[test]
    fn a_child_left_behind_does_not_hold_up_its_parent() {
        let began = Instant::now();
        let captured = capture(shell("sleep 3 & echo done"), Duration::from_secs(30)).unwrap();
        assert_eq!(captured.output, "done\n");
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn a_failed_command_is_an_error_that_names_it() {
        let error = check(shell("exit 3"), Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
        assert!(check(Command::new("/nonexistent"), POLL).is_err());
    }
}
