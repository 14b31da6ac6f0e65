//! A client's end of a connection by TLS, with the gateway's real layer at the other end.
//!
//! The ciphers differ between two runs of a seed, and nothing depends on them: all lengths are the
//! same, as the certificate is always the same and its signatures have one length (Ed25519). A
//! client's handshake may be spoiled on purpose; then no plain text may come.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, SerialNumber};
use ringway::outbox::channel::{Channels, tls_layer};
use ringway_acceptor::sim::Client;
use ringway_tls::{
    Fault, Opened, Reason, Session, Suite,
    certificates::PairFiles,
    client::{self, Trust},
    server::{self, ClientCertificates, Server, ServerSettings},
    tickets::Tickets,
};
use tempfile::TempDir;

use super::book::{Book, Ending, Farewell};
use crate::checkers::check;

const PROPERTY: &str = "TLS passes on what it is given, and answers what is broken by an alert";

/// The head of a record, and the most plain text in one (RFC 8446 §5.1).
const HEAD_BYTES: usize = 5;
const PLAIN_BYTES_MAX: usize = 16 << 10;

/// More than the gateway sends for a handshake: its flights, and a ticket.
const HANDSHAKE_BYTES_MAX: usize = 2_048;

/// The version of a connection; each has a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls13,
    Tls12,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::Tls13, Self::Tls12];

    /// The listener whose connections have this version.
    pub fn listener(self) -> u16 {
        match self {
            Self::Tls13 => 2,
            Self::Tls12 => 3,
        }
    }
}

/// How a client shakes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    Right,
    Spoiled(Spoil),
}

/// What is wrong with a client's handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Its first message is garbage.
    Garbage,
    /// FIN cuts its first message off.
    Cut,
    /// It says nothing after its first message.
    Silence,
    /// Garbage follows the gateway's answer.
    LateGarbage,
    /// An alert follows the gateway's answer.
    Alert,
}

impl Spoil {
    pub const ALL: [Self; 5] =
        [Self::Garbage, Self::Cut, Self::Silence, Self::LateGarbage, Self::Alert];
}

/// What became of a connection that has ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway announced its end by `close_notify`.
    Announced,
    /// The gateway sent FIN alone, or the last record was cut off.
    Unannounced,
    /// The gateway answered a broken record or handshake by an alert.
    Alerted,
    /// The handshake was not complete, and the connection only ended.
    Refused,
}

/// The gateway's sides, and what its clients trust.
struct Parties {
    servers: [Arc<Server>; 2],
    authority: PathBuf,
    _directory: TempDir,
}

fn parties() -> &'static Parties {
    static PARTIES: OnceLock<Parties> = OnceLock::new();
    PARTIES.get_or_init(|| {
        let directory = TempDir::new().expect("a directory");
        // RFC 8410 §7: an Ed25519 key, whose secret is no secret here.
        let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let key = [&head[..], &[7; 32]].concat();
        let key = KeyPair::try_from(&key[..]).expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(1_u64));
        let certificate = params.self_signed(&key).expect("a certificate");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("server.pem"), certificate.pem()).expect("a file");
        std::fs::write(path("server.key"), key.serialize_pem()).expect("a file");
        let pair = PairFiles { certificate: path("server.pem"), key: path("server.key") };
        let tickets = Tickets::in_memory(Duration::from_secs(3_600), SystemTime::now());
        let tickets = tickets.expect("random keys");
        let servers = Version::ALL.map(|version| {
            let settings = ServerSettings {
                pairs: vec![pair.clone()],
                version_min: server::Version::Tls12,
                suites: Some(vec![match version {
                    Version::Tls13 => Suite::Aes128Tls13,
                    Version::Tls12 => Suite::EcdsaAes128,
                }]),
                clients: ClientCertificates::None,
            };
            Arc::new(Server::new(settings, Arc::clone(&tickets)).expect("sound settings"))
        });
        Parties { servers, authority: path("server.pem"), _directory: directory }
    })
}

pub fn set(channels: &mut Channels) {
    for (version, server) in Version::ALL.into_iter().zip(&parties().servers) {
        channels.set(version.listener(), tls_layer(Arc::clone(server)));
    }
}

/// A client's end. What the gateway's socket has taken is opened at once; text and answers wait
/// until the client has received their records.
pub struct TlsEnd {
    session: Session,
    handshake: Handshake,
    /// Records that were opened and are not received.
    ahead: VecDeque<Record>,
    /// Bytes of the gateway that were opened, and that were received.
    opened_bytes: usize,
    received_bytes: usize,
    /// Plain text for [`Self::taken`] and [`Self::received`].
    taken: Vec<u8>,
    received: Vec<u8>,
    /// What the client has to say once its handshake is complete.
    unsaid: Vec<Vec<u8>>,
    is_established: bool,
    is_to_end: bool,
    has_answered: bool,
    fault: Option<Fault>,
}

/// A record of the gateway.
struct Record {
    end: usize,
    plain: Vec<u8>,
    answer: Vec<u8>,
    /// Whether the handshake is complete after the answer.
    is_established: bool,
}

impl TlsEnd {
    /// Sends the first message.
    pub fn begin(client: &Client, handshake: Handshake, book: &mut Book) -> Self {
        // The first call only starts the recording.
        client.taken();
        let trust = Trust::File(parties().authority.clone());
        // Each connection shakes hands in full: a ticket would change the lengths.
        let session = client::Client::new("localhost", &trust).expect("an authority").connect();
        let mut end = Self {
            session,
            handshake,
            ahead: VecDeque::new(),
            opened_bytes: 0,
            received_bytes: 0,
            taken: Vec::new(),
            received: Vec::new(),
            unsaid: Vec::new(),
            is_established: false,
            is_to_end: false,
            has_answered: false,
            fault: None,
        };
        let mut hello = Vec::new();
        end.session.start(&mut hello).expect("a first message");
        match handshake {
            Handshake::Spoiled(Spoil::Garbage) => hello[HEAD_BYTES..].fill(0x5A),
            Handshake::Spoiled(Spoil::Cut) => hello.truncate(hello.len() / 2),
            _ => {}
        }
        client.send(&hello);
        book.sent(hello.len());
        if handshake == Handshake::Spoiled(Spoil::Cut) {
            client.half_close();
        }
        end
    }

    pub fn send(&mut self, client: &Client, bytes: &[u8], book: &mut Book) {
        self.unsaid.push(bytes.to_vec());
        self.advance(client, book);
    }

    pub fn received(&mut self, client: &Client, book: &mut Book) -> Vec<u8> {
        self.advance(client, book);
        std::mem::take(&mut self.received)
    }

    pub fn taken(&mut self, client: &Client, book: &mut Book) -> Vec<u8> {
        self.advance(client, book);
        std::mem::take(&mut self.taken)
    }

    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        self.session.sealed_bytes_max(bytes) + HANDSHAKE_BYTES_MAX
    }

    pub fn half_close(&mut self, client: &Client, book: &mut Book) {
        self.is_to_end = true;
        self.advance(client, book);
    }

    /// Opens what was taken, answers what was received, and says what may be said.
    fn advance(&mut self, client: &Client, book: &mut Book) {
        self.open(client.taken(), book.ending);
        self.received_bytes += client.received().len();
        while let Some(record) = self.ahead.pop_front_if(|next| next.end <= self.received_bytes) {
            self.received.extend(record.plain);
            self.answer(client, record.answer, book);
            self.is_established |= record.is_established;
        }
        if self.is_established {
            for text in std::mem::take(&mut self.unsaid) {
                self.say(client, &text, book);
            }
        }
        // A client whose handshake fails only ends its side.
        let may_end = self.is_established || self.handshake != Handshake::Right || client.saw_fin();
        if self.is_to_end && may_end {
            self.is_to_end = false;
            self.end(client, book);
        }
    }

    fn open(&mut self, mut taken: Vec<u8>, ending: Ending) {
        let mut rest = &mut taken[..];
        while !rest.is_empty() && self.fault.is_none() {
            let (before, mut plain, mut answer) = (rest.len(), Vec::new(), Vec::new());
            match self.session.open(&mut rest, &mut answer) {
                Ok(Opened::Nothing | Opened::Ended) => {}
                Ok(Opened::InPlace(opened)) => plain.extend_from_slice(opened),
                Ok(Opened::Assembled(opened)) => plain.extend(opened),
                Err(fault) => {
                    let is_alert =
                        matches!(fault, Fault::Alert(_) | Fault::Handshake(Reason::Alert(_)));
                    let is_due = ending == Ending::Damaged || self.handshake != Handshake::Right;
                    check!(is_alert && is_due, "{fault:?}: the gateway's records");
                    self.fault = Some(fault);
                }
            }
            self.opened_bytes += before - rest.len();
            self.taken.extend_from_slice(&plain);
            let is_established = self.session.is_established();
            self.ahead.push_back(Record { end: self.opened_bytes, plain, answer, is_established });
        }
    }

    /// Sends the client's next part of the handshake, or what a spoiled one has in its place.
    fn answer(&mut self, client: &Client, answer: Vec<u8>, book: &mut Book) {
        let answer = match self.handshake {
            Handshake::Right => answer,
            Handshake::Spoiled(_) if answer.is_empty() || self.has_answered => return,
            Handshake::Spoiled(Spoil::LateGarbage) => {
                [&[23, 3, 3, 0, 40][..], &[0x5A; 40]].concat()
            }
            // RFC 8446 §6.2: a fatal alert, bad_certificate.
            Handshake::Spoiled(Spoil::Alert) => vec![21, 3, 3, 0, 2, 2, 42],
            Handshake::Spoiled(_) => return,
        };
        self.has_answered |= !answer.is_empty();
        client.send(&answer);
        book.sent(answer.len());
    }

    fn say(&mut self, client: &Client, text: &[u8], book: &mut Book) {
        if self.handshake != Handshake::Right {
            return;
        }
        let mut sealed = text.to_vec();
        self.session.seal(&mut sealed, 0);
        let (mut rest, mut plain) = (&sealed[..], text.chunks(PLAIN_BYTES_MAX));
        while let [_, _, _, high, low, ..] = rest {
            let bytes = HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
            let plain = plain.next().expect("a record for each part of the text");
            book.sent_record(bytes, plain.len());
            rest = &rest[bytes..];
        }
        client.send(&sealed);
    }

    fn end(&mut self, client: &Client, book: &mut Book) {
        let may_say = self.is_established && self.handshake == Handshake::Right;
        if may_say && let Some(farewell) = book.end() {
            let mut last = b"never read".to_vec();
            match farewell {
                Farewell::None => last.clear(),
                Farewell::Last => {
                    last.clear();
                    self.session.close(&mut last);
                }
                Farewell::Part => {
                    self.session.seal(&mut last, 0);
                    last.truncate(HEAD_BYTES + 5);
                }
                Farewell::Damaged => {
                    self.session.seal(&mut last, 0);
                    last[HEAD_BYTES + 9] ^= 0x40;
                }
            }
            client.send(&last);
            book.sent_farewell(farewell, last.len());
        }
        if book.may_end_stream() {
            client.half_close();
        }
    }

    pub fn outcome(&self, client: &Client) -> Option<Outcome> {
        if !client.saw_fin() || client.saw_reset() {
            return None;
        }
        let is_spoiled = self.handshake != Handshake::Right;
        check!(!is_spoiled || self.received.is_empty(), "plain text without a handshake");
        Some(match self.fault {
            Some(_) => Outcome::Alerted,
            None if self.session.has_peer_ended() => Outcome::Announced,
            None if self.is_established && !is_spoiled => Outcome::Unannounced,
            None => Outcome::Refused,
        })
    }
}
