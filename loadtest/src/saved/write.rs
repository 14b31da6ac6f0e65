//! Writes histogram logs.
//!
//! It never measures. A file is complete or absent: it is written under another name and then
//! renamed. Special files, such as devices and FIFOs, are never replaced, but written to.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use flate2::CrcWriter;
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};

use super::{
    CHECKSUM, LINE_TIME, LOOK_DELAY, OPENING, OPENING_TAG, REPORT, RUNS, SEND_DELAY, Saved,
};
use crate::measure::{encoding, quantiles::Times};

/// Characters in a piece of the report: other tools may limit the length of a line.
const PIECE_CHARS: usize = 2000;

/// Converts nanoseconds to milliseconds, the unit of each line's longest time.
const MAX_DIVISOR: f64 = 1e6;

/// The content of a log.
pub struct Log {
    /// Comments at the start of the log.
    pub comments: Vec<String>,
    /// The start of the log, since 1970.
    pub started_at: Duration,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A histogram in a log.
pub struct Line {
    /// The kind of time that it counts; `None` if the log has only one kind.
    pub tag: Option<String>,
    /// Its start, after the start of the log.
    pub at: Duration,
    /// The time that it covers.
    pub length: Duration,
    /// The times in nanoseconds.
    pub times: Times,
}

/// Writes a run to a file.
///
/// # Errors
/// The file cannot be written.
pub fn save(saved: &Saved, path: &Path) -> Result<()> {
    let json = serde_json::to_string(&saved.report)?;
    let mut comments = vec![format!("{RUNS}{}", saved.runs.join(" "))];
    comments.extend(report_comments(&json));
    for (name, times) in [
        (OPENING, &saved.openings),
        (SEND_DELAY, &saved.send_delays),
        (LOOK_DELAY, &saved.look_delays),
    ] {
        comments.push(format!("{name}{}", encoding::encode(times)));
    }
    let seconds = saved.seconds.iter().enumerate().filter(|(_, second)| !second.is_empty());
    let mut lines: Vec<Line> = seconds
        .map(|(index, second)| Line {
            tag: None,
            at: LINE_TIME * index as u32,
            length: LINE_TIME,
            times: second.to_times(),
        })
        .collect();
    if lines.is_empty() && !saved.openings.is_empty() {
        lines.push(Line {
            tag: Some(OPENING_TAG.to_owned()),
            at: Duration::ZERO,
            length: Duration::from_secs_f64(saved.report.elapsed_s),
            times: saved.openings.clone(),
        });
    }
    let started_at = Duration::from_secs_f64(saved.report.started_at_unix_s);
    write(&Log { comments, started_at, lines }, path)
}

/// The comments that contain a report.
pub fn report_comments(json: &str) -> Vec<String> {
    let chars: Vec<char> = json.chars().collect();
    let pieces = chars.chunks(PIECE_CHARS);
    pieces.map(|piece| REPORT.chars().chain(piece.iter().copied()).collect()).collect()
}

/// Writes a log to a file.
///
/// # Errors
/// The file cannot be written.
pub fn write(log: &Log, path: &Path) -> Result<()> {
    let written = if is_replaced(path) { replace(log, path) } else { write_to(log, path) };
    written.with_context(|| format!("writing {}", path.display()))
}

/// Whether a file replaces what exists at this path. A link is followed instead, because it may
/// lead to a device.
pub fn is_replaced(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(true, |about| about.is_file())
}

/// The path at which a file is written before it is renamed.
pub fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    beside.into()
}

fn replace(log: &Log, path: &Path) -> Result<()> {
    let beside = beside(path);
    ensure!(
        is_replaced(&beside),
        "{} exists and is not a regular file; move it away",
        beside.display()
    );
    let written = write_to(log, &beside).and_then(|()| Ok(fs::rename(&beside, path)?));
    if written.is_err() {
        // A partial file is useless. If removing it fails too, the write error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_to(log: &Log, path: &Path) -> Result<()> {
    let mut file = CrcWriter::new(BufWriter::new(fs::File::create(path)?));
    let mut serializer = V2DeflateSerializer::new();
    let mut head = IntervalLogWriterBuilder::new();
    head.add_comment("[Histogram log format version 1.3]");
    for comment in &log.comments {
        // The writer adds the number sign.
        head.add_comment(comment.trim_start_matches('#'));
    }
    head.with_start_time(SystemTime::UNIX_EPOCH + log.started_at);
    head.with_max_value_divisor(MAX_DIVISOR);
    let mut writer = head.begin_log_with(&mut file, &mut serializer)?;
    for line in &log.lines {
        let tag = line.tag.as_deref().and_then(Tag::new);
        let written = writer.write_histogram(&line.times, line.at, line.length, tag);
        written.map_err(|error| anyhow!("{error}"))?;
    }
    let checksum = file.crc().sum();
    writeln!(file, "{CHECKSUM}{checksum:08x}")?;
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{FileTypeExt, symlink},
        process::Command,
        thread,
    };

    use super::*;

    #[test]
    fn only_usual_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [file, connection, fifo, full] =
            ["file", "connection", "fifo", "full"].map(|name| folder.path().join(name));
        let log = || Log { comments: Vec::new(), started_at: Duration::ZERO, lines: Vec::new() };
        write(&log(), &file).unwrap();
        let whole = fs::read(&file).unwrap();
        assert!(whole.starts_with(b"#"));

        symlink(&file, &connection).unwrap();
        fs::write(&file, "").unwrap();
        write(&log(), &connection).unwrap();
        assert!(connection.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), whole);

        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let reader = thread::spawn({
            let fifo = fifo.clone();
            move || fs::read(fifo).unwrap()
        });
        write(&log(), &fifo).unwrap();
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), whole);

        symlink("/dev/full", &full).unwrap();
        assert!(write(&log(), &full).is_err());
        assert!(full.is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
