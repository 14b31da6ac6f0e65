//! The relay's HTTP transports: `/stream` has Server-Sent Events, and `/poll` waits for new events.
//!
//! Each serves one connection from the history; their only fault is to end too soon.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{Fault, Room};

/// How often to check the history.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A poll without new events is answered after this time.
const POLL_TIME_MAX: Duration = Duration::from_millis(300);

impl Room {
    /// Answers a GET; `None` if the connection ends.
    pub fn answer_get(
        &self,
        request: &str,
        known: Option<String>,
        mut output: &TcpStream,
    ) -> Option<()> {
        if request.starts_with("GET /stream") {
            return self.stream(output);
        }
        if !request.starts_with("GET /poll") {
            output.write_all(b"HTTP/1.1 404 None\r\nContent-Length: 4\r\n\r\nwhat").ok()?;
            return Some(());
        }
        let in_query = request.split("at=").nth(1).map(|at| at.split(' ').next().unwrap().into());
        let at: Option<usize> = in_query.or(known).map(|at: String| at.parse().unwrap());
        let at = at.unwrap_or_else(|| self.inside().history.len());
        let until = Instant::now() + POLL_TIME_MAX;
        while self.inside().history.len() == at {
            if Instant::now() > until {
                return output.write_all(b"HTTP/1.1 304 Nothing\r\n\r\n").ok();
            }
            thread::sleep(LOOK_INTERVAL);
        }
        let inside = self.inside();
        let news: Vec<_> = inside.history[at..].iter().map(String::as_str).collect();
        let end = inside.history.len();
        let body = format!("{{\"at\":\"{end}\",\"events\":[\"{}\"]}}", news.join("\",\""));
        drop(inside);
        let length = body.len();
        let fields = match self.fault {
            Fault::ClosesAfterResponses => "Connection: close\r\n".to_owned(),
            // For subscribers that do not use the cursor.
            _ => format!("ETag: {end}\r\n"),
        };
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n");
        output.write_all((head + &body).as_bytes()).ok()?;
        if self.fault == Fault::ClosesAfterResponses {
            let _ = output.shutdown(Shutdown::Both);
            return None;
        }
        Some(())
    }

    fn stream(&self, mut output: &TcpStream) -> Option<()> {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        output.write_all(head).ok()?;
        let mut at = self.inside().history.len();
        while !self.is_dead.load(Ordering::Acquire) {
            let news = self.inside().history[at..].to_vec();
            for event in news {
                at += 1;
                if self.fault == Fault::Closes(at as u64) && self.is_first_fault() {
                    let _ = output.write_all(b"0\r\n\r\n");
                    return None;
                }
                let text = format!("id: {at}\ndata: {event}\n\n");
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                output.write_all(chunk.as_bytes()).ok()?;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        None
    }

    /// Counts a fault, unless another subscriber had it.
    fn is_first_fault(&self) -> bool {
        self.faults.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
