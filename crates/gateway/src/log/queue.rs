//! The queue between the threads that log and the one thread that writes.
//!
//! Adding a line never waits: if the queue is full, the line is dropped and counted. The reader of
//! standard error may stop at any time, and a write to a full pipe then blocks until it reads on.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;

use crate::limits::LOG_LINES_QUEUED_MAX;

/// At the end of the process, how often to retry while the queue is full.
const RETRY: Duration = Duration::from_millis(5);

/// Lines on their way to a file.
#[derive(Debug, Clone)]
pub struct Queue {
    sender: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Box<[u8]>),
    /// Signalled when all lines before it have been written.
    Mark(SyncSender<()>),
}

impl Queue {
    /// Starts the thread that writes to `file`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(file: File) -> io::Result<Self> {
        let (sender, entries) = sync_channel(LOG_LINES_QUEUED_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { file, dropped: Arc::clone(&dropped), reported: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&entries))?;
        Ok(Self { sender, dropped })
    }

    /// Adds a line, or drops it if the queue is full.
    pub fn add(&self, line: &[u8]) {
        if self.sender.try_send(Entry::Line(line.into())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped, or could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines so far have been written, but not longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (written, is_written) = sync_channel(1);
        let mut mark = Entry::Mark(written);
        loop {
            match self.sender.try_send(mark) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => mark = back,
                Err(_) => return,
            }
            thread::sleep(RETRY);
        }
        // Either all lines are written, or the time is over.
        let _ = is_written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// `tracing-subscriber` writes each formatted event in one piece.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread's side of the queue.
struct Writer {
    file: File,
    dropped: Arc<AtomicU64>,
    reported: u64,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        for entry in entries {
            match entry {
                Entry::Line(line) => match self.write(&line) {
                    Ok(()) => self.report_dropped(),
                    Err(_) => {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                },
                // A flush that has timed out no longer listens.
                Entry::Mark(written) => drop(written.try_send(())),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process that shares the pipe may have made it non-blocking (open(2),
                // O_NONBLOCK).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let fd = PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::OUT);
                    // After an interrupted wait the write is tried again.
                    let _ = poll(&mut [fd], None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Logs how many lines are missing, once lines can be written again. This line goes through the
    /// queue as all others do.
    fn report_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.reported {
            let lines = dropped - self.reported;
            self.reported = dropped;
            warn!(lines, "log lines were dropped because standard error was not read");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, pipe};

    use super::*;

    /// Long lines, so that a few fill a pipe.
    const LINE: [u8; 1000] = [b'x'; 1000];

    #[test]
    fn an_unread_pipe_blocks_nobody() {
        let (reader, writer) = pipe().unwrap();
        let queue = Queue::start(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        let line = [&LINE[..], b"\n"].concat();
        let total = LOG_LINES_QUEUED_MAX as u64 + 2_000;
        let start = Instant::now();
        for _ in 0..total {
            queue.add(&line);
        }
        queue.flush(Duration::from_millis(100));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let dropped = queue.dropped();
        assert!(dropped > 1_000, "{dropped}");
        // All lines that were not dropped arrive once the pipe is read.
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        assert_eq!(lines.take((total - dropped) as usize).count() as u64, total - dropped);
        queue.flush(Duration::from_secs(5));
        queue.add(&line);
        queue.flush(Duration::from_secs(5));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let queue = Queue::start(full).unwrap();
        for _ in 0..3 {
            queue.add(b"line\n");
        }
        queue.flush(Duration::from_secs(5));
        assert_eq!(queue.dropped(), 3);
    }
}
