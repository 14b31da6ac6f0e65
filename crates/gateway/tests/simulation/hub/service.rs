//! When the gateway serves a client's bytes: at once, or in a later turn if the client does not
//! read, or if the turn was spent on others. The meaning of a request depends on that moment.
//!
//! It asks the gateway how much input waits. It never reads the gateway's answers.

use std::time::Duration;

use ringway::core::shard::Shard;
use ringway_acceptor::ConnectionId;
use ringway_hub::{Cursor, Sequence};

use super::{
    connection::{Change, ChangeDone, ChangeRequest, HubConnection, Mark, Phase},
    model::{Model, PROPERTY, Place, RemoteChange},
    oracle::{Oracle, Since, Start},
    token::Renewal,
};
use crate::{checkers::check, tally::Count};

/// Whether a name has another connection when a new one connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// It has another connection.
    Present,
    /// It has no other connection.
    Absent,
    /// Connections came and left while the gateway served several, and only the gateway knows the
    /// order.
    Unknown,
}

impl Model {
    /// Notes received bytes; it is not known yet whether they are served at once.
    pub(super) fn receives(&mut self, number: usize, bytes: usize) {
        let connection = &mut self.connections[number];
        connection.receives(bytes, &mut self.tally);
        let Self { present, people, broker, .. } = self;
        present[connection.person] = broker.directory.connections(&people[connection.person].name);
    }

    /// The gateway has taken the input of a connection. `place` is the core's position before that.
    pub fn is_taken(&mut self, connection: ConnectionId, shard: &Shard, place: Place) {
        let Some(&number) = self.numbers.get(&(place.core, connection)) else { return };
        let waiting = shard.deferred_bytes(connection).unwrap_or(0);
        let person = self.connections[number].person;
        let others = match self.present[person] {
            0 => Others::Absent,
            _ => Others::Present,
        };
        for mark in self.connections[number].is_served(waiting) {
            if let Mark::Enter { .. } = mark {
                self.audit_connections(person);
            }
            self.is_done(number, mark, others, place);
        }
    }

    /// A core is about to serve the input that it has put off.
    pub fn before_resuming(&mut self) {
        for (present, person) in self.present.iter_mut().zip(&self.people) {
            *present = self.broker.directory.connections(&person.name);
        }
    }

    /// A core has read the log, and then served some of the input that it had put off. `place` is
    /// where it is now, and was while it served that input.
    pub fn has_resumed(&mut self, shard: &Shard, place: Place) {
        let mut served = Vec::new();
        for (number, connection) in self.connections.iter_mut().enumerate() {
            let Some((core, id)) = connection.place else { continue };
            if core != place.core || !connection.awaits_service() {
                continue;
            }
            match shard.deferred_bytes(id) {
                Some(waiting) => {
                    served.extend(
                        connection.is_served(waiting).into_iter().map(|mark| (number, mark)),
                    );
                }
                None => connection.is_given_up(),
            }
        }
        // Only the gateway knows their order; any of them may have been connected at the time of a
        // command.
        served.sort_by_key(|(_, mark)| !matches!(mark, Mark::Enter { .. }));
        let others: Vec<Others> =
            (0..self.people.len()).map(|person| self.others_of(person, &served, shard)).collect();
        for (number, mark) in served {
            let others = others[self.connections[number].person];
            self.is_done(number, mark, others, place);
        }
    }

    /// Whether each new connection of a name found another one, for connections that the core
    /// served from input that it had put off.
    fn others_of(&self, person: usize, served: &[(usize, Mark)], shard: &Shard) -> Others {
        let name = &self.people[person].name;
        let came = served.iter().filter(|(number, mark)| {
            self.connections[*number].person == person && matches!(mark, Mark::Enter { .. })
        });
        let (mut came_count, mut stayed_count) = (0, 0);
        for (number, _) in came {
            came_count += 1;
            let slot = self.connections[*number].place.map(|(_, connection)| connection.slot());
            let mut here = shard.hub().subscriptions.connections(name);
            stayed_count += u32::from(here.any(|here| Some(here) == slot));
        }
        // A connection that was there before them is still there.
        let is_accompanied = self.broker.directory.connections(name) > stayed_count;
        match (self.present[person], came_count) {
            _ if is_accompanied => Others::Present,
            (0, 1) => Others::Absent,
            _ => Others::Unknown,
        }
    }

    /// Checks that the gateway knows no more connections of a name than have connected.
    fn audit_connections(&self, person: usize) {
        let is_here = |connection: &&HubConnection| {
            connection.person == person && connection.has_entered && !connection.is_closed
        };
        let entered = self.connections.iter().filter(is_here).count();
        let (name, known) = (&self.people[person].name, self.present[person]);
        check!(known as usize <= entered, "{known} connections of {name}");
    }

    /// The gateway has served a request, or a message.
    fn is_done(&mut self, number: usize, mark: Mark, others: Others, place: Place) {
        let id = match &mark {
            Mark::Command(token) => Some(self.commands[*token as usize].id()),
            Mark::ChangeRequest(ChangeRequest { id, .. })
            | Mark::RemoteChange { id, .. }
            | Mark::Renew { id, .. } => Some(id.clone()),
            Mark::Enter { .. } | Mark::Leave => None,
        };
        self.connections[number].answers_due.extend(id);
        match mark {
            Mark::Enter { start, topics, expires_at } => {
                let refused = self.refusal(number, expires_at, place.now);
                self.connections[number].refused = refused;
                if refused.is_some() {
                    return self.tally.add(Count::TokensRefused);
                }
                let connection = &mut self.connections[number];
                connection.expiry = expires_at.map(|at| (at, at));
                connection.revoked_at = None;
                self.enters(number, start, &topics, others, place);
            }
            Mark::Renew { id, connection, expires_at } => {
                let is_good = expires_at > place.now;
                let own = connection.is_none().then_some(number);
                self.renewals.insert(id, Renewal { is_good, own, expires_at });
                // The session may have ended before; then there is no answer.
                let expiry = &mut self.connections[connection.unwrap_or(number)].expiry;
                if let Some((earliest, latest)) = expiry.filter(|_| is_good) {
                    *expiry = Some((earliest.min(expires_at), latest.max(expires_at)));
                }
            }
            Mark::Command(token) => self.is_carried_out(token as usize),
            Mark::ChangeRequest(ChangeRequest { id, topic, wish }) => {
                let since = wish.map(|since| match since.map(|since| self.check(since)) {
                    None => Since::Now,
                    Some(Ok(sequence)) => Since::After(sequence),
                    Some(Err(cursor)) => Since::Foreign(cursor),
                });
                self.trouble(number);
                let Place { position, now, .. } = place;
                let id = Some(id);
                let change = ChangeDone { id, topic, since, position, at: now };
                self.connections[number].changes.push_back(change);
            }
            Mark::Leave => self.leaves(number),
            Mark::RemoteChange { id, connection, topic, change } => {
                self.promised.insert(id, place.settled);
                if let Some((core, _)) = self.connections[connection].place {
                    let is_begun = change == Change::Subscribe;
                    let since = is_begun.then_some(Since::After(place.settled));
                    self.mail.entry(core).or_default().push(RemoteChange {
                        number: connection,
                        topic,
                        since,
                    });
                }
            }
        }
    }

    /// The status with which the gateway refuses a client now.
    fn refusal(&self, number: usize, expires_at: Option<Duration>, now: Duration) -> Option<u16> {
        let revoked_until = self.revoked_until[self.connections[number].person];
        match expires_at {
            Some(expires_at) if expires_at <= now => Some(401),
            _ if revoked_until > now => Some(403),
            _ => None,
        }
    }

    fn check(&self, cursor: Cursor) -> Result<Sequence, Cursor> {
        let log = &self.broker.log;
        let is_ours = cursor.epoch == log.epoch() && cursor.sequence <= log.head();
        if is_ours { Ok(cursor.sequence) } else { Err(cursor) }
    }

    fn enters(
        &mut self,
        number: usize,
        start: Option<Cursor>,
        topics: &[String],
        others: Others,
        place: Place,
    ) {
        let person = self.connections[number].person;
        let name = self.people[person].name.clone();
        self.take_stock(person);
        let Place { position, gone, .. } = place;
        let start = match start.map(|cursor| self.check(cursor)) {
            Some(Ok(sequence)) => {
                self.tally.add(Count::Resumed);
                self.people[person].waive(sequence);
                Start::At(sequence)
            }
            Some(Err(cursor)) => {
                self.tally.add(Count::Foreign);
                Start::Foreign(cursor, gone)
            }
            None => {
                match others {
                    Others::Present => {}
                    Others::Unknown => self.people[person].waive(position),
                    Others::Absent => self.tally.add(Count::Alone),
                }
                match others {
                    Others::Present => Start::Beside(position),
                    Others::Absent | Others::Unknown => {
                        Start::Alone { position, person: Box::new(self.people[person].clone()) }
                    }
                }
            }
        };
        self.people[person].was_here = true;
        let connection = &mut self.connections[number];
        connection.has_entered = true;
        connection.began_beside = matches!(start, Start::Beside(_));
        connection.is_owed = true;
        if connection.phase != Phase::Over {
            connection.oracle = Some(Oracle::enter(
                &name,
                connection.transport,
                topics,
                start,
                position,
                place.now,
            ));
        }
    }
}
