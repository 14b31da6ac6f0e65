//! What the model knows: the log, the people, each connection; and what it learns from each
//! completion before the gateway does.
//!
//! It never changes a completion and never looks at what the gateway says.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use ringway::{exchange::Exchange, settings::Settings};
use ringway_acceptor::{Completion, Connection};
use ringway_hub::{Cursor, Presence, Sequence};

use super::{
    command::{Command, Kind},
    cores::CORES,
    course::Flood,
    line::{Attention, Line, Listen, Listened, Listening, Mark, Phase, Route},
    people::Person,
    truth::Truth,
    view::{Health, Moment, Since, Start, View},
    world::Story,
};

/// Beside events: a head, a welcome, a gap, a heartbeat, and the frame of a poll.
const WORDS_BYTES_MAX: usize = 4_096;

/// A queue of so many bytes has room for all that a turn brings, where no flood comes.
const ROOMY: usize = 64 << 10;

/// All that is known.
pub struct Model {
    /// What the cores share.
    pub exchange: Arc<Exchange>,
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
    connections: HashMap<(usize, Connection), usize>,
    /// Changes of subscriptions that a core will find in its mail.
    mail: [Vec<Order>; CORES],
    /// Those who leave in this turn.
    leavers: Vec<usize>,
    learnt: Sequence,
    /// Whether somebody who has everything keeps up with what comes.
    health: Health,
    event_bytes_max: usize,
}

/// A change of another connection's subscription.
struct Order {
    line: usize,
    topic: String,
    /// From where on; `None`: no more.
    since: Option<Since>,
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
    /// The time.
    pub now: Duration,
}

impl Model {
    /// Nothing has happened.
    pub fn new(
        exchange: &Arc<Exchange>,
        settings: &Arc<Settings>,
        names: &[String],
        flood: Option<Flood>,
    ) -> Self {
        let is_roomy = settings.clients.queue_bytes_max >= ROOMY && flood.is_none();
        let allowed = settings.clients.may_notify.clone();
        Self {
            exchange: Arc::clone(exchange),
            settings: Arc::clone(settings),
            truth: Truth::new(&exchange.log, settings.history.age_max, allowed),
            commands: Vec::new(),
            people: names.iter().cloned().map(Person::new).collect(),
            lines: Vec::new(),
            story: Story::default(),
            connections: HashMap::new(),
            mail: Default::default(),
            leavers: Vec::new(),
            learnt: 0,
            health: if is_roomy { Health::Sound } else { Health::Doubtful },
            event_bytes_max: 0,
        }
    }

    /// Takes in what was appended, and tells those who must get it.
    pub fn learn(&mut self) {
        self.truth.follow(&self.exchange.log, &self.commands);
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
            |connection: &Connection| self.connections.get(&(place.core, *connection)).copied();
        match completion {
            Completion::Received { connection, bytes } => {
                if let Some(line) = line_of(connection) {
                    let of_line = &mut self.lines[line];
                    of_line.is_put_off |= of_line.is_backlogged && of_line.route == Route::Poll;
                    for mark in self.lines[line].is_read(bytes.len()) {
                        self.is_done(line, mark, place);
                    }
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
            | Completion::Progress { .. }
            | Completion::Refused { .. } => {}
        }
    }

    /// A core has accepted a connection.
    pub fn is_accepted(&mut self, core: usize, connection: Connection, address: SocketAddr) {
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

    /// A core has read the log up to `position`, and then the requests that it had put off.
    pub fn caught_up(&mut self, core: usize, position: Sequence) {
        for line in &mut self.lines {
            let is_here = line.place.is_some_and(|(own, _)| own == core);
            if is_here && line.is_put_off && !line.is_backlogged {
                line.is_put_off = false;
                if let Some(view) = &mut line.view {
                    view.began_late(position);
                }
            }
        }
    }

    /// A core may have slept for longer than the history goes back.
    pub fn expect_a_gap(&mut self, core: usize, position: Sequence) {
        if self.exchange.log.first() > position + 1 {
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
        let log = &self.exchange.log;
        let moment = Moment { now, truth: &self.truth, first: log.first(), epoch: log.epoch() };
        let health = self.health;
        for line in &mut self.lines {
            let listens = line.attention == Attention::Full && line.is_used() && !line.is_closed;
            let Some(view) = line.view.as_mut().filter(|_| listens) else { continue };
            view.rests(moment, health);
            if line.route != Route::Poll {
                let name = &self.people[line.person].name;
                let presence = self.exchange.directory.presence(name);
                assert_eq!(presence, Presence::Live, "{name} has all, on {:?}", line.route);
            }
        }
    }

    /// The gateway has read a request, or a message, to its end.
    fn is_done(&mut self, number: usize, mark: Mark, place: Place) {
        match mark {
            Mark::Enter { start, topics } => self.enters(number, start, &topics, place),
            Mark::Command(token) => self.is_carried_out(token as usize),
            Mark::Listen(Listen { id, topic, wish }) => {
                let since = wish.map(|since| match since.map(|since| self.judge(since)) {
                    None => Since::Now,
                    Some(Ok(sequence)) => Since::After(sequence),
                    Some(Err(cursor)) => Since::Foreign(cursor),
                });
                self.trouble(number);
                let Place { position, now, .. } = place;
                let id = Some(id);
                let listened = Listened { id, topic, since, position, at: now };
                self.lines[number].listened.push_back(listened);
            }
            Mark::Leave => self.leaves(number),
            Mark::Order { line, topic, change } => {
                if let Some((core, _)) = self.lines[line].place {
                    let is_begun = change == Listening::Begun;
                    let since = is_begun.then_some(Since::After(place.settled));
                    self.mail[core].push(Order { line, topic, since });
                }
            }
        }
    }

    fn judge(&self, cursor: Cursor) -> Result<Sequence, Cursor> {
        let log = &self.exchange.log;
        let is_ours = cursor.epoch == log.epoch() && cursor.sequence <= log.head();
        if is_ours { Ok(cursor.sequence) } else { Err(cursor) }
    }

    fn enters(&mut self, number: usize, start: Option<Cursor>, topics: &[String], place: Place) {
        let person = self.lines[number].person;
        let name = self.people[person].name.clone();
        self.take_stock(person);
        let entered = self
            .lines
            .iter()
            .filter(|line| line.person == person && line.has_entered && !line.is_closed);
        let others = self.exchange.directory.connections(&name);
        assert!(others as usize <= entered.count(), "{others} connections of {name}");
        let gone = self.exchange.log.first() - 1;
        let position = place.position;
        let start = match start.map(|cursor| self.judge(cursor)) {
            Some(Ok(sequence)) => {
                self.story.resumed += 1;
                self.people[person].waive(sequence);
                Start::At(sequence)
            }
            Some(Err(cursor)) => {
                self.story.foreign += 1;
                Start::Foreign(cursor, gone)
            }
            None if others > 0 => {
                self.people[person].waive(position);
                Start::Beside(position)
            }
            None => {
                self.story.alone += 1;
                Start::Alone { position, person: Box::new(self.people[person].clone()) }
            }
        };
        self.people[person].was_here = true;
        let line = &mut self.lines[number];
        line.has_entered = true;
        line.is_owed = true;
        if line.phase != Phase::Over {
            line.view = Some(View::enter(&name, line.route, topics, start, position, place.now));
        }
    }

    /// What the sockets of a client have taken so far.
    fn take_stock(&mut self, person: usize) {
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

    /// Nobody is said to be reached who has no connection.
    pub fn is_carried_out(&mut self, token: usize) {
        if let Kind::Notify { to } = &self.commands[token].kind {
            let is_there = |name: &&String| {
                self.lines.iter().any(|line| {
                    let is_theirs = self.people[line.person].name == **name;
                    is_theirs && line.has_entered && !line.is_closed
                })
            };
            let there = to.iter().filter(is_there).cloned().collect();
            // A command that comes twice is carried out the first time.
            if self.truth.place(token as u64).is_none() {
                self.commands[token].there = there;
            }
        }
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
    fn leaves(&mut self, number: usize) {
        self.trouble(number);
        self.lines[number].has_ended = true;
        self.leavers.push(number);
    }

    fn trouble(&mut self, number: usize) {
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
