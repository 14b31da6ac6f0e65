//! Events that are published while all connections are away, so that each misses them.
//!
//! They are POST requests, one after another, on a thread that ends with them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ringway_http::{Asked, Part, ResponseReader};

use crate::wire::{
    handshake::{Approach, RESPONSE_LIMITS},
    request,
};

/// The placeholder for the number of an event, from 1.
const EVENT: &str = "{event}";

/// How long a server may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// The events that each connection misses.
#[derive(Debug, Clone)]
pub struct Missed {
    /// Where they are published.
    pub approach: Approach,
    /// The content type of the requests.
    pub content_type: String,
    /// The body of each request.
    pub body: String,
    /// How many they are.
    pub events: u32,
    /// From the drop to the first one: the server notices meanwhile that the connections are gone.
    pub after: Duration,
}

impl Missed {
    /// Publishes them on a thread of their own; its result is how long that took, from now on.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn begin(&self) -> Result<JoinHandle<Result<Duration>>> {
        let missed = self.clone();
        let publish = move || {
            let began = Instant::now();
            thread::sleep(missed.after);
            missed.publish().context("publishing what the connections are to miss")?;
            Ok(began.elapsed())
        };
        thread::Builder::new()
            .name("missed-events".to_owned())
            .spawn(publish)
            .context("starting a thread")
    }

    fn publish(&self) -> Result<()> {
        let target = self.approach.target();
        let mut stream = TcpStream::connect(target.addresses())
            .with_context(|| format!("connecting to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let mut response = ResponseReader::default();
        for number in 1..=self.events {
            let body = self.body.replace(EVENT, &number.to_string());
            let mut bytes = request::post(&self.approach, 0, &self.content_type, body.len());
            bytes.extend_from_slice(body.as_bytes());
            stream.write_all(&bytes)?;
            let status = answer(&mut stream, &mut response)?;
            ensure!(
                (200..=299).contains(&status),
                "{target} answered event {number} with {status}"
            );
        }
        Ok(())
    }
}

/// Reads one response to its end.
fn answer(stream: &mut TcpStream, response: &mut ResponseReader) -> Result<u16> {
    let (mut buffer, mut status) = ([0; 4096], 0);
    loop {
        let count = stream.read(&mut buffer).context("reading a response")?;
        ensure!(count > 0, "the server ended the connection before it had answered");
        let mut rest = &buffer[..count];
        loop {
            match response.read(&mut rest, Asked::Content, &RESPONSE_LIMITS) {
                Ok(Some(Part::Head(head))) => status = head.status,
                Ok(Some(Part::End(_))) => return Ok(status),
                Ok(Some(Part::Interim(_) | Part::Body(_))) => {}
                Ok(None) => break,
                Err(fault) => bail!("the response is malformed: {fault:?}"),
            }
        }
    }
}
