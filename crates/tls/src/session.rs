//! One side of a TLS connection, by byte buffers of the caller.
//!
//! rustls is behind `side`. Its unbuffered API is used, so that a connection keeps
//! nothing but its keys while it is idle: a record that is whole in its input is decrypted there,
//! and only a record that came in parts is kept. It never touches a socket and reads no clock of
//! its own.

mod side;

use std::sync::Arc;

use rustls::{
    ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, ServerName},
    server::UnbufferedServerConnection,
};

use self::side::{Side, Step, reason};
use crate::fault::{Fault, Reason};

/// The head of a record: type, version, and length of the rest (RFC 8446 §5.1).
const HEAD_BYTES: usize = 5;

/// The most bytes behind a head (RFC 5246 §6.2.3; RFC 8446 §5.2 allows less).
const BODY_BYTES_MAX: usize = (16 << 10) + 2048;

/// Plain text of one record, at most (RFC 8446 §5.1).
const PLAIN_BYTES_MAX: usize = 16 << 10;

/// What a record adds to its plain text, at most: its head, the nonce and the tag of TLS 1.2 with
/// AES-GCM, and room for a key update that goes before it.
const OVERHEAD_BYTES_MAX: usize = 64;

/// The most bytes of handshake messages that are kept: room for a long chain of client
/// certificates.
const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// The record types that may begin a connection's input: alert and handshake (RFC 8446 §5.1).
const FIRST_TYPES: [u8; 2] = [21, 22];

/// All record types: of a change of ciphers, an alert, the handshake and plain text (RFC 8446 §5.1).
const TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// One side of a connection.
///
/// Call order: a client begins with [`Self::start`]. Then [`Self::open`] for all input, and
/// [`Self::seal`] once [`Self::is_established`]; [`Self::close`] ends it.
pub struct Session {
    side: Side,
    stage: Stage,
    /// The kept part of the input: whole records that rustls has not used up, then a part of one.
    partial: Vec<u8>,
    /// The bytes of `partial` that are whole records.
    whole: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No record has come.
    Fresh,
    Handshake,
    /// Plain text may pass.
    Open,
    /// The peer sends no more.
    PeerEnded,
    /// The keys were used as often as is safe, and cannot be renewed (TLS 1.2).
    Spent,
    Failed,
}

/// What [`Session::open`] took from the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'b> {
    /// No plain text: a part of a record, or a record of TLS itself.
    Nothing,
    /// Plain text, in the buffer in which its record came.
    InPlace(&'b mut [u8]),
    /// Plain text of a record that came in parts.
    Assembled(Vec<u8>),
    /// The peer has announced that it sends no more (`close_notify`).
    Ended,
}

/// The outcome of whole records.
enum Found {
    Nothing,
    /// This many bytes of plain text are at the end of the output.
    Plain(usize),
    Ended,
}

impl Session {
    /// A server's side.
    ///
    /// # Errors
    /// The configuration cannot be used; the message is for the operator.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Side::Server(Box::new(UnbufferedServerConnection::new(config)?))))
    }

    /// A client's side; `name` must be in the server's certificate.
    ///
    /// # Errors
    /// The configuration cannot be used; the message is for the operator.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self::new(Side::Client(Box::new(UnbufferedClientConnection::new(config, name)?))))
    }

    fn new(side: Side) -> Self {
        Self { side, stage: Stage::Fresh, partial: Vec::new(), whole: 0 }
    }

    /// Appends a client's first message to `out`.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn start(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.stage = Stage::Handshake;
        self.process(&mut [], out).map(|_| ())
    }

    /// Opens the first record of `received` and removes it from there; removes everything if that
    /// is only a part of a record. What TLS itself has to answer is appended to `out`.
    ///
    /// # Errors
    /// Nothing more can be opened. [`Self::close`] then writes the alert that says why.
    pub fn open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Fault> {
        let opened = self.try_open(received, out);
        if opened.is_err() {
            (self.partial, self.whole) = (Vec::new(), 0);
            self.stage = Stage::Failed;
        }
        opened
    }

    fn try_open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Fault> {
        match self.stage {
            Stage::PeerEnded => {
                *received = &mut [];
                return Ok(Opened::Nothing);
            }
            Stage::Failed | Stage::Spent => return Err(Fault::Record),
            Stage::Fresh => self.check_first(received)?,
            Stage::Handshake | Stage::Open => {}
        }
        if !self.partial.is_empty() {
            return self.open_partial(received, out);
        }
        match record_bytes(received, self.stage)? {
            Some(bytes) if bytes <= received.len() => {
                let (record, rest) = std::mem::take(received).split_at_mut(bytes);
                *received = rest;
                self.open_whole(record, out)
            }
            _ => self.open_partial(received, out),
        }
    }

    /// Whether this can be TLS at all: a request in plain text is answered in plain text.
    fn check_first(&mut self, received: &[u8]) -> Result<(), Fault> {
        let Some(first) = received.first() else { return Ok(()) };
        if FIRST_TYPES.contains(first) {
            self.stage = Stage::Handshake;
            return Ok(());
        }
        // RFC 9110 §9.1: methods are words, and those in use are upper case.
        Err(match first.is_ascii_uppercase() {
            true => Fault::PlainHttp,
            false => Fault::Handshake(Reason::NotTls),
        })
    }

    fn open_whole<'b>(
        &mut self,
        record: &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Fault> {
        let (used, found) = self.process(record, out)?;
        if used < record.len() {
            // A handshake message that goes on in the next record.
            keep(&mut self.partial, &record[used..])?;
            self.whole = self.partial.len();
        }
        Ok(match found {
            Found::Nothing => Opened::Nothing,
            Found::Ended => Opened::Ended,
            Found::Plain(bytes) => {
                let start = out.len() - bytes;
                // Plain text is shorter than its record.
                let plain = &mut record[..bytes];
                plain.copy_from_slice(&out[start..]);
                out.truncate(start);
                Opened::InPlace(plain)
            }
        })
    }

    /// Adds to the kept part, and opens it once a record is whole.
    fn open_partial<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, Fault> {
        let taken = std::mem::take(received);
        let known = self.partial.len() - self.whole;
        let mut missing = HEAD_BYTES.saturating_sub(known).min(taken.len());
        keep(&mut self.partial, &taken[..missing])?;
        let bytes = record_bytes(&self.partial[self.whole..], self.stage)?;
        let mut is_whole = false;
        if let Some(bytes) = bytes {
            let body = (bytes - (self.partial.len() - self.whole)).min(taken.len() - missing);
            keep(&mut self.partial, &taken[missing..missing + body])?;
            missing += body;
            is_whole = self.partial.len() - self.whole == bytes;
        }
        *received = &mut taken[missing..];
        if !is_whole {
            return Ok(Opened::Nothing);
        }
        let mut kept = std::mem::take(&mut self.partial);
        let (used, found) = self.process(&mut kept, out)?;
        kept.drain(..used);
        self.whole = kept.len();
        if self.whole > HANDSHAKE_BYTES_MAX {
            return Err(self.fault(&Error::HandshakeNotComplete));
        }
        match found {
            Found::Plain(bytes) => {
                let start = out.len() - bytes;
                // Records of an established connection leave nothing, so `kept` is free.
                if self.whole > 0 {
                    return Err(Fault::Record);
                }
                keep(&mut kept, &out[start..])?;
                out.truncate(start);
                Ok(Opened::Assembled(kept))
            }
            found => {
                if self.whole > 0 {
                    self.partial = kept;
                }
                Ok(if let Found::Ended = found { Opened::Ended } else { Opened::Nothing })
            }
        }
    }

    /// Lets rustls process whole records; returns how many bytes it has used up.
    fn process(&mut self, records: &mut [u8], out: &mut Vec<u8>) -> Result<(usize, Found), Fault> {
        let mut used = 0;
        loop {
            let start = out.len();
            let (discard, step) = self.side.step(&mut records[used..], out);
            used += discard;
            match step.map_err(|error| self.fault(&error))? {
                Step::Again => {}
                Step::Plain => return Ok((used, Found::Plain(out.len() - start))),
                Step::PeerEnded => {
                    self.stage = Stage::PeerEnded;
                    return Ok((records.len(), Found::Ended));
                }
                Step::Blocked => return Ok((used, Found::Nothing)),
                Step::Open => {
                    self.stage = Stage::Open;
                    return Ok((used, Found::Nothing));
                }
            }
        }
    }

    fn fault(&self, error: &Error) -> Fault {
        match self.stage {
            Stage::Fresh | Stage::Handshake => Fault::Handshake(reason(error)),
            _ => match error {
                Error::AlertReceived(alert) => Fault::Alert(u8::from(*alert)),
                _ => Fault::Record,
            },
        }
    }

    /// Whether the handshake is complete, so that plain text can be sealed.
    pub fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::PeerEnded | Stage::Spent)
    }

    /// Replaces the plain text from `start` to the end of `out` by records.
    pub fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        let end = out.len();
        if start == end {
            return;
        }
        out.resize(end + self.sealed_bytes_max(end - start), 0);
        let (plain, sealed) = out[start..].split_at_mut(end - start);
        let written = match self.stage {
            Stage::Open | Stage::PeerEnded => {
                self.side.encrypt(&mut self.partial[..self.whole], plain, sealed)
            }
            Stage::Fresh | Stage::Handshake | Stage::Spent | Stage::Failed => None,
        };
        match written {
            Some(bytes) => {
                out.copy_within(end..end + bytes, start);
                out.truncate(start + bytes);
            }
            None => {
                self.stage = if self.stage == Stage::Failed { Stage::Failed } else { Stage::Spent };
                out.truncate(start);
            }
        }
    }

    /// An upper bound on the output of one call of [`Self::seal`] for this many bytes.
    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        let records = bytes.div_ceil(PLAIN_BYTES_MAX).max(1);
        bytes.saturating_add(records * OVERHEAD_BYTES_MAX)
    }

    /// Whether the peer may end its stream here; if not, something is cut off.
    pub fn is_between_records(&self) -> bool {
        self.partial.is_empty()
    }

    /// Whether the peer has announced the end of its stream, so that a FIN is no truncation.
    pub fn has_peer_ended(&self) -> bool {
        self.stage == Stage::PeerEnded
    }

    /// Writes the last record: `close_notify`, or the alert that says why nothing can be read.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        match self.stage {
            Stage::Open | Stage::PeerEnded | Stage::Spent => {
                self.side.close_notify(&mut self.partial[..self.whole], out);
            }
            Stage::Failed => self.side.drain(out),
            Stage::Fresh | Stage::Handshake => {}
        }
    }

    /// Bytes that it keeps of its input.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// The certificate that the peer has proved to own, checked against the authorities that were
    /// given; `None` if it has shown none.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        let certificates = match &self.side {
            Side::Server(server) => server.peer_certificates(),
            Side::Client(client) => client.peer_certificates(),
        };
        certificates?.first()
    }

    /// Whether the handshake used a ticket of an earlier connection; `None` before its end.
    pub fn is_resumed(&self) -> Option<bool> {
        let kind = match &self.side {
            Side::Server(server) => server.handshake_kind(),
            Side::Client(client) => client.handshake_kind(),
        };
        Some(kind? == HandshakeKind::Resumed)
    }

    /// Whether it is TLS 1.3; `None` before the versions were compared.
    pub fn is_tls13(&self) -> Option<bool> {
        let version = match &self.side {
            Side::Server(server) => server.protocol_version(),
            Side::Client(client) => client.protocol_version(),
        };
        Some(version? == ProtocolVersion::TLSv1_3)
    }
}

/// The length of the record with this beginning; `None`: more bytes are needed to tell. What is no
/// record is found at once: its length would be waited for in vain.
fn record_bytes(begin: &[u8], stage: Stage) -> Result<Option<usize>, Fault> {
    let [kind, _, _, high, low, ..] = begin else { return Ok(None) };
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    match (TYPES.contains(kind) && body <= BODY_BYTES_MAX, stage) {
        (true, _) => Ok(Some(HEAD_BYTES + body)),
        (false, Stage::Fresh | Stage::Handshake) => Err(Fault::Handshake(Reason::NotTls)),
        (false, _) => Err(Fault::Record),
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fault> {
    kept.try_reserve(bytes.len()).map_err(|_| Fault::OutOfMemory)?;
    kept.extend_from_slice(bytes);
    Ok(())
}
