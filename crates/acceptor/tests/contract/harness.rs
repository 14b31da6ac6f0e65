//! A driver under test, the clients around it, and its reports.
//!
//! It checks the invariants of every completion: nothing is reported for a void name, and nothing
//! is received after the end.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use ringway_acceptor::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Connector, Driver, Failure, Listener,
    Operation, Operations, Place, Places, SendMark, Settings, SocketOptions, Waker,
    epoll::EpollDriver, uring::UringDriver,
};

/// Longer than anything takes; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for bytes in flight on loopback to arrive.
pub const SETTLED: Duration = Duration::from_millis(60);

/// A driver that can be tested.
pub trait Subject: Driver + Sized {
    fn build(settings: Settings, listeners: Vec<Listener>) -> io::Result<Self>;
    fn waker(&self) -> Waker;
    fn is_offered() -> bool;
}

impl Subject for EpollDriver {
    fn build(settings: Settings, listeners: Vec<Listener>) -> io::Result<Self> {
        Self::new(&settings, listeners)
    }
    fn waker(&self) -> Waker {
        self.waker()
    }
    fn is_offered() -> bool {
        true
    }
}

impl Subject for UringDriver {
    fn build(settings: Settings, listeners: Vec<Listener>) -> io::Result<Self> {
        Self::new(&settings, listeners)
    }
    fn waker(&self) -> Waker {
        self.waker()
    }
    fn is_offered() -> bool {
        ringway_acceptor::uring::probe::check(1).is_ok()
    }
}

/// A completion, kept. Received bytes are kept apart, see [`Rig::received`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Accepted(ConnectionId, u16, SocketAddr),
    Connected(ConnectionId, ConnectToken),
    ConnectFailed(ConnectToken, ConnectFailure),
    Received(ConnectionId),
    EndOfStream(ConnectionId),
    Failed(ConnectionId, Failure),
    Backlogged(ConnectionId, usize),
    Drained(ConnectionId),
    /// The acknowledged bytes, and those not acknowledged.
    Progress(ConnectionId, u64, usize),
    Closed(ConnectionId),
    Refused(u32),
    Woken,
}

/// Offers a place for every other receive of a connection that sends much.
#[derive(Default)]
pub struct Offers {
    place: Vec<u8>,
    asked: usize,
    pub taken: usize,
    /// The most places in a turn, each of `RATION_BYTES`; all else is put off.
    pub ration: Option<usize>,
    left: usize,
}

pub const RATION_BYTES: usize = 8 << 10;

impl Places for Offers {
    fn place(&mut self, _connection: ConnectionId) -> Place<'_> {
        if self.ration.is_some() {
            let Some(left) = self.left.checked_sub(1) else { return Place::Later };
            self.left = left;
            self.place = Vec::with_capacity(RATION_BYTES);
            return Place::In(&mut self.place);
        }
        self.asked += 1;
        self.place = Vec::with_capacity(8_192 + self.asked * 1_000 % 90_000);
        match self.asked % 5 {
            0 => Place::Later,
            1 | 3 => Place::Lent,
            _ => Place::In(&mut self.place),
        }
    }
}

pub struct Rig<D> {
    pub driver: D,
    pub address: SocketAddr,
    pub operations: Operations,
    /// Sent one by one in the middle of the turn in which the connection's next bytes arrive.
    pub early: Option<(ConnectionId, Vec<Vec<u8>>)>,
    pub offers: Offers,
    pub seen: Vec<Seen>,
    received: HashMap<ConnectionId, Vec<u8>>,
    ended: HashSet<ConnectionId>,
    void: HashSet<ConnectionId>,
    /// Attempts to connect without an answer.
    attempts: HashSet<ConnectToken>,
    tokens: u64,
    shared_bytes: HashMap<ConnectionId, usize>,
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

impl<D: Subject> Rig<D> {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let listener = Listener::bind(loopback(), 1_024, &SocketOptions::default()).unwrap();
        Self::with_listeners(settings, vec![listener])
    }

    pub fn with_listeners(settings: Settings, listeners: Vec<Listener>) -> Self {
        let address = listeners[0].address();
        Self::around(D::build(settings, listeners).unwrap(), address)
    }

    pub fn around(driver: D, address: SocketAddr) -> Self {
        Self {
            driver,
            address,
            operations: Operations::default(),
            early: None,
            offers: Offers::default(),
            seen: Vec::new(),
            received: HashMap::new(),
            ended: HashSet::new(),
            void: HashSet::new(),
            attempts: HashSet::new(),
            tokens: 0,
            shared_bytes: HashMap::new(),
        }
    }

    /// One turn: operations out, completions in.
    pub fn turn(&mut self, timeout: Duration) {
        self.driver.submit(&mut self.operations);
        assert!(self.operations.is_empty());
        self.driver.wait(Some(timeout)).unwrap();
        self.offers.left = self.offers.ration.unwrap_or(0);
        while let Some(completion) = self.driver.next_in(&mut self.offers) {
            let seen = match completion {
                Completion::Accepted { connection, listener, peer } => {
                    Seen::Accepted(connection, listener, peer)
                }
                Completion::Connected { connection, token } => Seen::Connected(connection, token),
                Completion::ConnectFailed { token, failure } => Seen::ConnectFailed(token, failure),
                Completion::Received { connection, bytes } => {
                    assert!(!bytes.is_empty());
                    assert!(!self.ended.contains(&connection), "bytes after the end");
                    self.received.entry(connection).or_default().extend_from_slice(bytes);
                    bytes.fill(0xDD);
                    Seen::Received(connection)
                }
                Completion::Placed { connection, length } => {
                    assert!(length > 0 && self.offers.place.len() == length);
                    assert!(!self.ended.contains(&connection), "bytes after the end");
                    let received = self.received.entry(connection).or_default();
                    received.append(&mut self.offers.place);
                    self.offers.taken += 1;
                    Seen::Received(connection)
                }
                Completion::EndOfStream { connection } => {
                    assert!(self.ended.insert(connection), "two ends of {connection:?}");
                    Seen::EndOfStream(connection)
                }
                Completion::Failed { connection, failure } => {
                    self.ended.insert(connection);
                    Seen::Failed(connection, failure)
                }
                Completion::Backlogged { connection, unsent_bytes, shared_bytes } => {
                    assert_ne!(unsent_bytes, 0);
                    assert!(shared_bytes <= unsent_bytes);
                    self.shared_bytes.insert(connection, shared_bytes);
                    Seen::Backlogged(connection, unsent_bytes)
                }
                Completion::Drained { connection } => Seen::Drained(connection),
                Completion::Progress { connection, acknowledged_bytes, unacknowledged_bytes } => {
                    Seen::Progress(connection, acknowledged_bytes, unacknowledged_bytes)
                }
                Completion::Closed { connection } => Seen::Closed(connection),
                Completion::Refused { count } => Seen::Refused(count),
                Completion::Woken => Seen::Woken,
            };
            self.note(seen);
            if let Some((name, sends)) =
                self.early.take_if(|(name, _)| seen == Seen::Received(*name))
            {
                for bytes in sends {
                    self.operations.send_owned(name, &mut SendMark::default(), bytes, 0);
                    self.driver.send_early(&mut self.operations);
                    assert!(self.operations.is_empty());
                }
            }
        }
    }

    fn note(&mut self, seen: Seen) {
        if let Seen::Connected(_, token) | Seen::ConnectFailed(token, _) = seen {
            assert!(self.attempts.remove(&token), "two answers to {token:?}: {seen:?}");
        }
        match seen {
            Seen::Accepted(name, ..)
            | Seen::Connected(name, _)
            | Seen::Received(name)
            | Seen::EndOfStream(name)
            | Seen::Failed(name, _)
            | Seen::Backlogged(name, _)
            | Seen::Drained(name)
            | Seen::Progress(name, ..) => {
                assert!(!self.void.contains(&name), "{seen:?} after Closed");
            }
            Seen::Closed(name) => assert!(self.void.insert(name), "{name:?} closed twice"),
            Seen::ConnectFailed(..) | Seen::Refused(_) | Seen::Woken => {}
        }
        self.seen.push(seen);
    }

    /// Asks for a connection; the next turn begins it.
    pub fn begin(&mut self, target: SocketAddr) -> ConnectToken {
        self.begin_with(Connector::new(target), None)
    }

    pub fn begin_with(&mut self, connector: Connector, source: Option<IpAddr>) -> ConnectToken {
        self.tokens += 1;
        let token = ConnectToken(self.tokens);
        self.attempts.insert(token);
        let request = connector.request(token);
        self.operations.connect(match source {
            Some(source) => request.from_source(source),
            None => request,
        });
        token
    }

    /// The connection that an attempt has become.
    pub fn name(&self, token: ConnectToken) -> Option<ConnectionId> {
        self.seen.iter().find_map(|seen| match seen {
            Seen::Connected(name, of) if *of == token => Some(*name),
            _ => None,
        })
    }

    /// Why an attempt has failed.
    pub fn connect_failure(&self, token: ConnectToken) -> Option<ConnectFailure> {
        self.seen.iter().find_map(|seen| match seen {
            Seen::ConnectFailed(of, failure) if *of == token => Some(*failure),
            _ => None,
        })
    }

    pub fn until_connected(&mut self, token: ConnectToken) -> ConnectionId {
        self.until("a connection", |rig| rig.name(token).is_some());
        self.name(token).unwrap()
    }

    pub fn until_connect_failed(&mut self, token: ConnectToken) -> ConnectFailure {
        self.until("a failed attempt", |rig| rig.connect_failure(token).is_some());
        self.connect_failure(token).unwrap()
    }

    /// The reported sizes of the connection's backlog, in order.
    pub fn backlogs(&self, name: ConnectionId) -> impl Iterator<Item = usize> + '_ {
        self.seen.iter().filter_map(move |seen| match seen {
            Seen::Backlogged(of, unsent_bytes) if *of == name => Some(*unsent_bytes),
            _ => None,
        })
    }

    /// Shared bytes in the connection's backlog, as last reported.
    pub fn shared_bytes(&self, name: ConnectionId) -> usize {
        self.shared_bytes[&name]
    }

    /// Runs turns until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} did not happen; saw {:?}", self.seen);
            self.turn(Duration::from_millis(5));
        }
    }

    pub fn until_seen(&mut self, what: Seen) {
        self.until(&format!("{what:?}"), |rig| rig.seen.contains(&what));
    }

    /// Runs turns until everything in flight has arrived; returns how many turns there were. The
    /// driver may sleep all the time.
    pub fn settle(&mut self) -> u64 {
        self.turns_during(SETTLED)
    }

    pub fn turns_during(&mut self, time: Duration) -> u64 {
        let (turns, deadline) = (self.driver.counters().turns, Instant::now() + time);
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.turn(left);
        }
        self.driver.counters().turns - turns
    }

    pub fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// A client, and its connection's name.
    pub fn client(&mut self) -> (TcpStream, ConnectionId) {
        // An earlier client may have had the same port.
        let earlier = self.seen.len();
        let client = self.connect();
        let address = client.local_addr().unwrap();
        let name = |rig: &Self| {
            rig.seen[earlier..].iter().find_map(|seen| match seen {
                Seen::Accepted(name, _, peer) if *peer == address => Some(*name),
                _ => None,
            })
        };
        self.until("an accept", |rig| name(rig).is_some());
        let name = name(self).unwrap();
        (client, name)
    }

    pub fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// Sends in a separate turn that does not wait.
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.operations
            .send(connection, &mut SendMark::default(), |out| out.extend_from_slice(bytes));
        self.turn(Duration::ZERO);
    }

    /// The bytes received since the last call.
    pub fn received(&mut self, connection: ConnectionId) -> Vec<u8> {
        self.received.remove(&connection).unwrap_or_default()
    }

    pub fn received_len(&self, connection: ConnectionId) -> usize {
        self.received.get(&connection).map_or(0, Vec::len)
    }

    pub fn count(&self, matches: impl Fn(&Seen) -> bool) -> usize {
        self.seen.iter().filter(|seen| matches(seen)).count()
    }

    pub fn has_failed(&self, connection: ConnectionId) -> bool {
        self.count(|seen| matches!(seen, Seen::Failed(name, _) if *name == connection)) > 0
    }

    pub fn close(&mut self, connection: ConnectionId) {
        self.push(Operation::Close(connection));
        self.until_seen(Seen::Closed(connection));
    }
}

/// Closes with a reset instead of FIN.
pub fn reset(client: TcpStream) {
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Bytes in which every shift or gap is visible.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}
