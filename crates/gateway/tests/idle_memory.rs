//! What an idle connection by TLS costs in memory of the process: the session of rustls, and what the
//! gateway keeps.
//!
//! It is a binary of its own, because the counting allocator belongs to the process.

#![forbid(unsafe_code)]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use allocation_counter::measure;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use ringway::{
    auth::SelfNamed,
    broker::{Broker, mailbox::Mailbox},
    config::{Config, settings::Settings},
    core::shard::{Shard, ShardParts},
    edge::limiter::{ConnectionLimiter, ConnectionLimits},
    memory::MemoryBudget,
    metrics::CoreMetrics,
    outbox::channel::{Channels, tls_layer},
};
use ringway_acceptor::{
    Completion, ConnectionId, Operation, Operations, Outgoing, epoll::EpollDriver,
    uring::UringDriver,
};
use ringway_hub::Epoch;
use ringway_tls::{
    Opened, Session, Suite,
    certificates::PairFiles,
    client::{Client, Trust},
    server::{ClientCertificates, Server, ServerSettings, Version},
    tickets::Tickets,
};

/// What an idle connection may cost in all.
const BUDGET: usize = 4 << 10;

/// So many that the growth of tables does not matter.
const CONNECTIONS: u32 = 500;

/// The listener that speaks TLS.
const TLS: u16 = 1;

const UPGRADE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn server(directory: &Path, suite: Suite) -> Arc<Server> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pair =
        PairFiles { certificate: directory.join("server.pem"), key: directory.join("server.key") };
    std::fs::write(&pair.certificate, certificate.pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    let settings = ServerSettings {
        pairs: vec![pair],
        version_min: Version::Tls12,
        suites: Some(vec![suite]),
        clients: ClientCertificates::None,
    };
    let tickets = Tickets::in_memory(Duration::from_secs(3_600), SystemTime::now()).unwrap();
    Arc::new(Server::new(settings, tickets).unwrap())
}

struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
}

impl World {
    fn new(server: &Arc<Server>) -> Self {
        let settings = Arc::new(Settings::from_config(&Config::default()));
        let mut channels = Channels::default();
        channels.set(TLS, tls_layer(Arc::clone(server)));
        let limits = ConnectionLimits {
            connections_max: 10_000,
            connections_per_address_max: 10_000,
            exempt: Vec::new(),
        };
        let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
        let shard = Shard::new(ShardParts {
            settings,
            identities: Arc::new(SelfNamed),
            limiter: Arc::new(ConnectionLimiter::new(limits)),
            broker: Arc::new(broker),
            mailbox: Mailbox::default(),
            memory: Arc::new(MemoryBudget::new(1 << 30)),
            metrics: Arc::new(CoreMetrics::default()),
            channels,
            core: 0,
        });
        Self { shard, operations: Operations::default(), now: Duration::from_millis(1) }
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    fn receive(&mut self, slot: u32, mut bytes: Vec<u8>) -> Vec<u8> {
        let connection = ConnectionId::new(slot, 0);
        self.complete(Completion::Received { connection, bytes: &mut bytes });
        self.turn()
    }

    /// Returns what was sent; there is one connection at a time that is not idle.
    fn turn(&mut self) -> Vec<u8> {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let (operations, turn) = self.operations.drain();
        let mut sent = Vec::new();
        for operation in operations {
            match operation {
                Operation::Send { outgoing: Outgoing::Turn(range), .. } => {
                    sent.extend_from_slice(&turn[range]);
                }
                Operation::Send { outgoing: Outgoing::Owned { bytes, start }, .. } => {
                    sent.extend_from_slice(&bytes[start..]);
                }
                _ => {}
            }
        }
        self.operations.clear();
        sent
    }

    /// A client comes, and becomes an idle WebSocket.
    fn come(&mut self, slot: u32, listener: u16, client: &Client) {
        let (connection, peer) = (ConnectionId::new(slot, 0), "127.0.0.1:1".parse().unwrap());
        self.complete(Completion::Accepted { connection, listener, peer });
        if listener != TLS {
            assert!(self.receive(slot, UPGRADE.to_vec()).starts_with(b"HTTP/1.1 101 "));
            return;
        }
        let (mut session, mut flight) = (client.connect(), Vec::new());
        session.start(&mut flight).unwrap();
        while !session.is_established() {
            let sent = self.receive(slot, flight);
            flight = Vec::new();
            read(&mut session, sent, &mut flight);
        }
        if !flight.is_empty() {
            let sent = self.receive(slot, flight);
            read(&mut session, sent, &mut Vec::new());
        }
        let mut upgrade = UPGRADE.to_vec();
        session.seal(&mut upgrade, 0);
        let sent = self.receive(slot, upgrade);
        assert!(read(&mut session, sent, &mut Vec::new()).starts_with(b"HTTP/1.1 101 "));
    }
}

fn read(session: &mut Session, mut bytes: Vec<u8>, answer: &mut Vec<u8>) -> Vec<u8> {
    let (mut rest, mut plain) = (&mut bytes[..], Vec::new());
    while !rest.is_empty() {
        match session.open(&mut rest, answer).unwrap() {
            Opened::Nothing | Opened::Ended => {}
            Opened::InPlace(opened) => plain.extend_from_slice(opened),
            Opened::Assembled(opened) => plain.extend(opened),
        }
    }
    plain
}

/// Bytes that the process keeps for each idle WebSocket of this listener.
fn idle_bytes(server: &Arc<Server>, client: &Client, listener: u16) -> usize {
    let mut world = World::new(server);
    // What exists once for all.
    world.come(0, listener, client);
    let counted = measure(|| {
        (1..=CONNECTIONS).for_each(|slot| world.come(slot, listener, client));
    });
    let bytes = usize::try_from(counted.bytes_current).unwrap() / CONNECTIONS as usize;
    bytes + UringDriver::CONNECTION_BYTES.max(EpollDriver::CONNECTION_BYTES)
}

#[test]
fn an_idle_websocket_by_tls_stays_within_its_budget() {
    let directory = tempfile::TempDir::new().unwrap();
    for (version, suite) in [("1.3", Suite::Aes128Tls13), ("1.2", Suite::EcdsaAes128)] {
        let server = server(directory.path(), suite);
        let trust = Trust::File(directory.path().join("server.pem"));
        let client = Client::new("localhost", &trust).unwrap();
        let plain = idle_bytes(&server, &client, 0);
        let sealed = idle_bytes(&server, &client, TLS);
        println!("an idle WebSocket keeps {plain} bytes, and {sealed} by TLS {version}");
        assert!(plain < 512, "{plain} bytes without TLS");
        assert!(sealed <= BUDGET, "TLS {version}: {sealed} bytes");
    }
}
