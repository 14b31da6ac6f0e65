//! The opening handshake of one connection: what is asked for, and whether the response is a yes.
//!
//! It never touches a socket or a clock: how long it may take is the caller's business.

use std::borrow::Cow;

use anyhow::{Context, Result};
use ringway_frame::{
    MessageReader, Role,
    deflate::Offer,
    handshake::client::{Accepted, Request, Verdict, random_nonce},
};

use super::{failure::Reason, message::Form, target::Target};

/// A response head longer than this is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What follows when a connection is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// The handshake of a WebSocket, and messages.
    WebSocket,
    /// Requests of HTTP, each with its response.
    Requests,
}

/// What every connection asks the server for.
#[derive(Debug, Clone)]
pub struct Approach {
    exchange: Exchange,
    target: Target,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    offers: Vec<Offer>,
}

impl Approach {
    /// Asks for a WebSocket, with compression if `form` says so.
    pub fn new(target: Target, form: Form) -> Self {
        // The server may then not ask for a smaller window, and one context can serve all.
        let offer = Offer { client_no_context_takeover: true, ..Offer::default() };
        let offers = match form {
            Form::Plain => Vec::new(),
            Form::Compressed => vec![offer],
        };
        let exchange = Exchange::WebSocket;
        Self { exchange, target, subprotocols: Vec::new(), headers: Vec::new(), offers }
    }

    /// Asks for no WebSocket: the workload sends requests.
    #[must_use]
    pub fn with_requests(self) -> Self {
        Self { exchange: Exchange::Requests, ..self }
    }

    /// The same with these subprotocols and further headers.
    ///
    /// # Errors
    /// What cannot stand in a request.
    pub fn with_headers(
        mut self,
        subprotocols: &[String],
        headers: &[(String, String)],
    ) -> Result<Self> {
        self.subprotocols = subprotocols.to_vec();
        self.headers = headers.to_vec();
        Terms::of(&self).begin(0, &mut Vec::new()).context("the request cannot be written")?;
        Ok(self)
    }

    /// What follows when a connection is there.
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Further headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Path and query for one connection: its number stands for each `{n}`.
    pub fn path(&self, link: u32) -> Cow<'_, str> {
        let path = self.target.path();
        if !path.contains(NUMBER) && !path.contains(NUMBER_ENCODED) {
            return path.into();
        }
        let number = link.to_string();
        path.replace(NUMBER, &number).replace(NUMBER_ENCODED, &number).into()
    }
}

/// What stands for the number of the connection in a URL, and its form in a path.
const NUMBER: &str = "{n}";
const NUMBER_ENCODED: &str = "%7Bn%7D";

/// An approach in the form that requests borrow.
#[derive(Debug)]
pub struct Terms<'p> {
    approach: &'p Approach,
    subprotocols: Vec<&'p str>,
    headers: Vec<(&'p str, &'p str)>,
}

impl<'p> Terms<'p> {
    /// Of this approach.
    pub fn of(approach: &'p Approach) -> Self {
        Self {
            approach,
            subprotocols: approach.subprotocols.iter().map(String::as_str).collect(),
            headers: approach.headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
        }
    }

    /// Appends the request of the connection with this number to `out`.
    ///
    /// # Errors
    /// No random source, or a request that cannot be written.
    pub fn begin(&self, link: u32, out: &mut Vec<u8>) -> Result<Opening> {
        let nonce = random_nonce()?;
        self.request(&self.approach.path(link)).emit(nonce, out)?;
        Ok(Opening { nonce, head: Vec::new() })
    }

    fn request<'s>(&'s self, path: &'s str) -> Request<'s> {
        Request {
            host: self.approach.target.authority(),
            target: path,
            subprotocols: &self.subprotocols,
            offers: &self.approach.offers,
            headers: &self.headers,
        }
    }

    /// Takes bytes of the response; what to make of them.
    ///
    /// # Errors
    /// The server refuses, or says what no server says.
    pub fn receive(&self, opening: &mut Opening, bytes: &[u8]) -> Result<Progress, Reason> {
        let before = opening.head.len();
        opening.head.extend_from_slice(bytes);
        // What the response must say follows from the nonce alone, and is not kept meanwhile.
        let expectation = self
            .request("/")
            .emit(opening.nonce, &mut Vec::new())
            .map_err(|_| Reason::named("request_invalid"))?;
        match expectation.verify(&opening.head).map_err(Reason::of_response)? {
            Verdict::Accepted(accepted) => {
                Ok(Progress::Open(Opened::new(&accepted, accepted.head_bytes - before)))
            }
            Verdict::Incomplete if opening.head.len() > HEAD_BYTES_MAX => {
                Err(Reason::HANDSHAKE_TOO_LONG)
            }
            Verdict::Incomplete => Ok(Progress::Awaited),
        }
    }
}

/// A handshake whose response is awaited.
#[derive(Debug)]
pub struct Opening {
    nonce: [u8; 16],
    head: Vec<u8>,
}

/// What a response amounts to so far.
pub enum Progress {
    /// More is to come.
    Awaited,
    /// The connection is open.
    Open(Opened),
}

/// The terms of an open connection.
pub struct Opened {
    /// Reads what follows.
    pub reader: MessageReader,
    /// How messages may be sent.
    pub form: Form,
    /// Of the bytes given last, those that belong to the response; frames follow them.
    pub head_bytes: usize,
}

impl Opened {
    fn new(accepted: &Accepted<'_>, head_bytes: usize) -> Self {
        match &accepted.agreement {
            Some(agreement) => Self {
                reader: MessageReader::with_deflate(Role::Client, agreement),
                form: Form::Compressed,
                head_bytes,
            },
            None => {
                Self { reader: MessageReader::new(Role::Client), form: Form::Plain, head_bytes }
            }
        }
    }
}
