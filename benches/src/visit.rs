//! How a client comes to a server of events: what it asks for on each transport, and when it is
//! known to be there.
//!
//! It reads until the server has said its first words, and nothing of what follows them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use ringway_frame::{Header, Parsed};

use crate::opening::{Link, Target};

/// A server that is silent for longer does not answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// More than any first words.
const WORDS_BYTES_MAX: usize = 16 * 1024;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// A WebSocket.
    Ws,
    /// Server-Sent Events.
    Sse,
    /// An endless response of a line each.
    Stream,
    /// A poll that is held back.
    Poll,
}

/// The first words of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// A WebSocket's handshake, and no more.
    Handshake,
    /// A handshake and one frame.
    Welcome,
    /// A response that goes on, up to a chunk that welcomes.
    Chunks,
    /// None: it answers when there is something to say.
    None,
}

/// A client that is to come.
#[derive(Debug, Clone)]
pub struct Visit {
    path: String,
    words: Words,
}

impl Visit {
    /// A client of a gateway, with a name, subscribed to one topic.
    pub fn new(route: Route, client: &str, topic: &str) -> Self {
        let (place, more, words) = match route {
            Route::Ws => ("ws", "", Words::Welcome),
            Route::Sse => ("sse", "", Words::Chunks),
            Route::Stream => ("stream", "", Words::Chunks),
            Route::Poll => ("poll", "&wait=3600", Words::None),
        };
        Self { path: format!("/{place}?client={client}&topic={topic}{more}"), words }
    }

    /// A WebSocket to a server that greets nobody.
    pub fn silent(path: &str) -> Self {
        Self { path: path.to_owned(), words: Words::Handshake }
    }

    /// Connects and waits for the first words. The socket does not block afterwards.
    ///
    /// # Errors
    /// The server refuses, or says something else.
    pub fn begin(&self, target: &Target, link: Link) -> Result<TcpStream> {
        let target = target.at(&self.path);
        let mut socket = target.connect_blocking(link)?;
        socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        match self.words {
            Words::Handshake | Words::Welcome => self.upgrade(&target, &mut socket)?,
            Words::Chunks | Words::None => {
                let host = target.authority();
                write!(socket, "GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", self.path)?;
            }
        }
        if self.words == Words::Chunks {
            await_words(&mut socket, |words| {
                ensure!(words.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(words));
                let welcomes = words.windows(WELCOME.len()).any(|part| part == WELCOME);
                Ok(welcomes && words.ends_with(b"\r\n"))
            })?;
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn upgrade(&self, target: &Target, socket: &mut TcpStream) -> Result<()> {
        let mut request = Vec::new();
        let mut opening = target.request(&mut request)?;
        socket.write_all(&request)?;
        let mut read = 0;
        await_words(socket, |words| {
            let head_bytes = opening.read_head(&words[read..])?;
            read = words.len();
            match (head_bytes, self.words) {
                (None, _) => Ok(false),
                (Some(bytes), Words::Welcome) => is_one_frame(&words[bytes..]),
                (Some(bytes), _) => {
                    ensure!(bytes == words.len(), "the server speaks first");
                    Ok(true)
                }
            }
        })
    }
}

const WELCOME: &[u8] = b"welcome";

fn is_one_frame(bytes: &[u8]) -> Result<bool> {
    Ok(match frame_bytes(bytes)? {
        None => false,
        Some(frame_bytes) => {
            ensure!(frame_bytes >= bytes.len(), "the server says more than its welcome");
            frame_bytes == bytes.len()
        }
    })
}

/// How long the frame is that begins here; `None`: its header is not whole.
///
/// # Errors
/// This is no frame.
pub fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>> {
    Ok(match Header::parse(bytes)? {
        Parsed::Incomplete => None,
        Parsed::Whole { header, bytes } => Some(bytes + usize::try_from(header.length)?),
    })
}

/// Reads until `is_whole` says so of all that was read.
fn await_words(
    socket: &mut TcpStream,
    mut is_whole: impl FnMut(&[u8]) -> Result<bool>,
) -> Result<()> {
    let mut words = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let count = socket.read(&mut buffer).context("waiting for the server's first words")?;
        if count == 0 {
            bail!("the server ends the connection: {}", String::from_utf8_lossy(&words));
        }
        words.extend_from_slice(&buffer[..count]);
        if is_whole(&words)? {
            return Ok(());
        }
        ensure!(words.len() < WORDS_BYTES_MAX, "the server's first words do not end");
    }
}
