//! A request is answered only after its client has been identified: a refused client gets the
//! refusal, and nothing else happens.

mod first_messages;
mod waiting;

use super::*;
use crate::{
    auth::{Credentials, Decision, Grants, Identification, Identity, Lists},
    refusal::ErrorClass,
};

/// Refuses every client.
struct Refusing(Refusal);

impl IdentitySource for Refusing {
    fn identify(&self, _: &Credentials<'_>) -> Decision {
        Decision::Refused(self.0)
    }
}

/// A request for each route that has clients, and the status of the response when its client is
/// admitted.
const REQUESTS: [(&str, &str, u16); 12] = [
    ("GET /echo", UPGRADE, 101),
    ("GET /ws?client=ann&topic=a", UPGRADE, 101),
    ("GET /sse?client=ann&topic=a", "", 200),
    ("HEAD /sse", "", 200),
    ("GET /stream", "", 200),
    ("GET /stream?format=iframe", "", 200),
    ("HEAD /stream", "", 200),
    ("GET /poll?wait=0", "", 200),
    ("HEAD /poll", "", 200),
    ("POST /send?client=ann", "Content-Length: 56\r\n", 200),
    ("POST /send", "Transfer-Encoding: chunked\r\n", 200),
    ("POST /send", "Content-Length: 56\r\nExpect: 100-continue\r\n", 100),
];

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

const COMMAND: &str = r#"{"type":"publish","id":"1","topic":"a","data":"0123456"}"#;

/// One core and one connection.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    connection: ConnectionId,
    /// What the client was sent.
    sent: String,
    /// The other operations that the driver was asked to perform.
    done: Vec<&'static str>,
}

impl World {
    fn new(identities: impl IdentitySource + 'static) -> Self {
        let mut shard = shard();
        shard.core.identities = Identification::new(Arc::new(identities), 0);
        shard.hub().mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
        let (operations, now) = (Operations::default(), Duration::from_millis(1));
        let (connection, sent, done) = (ConnectionId::new(0, 0), String::new(), Vec::new());
        let mut world = Self { shard, operations, now, connection, sent, done };
        world.connects();
        world
    }

    fn connects(&mut self) {
        let peer = "127.0.0.1:1".parse().expect("an address");
        let connection = self.connection;
        self.complete(Completion::Accepted { connection, listener: 0, peer });
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
        self.turn();
    }

    fn turn(&mut self) {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let (list, turn) = self.operations.drain();
        for operation in list {
            match operation {
                Operation::Send { outgoing: Outgoing::Turn(range), .. } => {
                    self.sent += &String::from_utf8_lossy(&turn[range]);
                }
                Operation::Close(_) | Operation::Reset(_) => self.done.push("close"),
                Operation::Shutdown(_) => self.done.push("end"),
                Operation::PauseReceive(_) => self.done.push("pause"),
                Operation::ResumeReceive(_) => self.done.push("resume"),
                _ => {}
            }
        }
        self.operations.clear();
    }

    fn receive(&mut self, text: &str) {
        let bytes = &mut text.as_bytes().to_vec()[..];
        self.complete(Completion::Received { connection: self.connection, bytes });
    }

    /// The request, with its body if it has one and the client does not wait for a 100.
    fn requests(&mut self, line: &str, fields: &str) {
        let body = match (line.starts_with("POST"), fields.starts_with("Transfer-Encoding")) {
            (true, true) => format!("{:x}\r\n{COMMAND}\r\n0\r\n\r\n", COMMAND.len()),
            (true, false) if !fields.contains("Expect") => COMMAND.to_owned(),
            _ => String::new(),
        };
        self.receive(&format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"));
    }

    fn statuses(&self) -> Vec<u16> {
        let responses = self.sent.split("HTTP/1.1 ").skip(1);
        responses.map(|response| response[..3].parse().expect("a status")).collect()
    }

    /// The client sends FIN and the connection ends.
    fn ends(&mut self) {
        self.complete(Completion::EndOfStream { connection: self.connection });
        (0..10).for_each(|_| self.turn());
        self.is_closed();
    }

    /// The connection is closed and gone.
    fn is_closed(&mut self) {
        assert_eq!(self.done.iter().filter(|done| **done == "close").count(), 1);
        self.complete(Completion::Closed { connection: self.connection });
        assert_eq!(self.shard.core.limiter.connections(), 0, "its permit is given back");
    }
}

#[test]
fn every_request_is_answered_once_its_client_is_admitted() {
    assert_eq!(COMMAND.len(), 56);
    for (line, fields, status) in REQUESTS {
        let mut world = World::new(SelfNamed);
        world.requests(line, fields);
        assert_eq!(world.statuses()[..1], [status], "{line} {fields:?} {}", world.sent);
        world.ends();
    }
}

#[test]
fn a_client_that_is_not_admitted_gets_only_the_refusal() {
    for refusal in [Refusal::ForeignOrigin, Refusal::Timeout] {
        for (line, fields, _) in REQUESTS {
            let mut world = World::new(Refusing(refusal));
            world.requests(line, fields);
            assert_eq!(world.statuses(), [refusal.status()], "{line} {fields:?} {}", world.sent);
            let head = world.sent.split("\r\n\r\n").next().expect("a head");
            let body = &world.sent[head.len() + 4..];
            let is_head = line.starts_with("HEAD");
            assert_eq!(body.contains(refusal.code()), !is_head, "{line} {body:?}");
            assert_eq!(body.matches('\n').count(), usize::from(!is_head), "{line} {body:?}");
            let hub = world.shard.hub();
            assert_eq!(hub.broker.directory.clients(), 0, "{line} has no session");
            assert_eq!(hub.broker.log.head(), 0, "{line} is not performed");
            let class = refusal.class().unwrap_or(ErrorClass::Origin);
            let counted = &world.shard.core.metrics.refused_requests[class as usize];
            assert_eq!(counted.value(), 1, "{line}");
            assert_eq!(world.shard.core.limiter.connections(), 1);
            world.ends();
        }
    }
}

/// A client without credentials for its topics is identified, and refused.
#[test]
fn a_client_is_not_subscribed_beyond_its_grants() {
    struct Granting;
    impl IdentitySource for Granting {
        fn identify(&self, _: &Credentials<'_>) -> Decision {
            let subscribe = crate::config::patterns::Patterns::new(["news"]);
            let lists = Lists { subscribe, ..Lists::default() };
            let grants = Grants::Own(Box::new(lists));
            Decision::Identified(Identity::new("ann", grants))
        }
    }
    for (topic, status) in [("news", 101), ("chat", 403)] {
        let mut world = World::new(Granting);
        world.requests(&format!("GET /ws?topic={topic}"), UPGRADE);
        assert_eq!(world.statuses(), [status], "{}", world.sent);
        assert!(!world.sent.contains("clients.may_subscribe"), "{}", world.sent);
        assert_eq!(world.shard.hub().broker.directory.clients(), usize::from(status == 101));
    }
}

/// Tokens that cost a core its turn wait for each other, and everything else is served between them.
#[test]
fn what_identifying_costs_is_charged_to_the_turn() {
    struct Costly;
    impl IdentitySource for Costly {
        fn identify(&self, _: &Credentials<'_>) -> Decision {
            Decision::Refused(Refusal::ForeignOrigin)
        }

        fn take_cost(&self) -> usize {
            TURN_EVENT_BYTES_MAX
        }
    }
    let mut world = World::new(Costly);
    let (connection, now) = (world.connection, world.now);
    let bytes = &mut b"GET /poll?wait=0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()[..];
    assert!(!world.shard.hub().is_spent());
    world.shard.complete(Completion::Received { connection, bytes }, now, &mut world.operations);
    assert!(world.shard.hub().is_spent());
    world.turn();
    assert_eq!(world.statuses(), [403]);
    assert!(!world.shard.hub().is_spent());
}
