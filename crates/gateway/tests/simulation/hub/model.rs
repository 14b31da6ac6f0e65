//! What the model knows: the log, the people, each connection; and what it learns from each
//! completion before the gateway does.
//!
//! It never changes a completion and never looks at what the gateway says.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use ringway::broker::Broker;
use ringway::config::settings::Settings;
use ringway_acceptor::{Completion, ConnectionId};
use ringway_hub::{Liveness, Sequence};

use super::{
    command::{Command, Kind},
    cores::CORES,
    course::{Flood, Placing},
    line::{Attention, Line, Listened, Route},
    people::Person,
    truth::Truth,
    view::{Health, Moment, Since},
    world::Story,
};

/// Beside events: a head, a welcome, a gap, a heartbeat, and the frame of a poll.
const WORDS_BYTES_MAX: usize = 4_096;

/// A queue of so many bytes has room for all that a turn brings, where no flood comes.
const ROOMY: usize = 64 << 10;

/// All that is known.
pub struct Model {
    /// What the cores share.
    pub broker: Arc<Broker>,
    /// The peers' bounds.
    pub settings: Arc<Settings>,
    /// The log.
    pub truth: Truth,
    /// All commands, by their tokens.
    pub commands: Vec<Command>,
    /// All names of clients.
    pub people: Vec<Person>,
    /// All connections.
    pub lines: Vec<Line>,
    /// What has happened.
    pub story: Story,
    /// By what the gateway calls them.
    pub(super) connections: HashMap<(usize, ConnectionId), usize>,
    /// Changes of subscriptions that a core will find in its mail.
    pub(super) mail: [Vec<Order>; CORES],
    /// From where on the changes in the mail are promised to those who asked, by the ids of their
    /// commands.
    pub(super) promised: HashMap<String, Sequence>,
    /// Commands whose events had no place in the log when they were carried out.
    unanswered: Vec<usize>,
    /// When events get their places.
    pub(super) placing: Placing,
    /// How many connections each name had before the gateway served what is being judged.
    pub(super) present: Vec<u32>,
    /// Those who leave in this turn.
    leavers: Vec<usize>,
    learnt: Sequence,
    /// Whether somebody who has everything keeps up with what comes.
    health: Health,
    event_bytes_max: usize,
}

/// A change of another connection's subscription.
pub(super) struct Order {
    pub(super) line: usize,
    pub(super) topic: String,
    /// From where on; `None`: no more.
    pub(super) since: Option<Since>,
}

/// Where something happens, and when.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The core.
    pub core: usize,
    /// How far it has read.
    pub position: Sequence,
    /// And how far all of that was sent.
    pub settled: Sequence,
    /// The last event that is not kept any more.
    pub gone: Sequence,
    /// The time.
    pub now: Duration,
}

impl Model {
    /// Nothing has happened.
    pub fn new(
        broker: &Arc<Broker>,
        settings: &Arc<Settings>,
        names: &[String],
        flood: Option<Flood>,
        placing: Placing,
    ) -> Self {
        let is_roomy = settings.clients.queue_bytes_max >= ROOMY && flood.is_none();
        let allowed = settings.clients.may_notify.clone();
        Self {
            broker: Arc::clone(broker),
            settings: Arc::clone(settings),
            truth: Truth::new(&broker.log, settings.history.age_max, allowed),
            commands: Vec::new(),
            people: names.iter().cloned().map(Person::new).collect(),
            lines: Vec::new(),
            story: Story::default(),
            connections: HashMap::new(),
            mail: Default::default(),
            promised: HashMap::new(),
            unanswered: Vec::new(),
            placing,
            present: vec![0; names.len()],
            leavers: Vec::new(),
            learnt: 0,
            health: if is_roomy { Health::Sound } else { Health::Doubtful },
            event_bytes_max: 0,
        }
    }

    /// Takes in what was appended, and tells those who must get it.
    pub fn learn(&mut self) {
        self.truth.follow(&self.broker.log, &self.commands);
        for sequence in self.learnt + 1..=self.truth.head() {
            let Some(fact) = self.truth.fact(sequence) else { continue };
            self.event_bytes_max = self.event_bytes_max.max(fact.text.len());
            for line in self.lines.iter_mut().filter(|line| !line.is_closed) {
                if let Some(view) = &mut line.view {
                    view.learns(sequence, fact);
                }
            }
        }
        self.learnt = self.truth.head();
    }

    /// Takes note of a completion.
    pub fn note(&mut self, completion: &Completion<'_>, place: Place) {
        let line_of =
            |connection: &ConnectionId| self.connections.get(&(place.core, *connection)).copied();
        match completion {
            Completion::Received { connection, bytes } => {
                if let Some(line) = line_of(connection) {
                    self.receives(line, bytes.len());
                }
            }
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                if let Some(line) = line_of(connection) {
                    self.bound(line, *unsent_bytes);
                    self.trouble(line);
                    self.lines[line].was_backlogged = true;
                    self.lines[line].is_backlogged = true;
                }
            }
            Completion::EndOfStream { connection } => {
                if let Some(line) = line_of(connection) {
                    self.leaves(line);
                }
            }
            Completion::Failed { connection, .. } => {
                if let Some(line) = line_of(connection) {
                    // Of a send of the last turn, perhaps, which was not taken.
                    self.lines[line].claimed = 0;
                    self.leaves(line);
                }
            }
            Completion::Closed { connection } => {
                if let Some(line) = self.connections.remove(&(place.core, *connection)) {
                    self.is_closed(line);
                }
            }
            Completion::Woken => {
                // The outcomes of submissions may be in the mail.
                for token in std::mem::take(&mut self.unanswered) {
                    if self.commands[token].ack.is_none() {
                        self.finds_recipients(token);
                        self.unanswered.push(token);
                    }
                }
                for Order { line, topic, since } in std::mem::take(&mut self.mail[place.core]) {
                    self.trouble(line);
                    let Place { position, now, .. } = place;
                    let line = &mut self.lines[line];
                    line.listened.push_back(Listened { id: None, topic, since, position, at: now });
                    line.settle();
                }
            }
            Completion::Drained { connection } => {
                if let Some(line) = line_of(connection) {
                    self.lines[line].is_backlogged = false;
                }
            }
            Completion::Accepted { .. }
            | Completion::Connected { .. }
            | Completion::ConnectFailed { .. }
            | Completion::Progress { .. }
            | Completion::Refused { .. } => {}
        }
    }

    /// A core has accepted a connection.
    pub fn is_accepted(&mut self, core: usize, connection: ConnectionId, address: SocketAddr) {
        let found = self.lines.iter().rposition(|line| line.client.address() == address);
        let line = found.expect("somebody has connected");
        self.connections.insert((core, connection), line);
        self.lines[line].place = Some((core, connection));
    }

    /// A core has heard all that has come in this turn: what was written before it, and is not
    /// backlogged, was taken. Of what is taken after a backlog it is not known here whether the
    /// client was still served; and where commands are answered, the gateway does not look closely.
    pub fn heard_all(&mut self, core: usize) {
        for person in 0..self.people.len() {
            self.take_stock(person);
        }
        for line in &mut self.lines {
            let is_here = line.place.is_some_and(|(own, _)| own == core);
            let is_stream = matches!(line.route, Route::Sse(_) | Route::Lines | Route::Iframe);
            if is_here && is_stream && !line.was_backlogged && !line.has_ended {
                line.settled = line.settled.max(line.taken_to);
            }
        }
    }

    /// A core may have slept for longer than the history goes back.
    pub fn expect_a_gap(&mut self, core: usize, position: Sequence) {
        if self.broker.log.first() > position + 1 {
            for line in &mut self.lines {
                let is_here = line.place.is_some_and(|(own, _)| own == core);
                if let Some(view) = line.view.as_mut().filter(|_| is_here) {
                    view.trouble();
                }
            }
        }
    }

    /// Nothing moves: everybody who listens has everything.
    pub fn audit_rest(&mut self, now: Duration) {
        self.story.rests += 1;
        let log = &self.broker.log;
        let moment = Moment { now, truth: &self.truth, first: log.first(), epoch: log.epoch() };
        let health = self.health;
        for line in &mut self.lines {
            let listens = line.attention == Attention::Full && line.is_used() && !line.is_closed;
            let Some(view) = line.view.as_mut().filter(|_| listens) else { continue };
            view.rests(moment, health);
            if line.route != Route::Poll {
                let name = &self.people[line.person].name;
                let liveness = self.broker.directory.liveness(name);
                assert_eq!(liveness, Liveness::Live, "{name} has all, on {:?}", line.route);
            }
        }
    }

    /// What the sockets of a client have taken so far.
    pub(super) fn take_stock(&mut self, person: usize) {
        let Self { lines, people, truth, .. } = self;
        let person_known = &mut people[person];
        let bytes_of = |sequence| truth.fact(sequence).map_or(0, |fact| fact.text.len());
        for line in lines.iter_mut().filter(|line| line.person == person) {
            let taken = line.taken(bytes_of);
            let is_own = |sequence: &&Sequence| {
                let fact = truth.fact(**sequence);
                fact.is_none_or(|fact| fact.is_for(&person_known.name))
            };
            let own: Vec<Sequence> = taken.iter().filter(is_own).copied().collect();
            line.taken_to = own.iter().copied().fold(line.taken_to, Sequence::max);
            person_known.taken.extend(own);
            person_known.waive(line.told_to());
            if line.is_opaque() {
                person_known.waive(truth.head());
            }
        }
    }

    /// A command was carried out. Nobody is said to be reached who has no connection.
    pub fn is_carried_out(&mut self, token: usize) {
        // A command that comes twice is carried out the first time.
        if self.truth.place(token as u64).is_none() {
            self.commands[token].there.clear();
            self.finds_recipients(token);
            if self.placing == Placing::Later && self.commands[token].ack.is_none() {
                self.unanswered.retain(|one| *one != token);
                self.unanswered.push(token);
            }
        }
    }

    /// Notes which recipients of a command have a connection now.
    pub(super) fn finds_recipients(&mut self, token: usize) {
        let Kind::Notify { to } = &self.commands[token].kind else { return };
        let is_there = |name: &&String| {
            self.lines.iter().any(|line| {
                let is_theirs = self.people[line.person].name == **name;
                is_theirs && line.has_entered && !line.is_closed
            })
        };
        let there: Vec<String> = to.iter().filter(is_there).cloned().collect();
        self.commands[token].there.extend(there);
    }

    fn is_closed(&mut self, number: usize) {
        self.take_stock(self.lines[number].person);
        let line = &mut self.lines[number];
        line.is_closed = true;
        line.has_entered = false;
    }

    /// The turn is over: the gateway knows what was taken by those who left in good order.
    pub fn end_turn(&mut self) {
        for line in std::mem::take(&mut self.leavers) {
            let Line { person, settled, claimed, .. } = self.lines[line];
            let person = &mut self.people[person];
            person.settled = person.settled.max(settled).max(claimed);
        }
    }

    /// The gateway sees the end of a connection.
    pub(super) fn leaves(&mut self, number: usize) {
        self.trouble(number);
        self.lines[number].has_ended = true;
        self.leavers.push(number);
    }

    pub(super) fn trouble(&mut self, number: usize) {
        if let Some(view) = &mut self.lines[number].view {
            view.trouble();
        }
    }

    /// What the driver may keep for a connection that sends no commands: the queue, what made it
    /// overflow, and the gateway's own words.
    fn bound(&self, number: usize, unsent_bytes: usize) {
        let line = &self.lines[number];
        let queue_bytes_max = self.settings.clients.queue_bytes_max;
        let poll_bytes_max = self.settings.http.poll_bytes_max;
        let queue = match line.route {
            Route::Poll => queue_bytes_max.max(poll_bytes_max),
            Route::Sse(_) | Route::Lines | Route::Iframe => queue_bytes_max,
            Route::WebSocket(_) | Route::Post => return,
        };
        let bound = queue + 2 * self.event_bytes_max + WORDS_BYTES_MAX;
        assert!(unsent_bytes <= bound, "{unsent_bytes} of {bound} bytes for {:?}", line.route);
    }
}
