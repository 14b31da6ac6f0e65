//! A client of the gateway's `/ws` that has connected and received its welcome.
//!
//! It reads the welcome, and nothing after it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use ringway_frame::{Header, Parsed};

use crate::handshake::{Link, Target};

/// A server that is silent for longer counts as dead.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// More than any response with its welcome.
const WELCOME_BYTES_MAX: usize = 16 * 1024;

/// Connects as the client of this name, subscribed to one topic, and waits for the welcome.
/// Afterwards the socket does not block.
///
/// # Errors
/// The gateway refuses, or sends something else.
pub fn connect(target: &Target, link: Link, name: &str, topic: &str) -> Result<TcpStream> {
    let target = target.at(&format!("/ws?client={name}&topic={topic}"));
    let mut socket = target.connect_blocking(link)?;
    socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let mut request = Vec::new();
    let mut handshake = target.request(&mut request)?;
    socket.write_all(&request)?;
    let (mut received, mut head_bytes) = (Vec::new(), None);
    let mut buffer = [0; 2048];
    loop {
        let count = socket.read(&mut buffer).context("waiting for the welcome")?;
        if count == 0 {
            bail!("the gateway ends the connection: {}", String::from_utf8_lossy(&received));
        }
        received.extend_from_slice(&buffer[..count]);
        if head_bytes.is_none() {
            head_bytes = handshake.read_head(&buffer[..count])?;
        }
        if head_bytes.map_or(Ok(false), |bytes| is_one_frame(&received[bytes..]))? {
            socket.set_nonblocking(true)?;
            return Ok(socket);
        }
        ensure!(received.len() < WELCOME_BYTES_MAX, "the welcome is incomplete");
    }
}

fn is_one_frame(bytes: &[u8]) -> Result<bool> {
    Ok(match frame_bytes(bytes)? {
        None => false,
        Some(frame_bytes) => {
            ensure!(frame_bytes >= bytes.len(), "the gateway sent more than its welcome");
            frame_bytes == bytes.len()
        }
    })
}

/// The length of the frame that begins here; `None`: its header is incomplete.
///
/// # Errors
/// The bytes are no valid frame.
pub fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>> {
    Ok(match Header::parse(bytes)? {
        Parsed::Incomplete => None,
        Parsed::Whole { header, bytes } => Some(bytes + usize::try_from(header.length)?),
    })
}
