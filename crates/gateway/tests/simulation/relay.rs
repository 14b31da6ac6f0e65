//! Relays on the simulated driver: both sides of each are played here, the relay is the real one.
//!
//! Whatever either side does, each gets a prefix of what the other sent, in order; without a reset
//! it gets all. What a relay keeps is bounded, and when both sides are gone nothing stays behind.

use std::{
    collections::{BTreeSet, HashMap},
    ops::AddAssign,
    time::Duration,
};

use ringway::upstream::relay::{NextStep, Relay};
use ringway_acceptor::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Connector, Driver, Operation,
    Operations, Settings,
    sim::{Faults, Network, Server, SimDriver},
};

use crate::{behaviour::Leaving, connection::Connection, decoder::Transport, seeds::each_seed};

const MOMENT: Duration = Duration::from_millis(1);

/// Turns that nothing needs more of.
const TURNS_MAX: u32 = 30_000;

/// The owner gives up connecting after so many.
const CONNECT_TURNS_MAX: u32 = 120;

const BUFFERS: usize = 8;
const BUFFER_BYTES: usize = 512;

/// What a relay may keep. A turn brings what fills all buffers. Of each direction it keeps what
/// comes in the turn in which a reader falls behind, in the one that reports it, and after the pause;
/// and of the client also what came before the upstream was connected.
const KEPT_BYTES_MAX: usize = (3 + 3 + 3) * BUFFERS * BUFFER_BYTES;

/// What a side does beside sending all that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// Ends its stream when all is sent, and reads on.
    Polite,
    /// Closes its socket when all is sent, read or not.
    Hasty,
    /// Resets the connection in this turn.
    Resets(u32),
}

/// One end of a relayed conversation.
struct Party {
    socket: Connection,
    behaviour: Behaviour,
    bytes: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    /// Reads little or nothing until this turn.
    slow_until: u32,
    /// Whether it sent bytes after the other side's end.
    spoke_last: bool,
    has_left: bool,
}

impl Party {
    fn new(mut socket: Connection, scenario: Scenario, rng: &mut fastrand::Rng) -> Self {
        let behaviour = match rng.u8(..8) {
            0 if scenario == Scenario::Anything => Behaviour::Hasty,
            1 if scenario == Scenario::Anything => Behaviour::Resets(rng.u32(..300)),
            _ => Behaviour::Polite,
        };
        let is_slow = rng.u8(..3) == 0;
        if is_slow {
            socket.read_at_most(if rng.bool() { 0 } else { 50 });
        }
        let length = if rng.bool() { rng.usize(..200) } else { rng.usize(..40_000) };
        Self {
            socket,
            behaviour,
            bytes: std::iter::repeat_with(|| rng.u8(..)).take(length).collect(),
            sent: 0,
            received: Vec::new(),
            slow_until: if is_slow { rng.u32(..400) } else { 0 },
            spoke_last: false,
            has_left: false,
        }
    }

    fn act(&mut self, turn: u32, rng: &mut fastrand::Rng) {
        if turn == self.slow_until {
            self.socket.read_freely();
        }
        if matches!(self.behaviour, Behaviour::Resets(at) if at == turn) && !self.has_left {
            self.socket.leave(Leaving::Resets);
            self.has_left = true;
        }
        if !self.has_left && rng.u8(..3) == 0 {
            let end = self.bytes.len().min(self.sent + rng.usize(1..3_000));
            self.spoke_last |= self.socket.saw_fin() && end > self.sent;
            self.socket.send(&self.bytes[self.sent..end]);
            self.sent = end;
            if end == self.bytes.len() {
                match self.behaviour {
                    Behaviour::Hasty => self.socket.leave(Leaving::Vanishes),
                    Behaviour::Polite | Behaviour::Resets(_) => {
                        self.socket.leave(Leaving::HalfCloses)
                    }
                }
                self.has_left = true;
            }
        }
        self.read();
    }

    fn read(&mut self) {
        self.received.extend(self.socket.receive());
    }

    fn is_polite(&self) -> bool {
        self.behaviour == Behaviour::Polite && !self.socket.saw_reset()
    }
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Anything,
    /// Sides are slow at most, and the network loses nothing.
    Lossless,
}

/// A client, the server that it is relayed to, and what has become of them.
struct Pair {
    client: Party,
    server: Server,
    admits_at: Option<u32>,
    upstream: Option<Party>,
    relay: Option<Relay>,
    begun_at: u32,
    failure: Option<ConnectFailure>,
    is_over: bool,
}

/// What happened over all seeds.
#[derive(Debug, Default)]
struct Tally {
    completed: usize,
    reset: usize,
    refused: usize,
    cancelled: usize,
    spoke_last: usize,
    held_back: usize,
    kept_peak: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.completed += other.completed;
        self.reset += other.reset;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.spoke_last += other.spoke_last;
        self.held_back += other.held_back;
        self.kept_peak = self.kept_peak.max(other.kept_peak);
    }
}

/// The owner of a driver and of the relays on it.
struct Core {
    network: Network,
    driver: SimDriver,
    operations: Operations,
    pairs: Vec<Pair>,
    by_name: HashMap<ConnectionId, usize>,
    settling: BTreeSet<usize>,
    turn: u32,
    kept_bytes_max: usize,
    kept_peak: usize,
}

impl Core {
    fn new(seed: u64, scenario: Scenario) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let faults = match (scenario, seed % 3) {
            (Scenario::Anything, 0) => Faults::none(),
            (Scenario::Anything, 1) => Faults::default(),
            (Scenario::Anything, _) => Faults::harsh(),
            (Scenario::Lossless, _) => {
                Faults { reset: 0.0, refusal: 0.0, connect_failure: 0.0, ..Faults::harsh() }
            }
        };
        let network = Network::new(seed, Faults { send_buffer_bytes: 1 << 10, ..faults });
        let settings = Settings {
            connections_max: 64,
            receive_buffers: BUFFERS as u16,
            receive_buffer_bytes: BUFFER_BYTES as u32,
            ..Settings::default()
        };
        let driver = network.driver(settings);
        let pairs = (0..rng.usize(1..=3)).map(|_| Pair::new(&network, scenario, &mut rng));
        Self {
            driver,
            operations: Operations::default(),
            pairs: pairs.collect(),
            network,
            by_name: HashMap::new(),
            settling: BTreeSet::new(),
            turn: 0,
            kept_bytes_max: usize::MAX,
            kept_peak: 0,
        }
    }

    /// Runs until nobody has anything to do.
    fn run(mut self, seed: u64, scenario: Scenario) -> Tally {
        let mut rng = fastrand::Rng::with_seed(seed);
        while !self.is_over() {
            assert!(self.turn < TURNS_MAX, "a relay does not end");
            for pair in &mut self.pairs {
                pair.act(self.turn, scenario, &mut rng);
            }
            self.turn();
            self.turn += 1;
        }
        self.tally(scenario)
    }

    fn is_over(&self) -> bool {
        self.driver.connections() == 0
            && self.operations.is_empty()
            && self.network.is_quiet()
            && self.pairs.iter().all(Pair::has_ended)
    }

    fn turn(&mut self) {
        self.driver.submit(&mut self.operations);
        let timeout = if self.settling.is_empty() { MOMENT } else { Duration::ZERO };
        self.driver.wait(Some(timeout)).unwrap();
        let mut touched = std::mem::take(&mut self.settling);
        while let Some(completion) = self.driver.next() {
            let Some(index) = index(&completion, &mut self.by_name, &self.pairs) else { continue };
            let pair = &mut self.pairs[index];
            match (&mut pair.relay, completion) {
                (Some(relay), completion) => {
                    relay.complete(completion, &mut self.operations);
                    touched.insert(index);
                }
                (None, Completion::Accepted { connection, .. }) => {
                    let token = ConnectToken(index as u64);
                    let request = Connector::new(pair.server.address()).request(token);
                    let relay = Relay::begin(connection, request, &mut self.operations);
                    pair.relay = Some(relay.with_kept_bytes_max(self.kept_bytes_max));
                    pair.begun_at = self.turn;
                }
                // The client of a failed attempt, which is being closed.
                (None, Completion::Closed { .. }) => pair.is_over = true,
                (None, _) => {}
            }
        }
        for index in touched {
            self.end_turn(index);
        }
        for pair in &mut self.pairs {
            let Some(relay) = &mut pair.relay else { continue };
            let kept_bytes = relay.kept_bytes();
            assert!(kept_bytes <= KEPT_BYTES_MAX, "{kept_bytes} bytes are kept");
            self.kept_peak = self.kept_peak.max(kept_bytes);
            if pair.upstream.is_none() && self.turn == pair.begun_at + CONNECT_TURNS_MAX {
                relay.abort(&mut self.operations);
            }
        }
    }

    fn end_turn(&mut self, index: usize) {
        let pair = &mut self.pairs[index];
        let Some(relay) = &mut pair.relay else { return };
        match relay.end_turn(&mut self.operations) {
            NextStep::Wait => {}
            NextStep::Settle => {
                self.settling.insert(index);
            }
            NextStep::Unconnected(client, failure) => {
                pair.failure = Some(failure);
                pair.relay = None;
                self.operations.push(Operation::Reset(client));
            }
            NextStep::Over => {
                pair.relay = None;
                pair.is_over = true;
            }
        }
    }

    fn tally(mut self, scenario: Scenario) -> Tally {
        for pair in &mut self.pairs {
            pair.client.read();
            pair.upstream.as_mut().map(Party::read);
        }
        assert_eq!(self.driver.leases_taken(), 0, "a receive buffer is not returned");
        let peak = self.network.backlog_bytes_peak();
        assert!(peak <= KEPT_BYTES_MAX * self.pairs.len(), "{peak} bytes were kept");
        let mut tally = Tally {
            held_back: usize::from(peak > 0),
            kept_peak: self.kept_peak,
            ..Tally::default()
        };
        for pair in &self.pairs {
            pair.check(scenario, &mut tally);
        }
        tally
    }
}

/// Which pair a completion is about.
fn index(
    completion: &Completion<'_>,
    by_name: &mut HashMap<ConnectionId, usize>,
    pairs: &[Pair],
) -> Option<usize> {
    match *completion {
        Completion::Accepted { connection, peer, .. } => {
            let index = pairs.iter().position(|pair| pair.client.socket.address() == peer)?;
            by_name.insert(connection, index);
            Some(index)
        }
        Completion::Connected { connection, token } => {
            by_name.insert(connection, token.0 as usize);
            Some(token.0 as usize)
        }
        Completion::ConnectFailed { token, .. } => Some(token.0 as usize),
        Completion::Received { connection, .. }
        | Completion::EndOfStream { connection }
        | Completion::Failed { connection, .. }
        | Completion::Backlogged { connection, .. }
        | Completion::Drained { connection }
        | Completion::Closed { connection }
        | Completion::Progress { connection, .. } => by_name.get(&connection).copied(),
        Completion::Refused { .. } | Completion::Woken => None,
    }
}

impl Pair {
    fn new(network: &Network, scenario: Scenario, rng: &mut fastrand::Rng) -> Self {
        let server = network.listen();
        let mut admits_at = None;
        match rng.u8(..8) {
            0 if scenario == Scenario::Anything => server.refuse(),
            1 if scenario == Scenario::Anything => server.ignore(),
            2 => {
                server.ignore();
                admits_at = Some(rng.u32(1..CONNECT_TURNS_MAX / 2));
            }
            _ => {}
        }
        Self {
            client: Party::new(Connection::connect(network, None, Transport::Echo), scenario, rng),
            server,
            admits_at,
            upstream: None,
            relay: None,
            begun_at: 0,
            failure: None,
            is_over: false,
        }
    }

    fn act(&mut self, turn: u32, scenario: Scenario, rng: &mut fastrand::Rng) {
        self.client.act(turn, rng);
        if self.admits_at == Some(turn) {
            self.server.admit();
        }
        if let Some(client) = self.server.accept() {
            let client = Connection::over(client, Transport::Echo);
            assert!(self.upstream.is_none(), "a relay connects once");
            let mut party = Party::new(client, scenario, rng);
            party.slow_until = party.slow_until.max(turn);
            self.upstream = Some(party);
        }
        if let Some(upstream) = &mut self.upstream {
            upstream.act(turn, rng);
        }
    }

    /// Whether both sides know that it is over.
    fn has_ended(&self) -> bool {
        let knows = |party: &Party| party.socket.saw_fin() || party.socket.saw_reset();
        knows(&self.client) && self.upstream.as_ref().is_none_or(knows) && self.relay.is_none()
    }

    fn check(&self, scenario: Scenario, tally: &mut Tally) {
        let client = &self.client;
        tally.refused += usize::from(self.failure.is_some());
        let Some(upstream) = &self.upstream else {
            assert_ne!(scenario, Scenario::Lossless, "it was connected");
            assert!(client.received.is_empty() && client.socket.saw_reset());
            tally.cancelled += usize::from(self.is_over && self.failure.is_none());
            return;
        };
        for (from, to) in [(client, upstream), (upstream, client)] {
            assert!(from.bytes[..from.sent].starts_with(&to.received), "bytes are not in order");
        }
        if client.is_polite() && upstream.is_polite() {
            assert!(client.socket.saw_fin() && upstream.socket.saw_fin());
            assert_eq!((client.sent, upstream.sent), (client.bytes.len(), upstream.bytes.len()));
            assert!(client.bytes == upstream.received && upstream.bytes == client.received);
            tally.completed += 1;
            tally.spoke_last += usize::from(client.spoke_last || upstream.spoke_last);
        } else {
            assert_ne!(scenario, Scenario::Lossless, "nobody reset anything");
            tally.reset += 1;
        }
        // One side's reset reaches the other one, unless that has everything already.
        for (from, to) in [(client, upstream), (upstream, client)] {
            if from.socket.saw_reset() && !to.socket.saw_reset() {
                assert!(to.socket.saw_fin(), "a side is not told of the end");
            }
        }
    }
}

#[test]
fn a_relay_passes_on_a_prefix_whatever_happens() {
    let mut sum = Tally::default();
    let seeds = each_seed("a_relay_passes_on_a_prefix_whatever_happens", 1_000, |seed| {
        sum += Core::new(seed, Scenario::Anything).run(seed, Scenario::Anything);
    });
    let Tally { completed, reset, refused, cancelled, spoke_last, held_back, .. } = sum;
    let counts = [completed, reset, refused, cancelled, spoke_last, held_back];
    assert!(seeds < 1_000 || counts.iter().all(|count| *count > 50), "{sum:?}");
}

#[test]
fn without_losses_a_relay_passes_on_every_byte() {
    let mut sum = Tally::default();
    let seeds = each_seed("without_losses_a_relay_passes_on_every_byte", 300, |seed| {
        sum += Core::new(seed, Scenario::Lossless).run(seed, Scenario::Lossless);
    });
    assert_eq!(sum.reset + sum.refused + sum.cancelled, 0, "{sum:?}");
    let counts = [sum.completed, sum.spoke_last, sum.held_back];
    assert!(seeds < 300 || counts.iter().all(|count| *count > 50), "{sum:?}");
}

/// A bound that the driver's buffers alone pass: both sides are reset, and nothing stays behind.
#[test]
fn a_relay_that_keeps_too_much_ends_both_sides() {
    let mut reset = 0;
    each_seed("a_relay_that_keeps_too_much_ends_both_sides", 100, |seed| {
        let mut core = Core::new(seed, Scenario::Anything);
        core.kept_bytes_max = 100;
        reset += core.run(seed, Scenario::Anything).reset;
    });
    assert!(reset > 50, "{reset}");
}
