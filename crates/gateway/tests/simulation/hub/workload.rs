//! What clients and the application do by themselves: connect, send, subscribe, read slowly, leave.
//!
//! It checks nothing.

use std::{sync::Arc, time::Duration};

use ringway::broker::mailbox::CoreMessage;
use ringway::config::settings::Settings;
use ringway_frame::CloseCode;
use ringway_hub::{Cursor, Epoch};

use super::{
    Hub,
    checker::APPLICATION_CLOSE,
    command::{Command, any_of, json},
    connect_params::ConnectParams,
    connection::{Attention, Change, ChangeRequest, HubConnection, Mark, Phase},
    model::POLL_WAIT_MAX,
    scenario::{Memory, Reload},
    token::{self, Naming, ShownIn, ShownToken},
};
use crate::{
    behaviour::Leaving,
    decoder::{Names, Packing, Transport},
    tally::Count,
};

/// A connection that was used this recently has not timed out.
const REUSED_WITHIN: Duration = Duration::from_secs(20);

/// With larger buffers, a silent client would be sent heartbeats for too long.
const ABANDONED_BUFFER_BYTES_MAX: usize = 8_000;

impl Hub {
    /// Lets each client act whose time has come; returns the time of the next action.
    pub fn act(&mut self, now: Duration, is_at_rest: bool) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for number in 0..self.devices.len() {
            if self.devices[number].reads_at.is_some_and(|at| at <= now) {
                self.read_on(number);
            }
            let device = &self.devices[number];
            if device.is_done() {
                continue;
            }
            if device.acts_at <= now {
                self.act_as(number, now, is_at_rest);
                let haste = self.plan.haste.mul_f64(2.0 * self.rng.f64());
                let pause = match self.rng.u8(0..16) {
                    0 => Duration::from_millis(self.rng.u64(0..4_000)),
                    _ => haste,
                };
                self.devices[number].acts_at = now + pause.max(Duration::from_micros(10));
            }
            let device = &self.devices[number];
            next = next.into_iter().chain([device.acts_at]).chain(device.reads_at).min();
        }
        if self.application_actions > 0 && self.devices.iter().any(|device| device.actions > 0) {
            if self.application_acts_at <= now {
                self.application_actions -= 1;
                self.act_as_application(now);
                let pause = self.plan.haste.mul_f64(8.0 * self.rng.f64());
                self.application_acts_at = now + pause.max(Duration::from_micros(10));
            }
            next = next.into_iter().chain([self.application_acts_at]).min();
        }
        next
    }

    fn act_as(&mut self, number: usize, now: Duration, is_at_rest: bool) {
        let device = &mut self.devices[number];
        if device.actions == 0 {
            let connections = device.connection.into_iter().chain(device.post);
            return connections
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|connection| self.leave(connection, is_at_rest));
        }
        device.actions -= 1;
        let Some(connection) = device.connection else { return self.come(number, now) };
        let state = &self.model.connections[connection];
        if state.transport == Transport::Poll && state.phase == Phase::Open && self.rng.u8(0..4) > 0
        {
            return self.poll(number, connection, now);
        }
        if self.plan.naming == Naming::ByToken && self.rng.u8(0..6) == 0 {
            return self.renew(number, connection, now);
        }
        match self.rng.u8(0..20) {
            0..3 => self.leave(connection, is_at_rest),
            13..17 if self.plan.memory == Memory::Bad => self.leave(connection, is_at_rest),
            3..6 => self.read_slowly(number, connection, now),
            6..10 => self.change_subscription(number, connection, now),
            10..12 => self.repeat(number, connection, now),
            12 => self.ping(connection),
            _ => self.command(number, connection, now),
        }
    }

    /// Connects, from its cursor or from another position.
    fn come(&mut self, number: usize, now: Duration) {
        let rng = &mut self.rng;
        let transport = match rng.u8(0..16) {
            0..5 => Transport::WebSocket(Packing::Plain),
            5 => Transport::WebSocket(Packing::Own),
            6 => Transport::WebSocket(Packing::Shared),
            7 => Transport::Sse(Names::On),
            8 => Transport::Sse(Names::Off),
            9..11 => Transport::Lines,
            11 => Transport::Iframe,
            _ => Transport::Poll,
        };
        if rng.u8(0..8) == 0 {
            let topics = self.plan.topics.iter().filter(|_| rng.bool()).cloned().collect();
            self.devices[number].topics = topics;
        }
        let connection = self.connect(number, transport);
        self.devices[number].connection = Some(connection);
        self.enter(number, connection, now);
    }

    fn poll(&mut self, number: usize, connection: usize, now: Duration) {
        let is_fresh = now < self.model.connections[connection].used_at + REUSED_WITHIN;
        if is_fresh && !self.model.connections[connection].is_last {
            return self.enter(number, connection, now);
        }
        self.model.connections[connection].socket.leave(Leaving::HalfCloses);
        self.model.connections[connection].phase = Phase::Left;
        let connection = self.connect(number, Transport::Poll);
        self.devices[number].connection = Some(connection);
        self.enter(number, connection, now);
    }

    fn connect(&mut self, device: usize, transport: Transport) -> usize {
        let person = self.devices[device].person;
        self.model.connections.push(HubConnection::connect(
            &self.network,
            person,
            device,
            transport,
        ));
        self.model.connections.len() - 1
    }

    fn enter(&mut self, number: usize, connection: usize, now: Duration) {
        let rng = &mut self.rng;
        let device = &self.devices[number];
        let log = &self.broker.log;
        let foreign = Cursor { epoch: Epoch::new(7_777_777), sequence: rng.u64(0..100) };
        let later = Cursor { epoch: log.epoch(), sequence: log.head() + 1_000_000 };
        let older = (!device.older.is_empty()).then(|| rng.usize(0..device.older.len()));
        let cursor = match rng.u8(0..24) {
            8.. if self.plan.memory == Memory::Bad => None,
            0..3 => None,
            3..5 => older.map_or(device.cursor, |place| Some(device.older[place])),
            5 => Some(foreign),
            6 => Some(later),
            _ => device.cursor,
        };
        let longest = POLL_WAIT_MAX.as_secs_f64();
        let wait = rng.choice([0.0, 0.0, 0.01, 0.5, longest]).expect("a choice");
        let person = &*self.plan.people[device.person];
        let token = (self.plan.naming == Naming::ByToken).then(|| {
            let expires_at = token::any_expiry(now, rng);
            let shown_in = match (self.model.connections[connection].transport, rng.u8(0..3)) {
                (_, 0) => ShownIn::Query,
                (Transport::WebSocket(_), 1) => ShownIn::Message,
                _ => ShownIn::Field,
            };
            ShownToken { text: token::signed(person, expires_at), expires_at, shown_in }
        });
        let params = ConnectParams { person, topics: &device.topics, cursor, wait, token };
        let connection = &mut self.model.connections[connection];
        connection.used_at = now;
        connection.enter(&params, rng);
    }

    /// Leaves a connection in one of several ways.
    fn leave(&mut self, connection: usize, is_at_rest: bool) {
        let is_patient = self.send_buffer_bytes <= ABANDONED_BUFFER_BYTES_MAX;
        let state = &mut self.model.connections[connection];
        let own = state.oracle.as_ref().map(|oracle| oracle.own);
        if is_at_rest && state.attention == Attention::Full && state.transport != Transport::Poll {
            state.claimed = own.unwrap_or(0);
        }
        state.socket.read_freely();
        match self.rng.u8(0..5) {
            0 => state.socket.leave(Leaving::HalfCloses),
            1 => state.socket.leave(Leaving::Resets),
            2 => state.socket.leave(Leaving::Vanishes),
            3 if is_patient => state.socket.read_at_most(0),
            _ => {
                if let (Transport::WebSocket(_), Phase::Open) = (state.transport, state.phase) {
                    let mask = self.rng.u32(..).to_ne_bytes();
                    let close = state.socket.close(CloseCode::NORMAL, mask);
                    state.send(&close.expect("it is open"), Some(Mark::Leave));
                } else {
                    state.socket.leave(Leaving::HalfCloses);
                }
            }
        }
        state.phase = Phase::Left;
        state.attention = Attention::Poor;
        let device = state.device;
        self.devices[device].forgets(connection);
    }

    /// Reads little, or nothing, for a while.
    fn read_slowly(&mut self, number: usize, connection: usize, now: Duration) {
        let state = &mut self.model.connections[connection];
        state.attention = Attention::Poor;
        if let Some(oracle) = &mut state.oracle {
            oracle.trouble();
        }
        match self.rng.u8(0..3) {
            0 => state.socket.read_at_most(self.rng.usize(1..60)),
            _ => state.socket.read_at_most(0),
        }
        let time = match self.rng.u8(0..4) {
            0 => Duration::from_millis(self.rng.u64(0..3_000)),
            _ => self.plan.haste.mul_f64(10.0 * self.rng.f64()),
        };
        self.devices[number].reads_at = Some(now + time);
    }

    fn read_on(&mut self, number: usize) {
        self.devices[number].reads_at = None;
        if let Some(connection) = self.devices[number].connection {
            let connection = &mut self.model.connections[connection];
            connection.socket.read_freely();
            connection.attention = Attention::Full;
        }
    }

    /// Begins or ends a subscription.
    fn change_subscription(&mut self, number: usize, connection: usize, now: Duration) {
        let rng = &mut self.rng;
        let topic = any_of(&self.plan.topics, rng);
        self.serial += 1;
        let id = format!("l{}", self.serial);
        let change = if rng.u8(0..3) > 0 { Change::Subscribe } else { Change::Unsubscribe };
        let kind = if change == Change::Subscribe { "subscribe" } else { "unsubscribe" };
        let state = &mut self.model.connections[connection];
        let begin = format!("{{\"type\":\"{kind}\",\"id\":\"{id}\",\"topic\":{}", json(&topic));
        match (state.transport, state.phase, &state.name) {
            (Transport::WebSocket(_), Phase::Open, _) if rng.u8(0..8) > 0 => {
                let device = &self.devices[number];
                let log = &self.broker.log;
                let foreign = Cursor { epoch: Epoch::new(7_777_777), sequence: 3 };
                let since = match rng.u8(0..8) {
                    0 => device.cursor,
                    1 => device.older.first().copied(),
                    2 => Some(Cursor { epoch: log.epoch(), sequence: rng.u64(0..=log.head()) }),
                    3 => Some(foreign),
                    _ => None,
                };
                let since = since.filter(|_| change == Change::Subscribe);
                let text = match since {
                    Some(since) => format!("{begin},\"since\":\"{since}\"}}"),
                    None => begin + "}",
                };
                let wish = (change == Change::Subscribe).then_some(since);
                state.say(&text, Some(Mark::ChangeRequest(ChangeRequest { id, topic, wish })), rng);
            }
            (Transport::Poll | Transport::Post, ..) | (.., None) => {}
            // Whether a revoked client is refused before or after its body is not known here.
            _ if self.plan.naming == Naming::ByToken => {}
            (.., Some(name)) => {
                let text = format!("{begin},\"connection\":\"{name}\"}}");
                self.post(
                    number,
                    &text,
                    Some(Mark::RemoteChange { id, connection, topic, change }),
                    now,
                );
            }
        }
    }

    /// Shows another token, on the connection or by a request for it.
    fn renew(&mut self, number: usize, connection: usize, now: Duration) {
        let person = self.plan.people[self.devices[number].person].clone();
        let expires_at = token::any_expiry(now, &mut self.rng);
        let token = token::signed(&person, expires_at);
        self.serial += 1;
        let id = format!("r{}", self.serial);
        let begin = format!("{{\"type\":\"refresh\",\"id\":\"{id}\",\"token\":\"{token}\"");
        let state = &mut self.model.connections[connection];
        match (state.transport, state.phase, &state.name) {
            (Transport::WebSocket(_), Phase::Open, Some(_)) => {
                let mark = Mark::Renew { id, connection: None, expires_at };
                state.say(&(begin + "}"), Some(mark), &mut self.rng);
            }
            (transport, Phase::Open, Some(name)) if transport.is_stream() => {
                let text = format!("{begin},\"connection\":\"{name}\"}}");
                let mark = Mark::Renew { id, connection: Some(connection), expires_at };
                self.post(number, &text, Some(mark), now);
            }
            _ => {}
        }
    }

    /// Sends a command, or many in a row.
    fn command(&mut self, number: usize, connection: usize, now: Duration) {
        let is_flooder = number < self.plan.flooders;
        for _ in 0..if is_flooder { self.rng.usize(1..100) } else { 1 } {
            self.command_once(number, connection, now);
        }
    }

    fn command_once(&mut self, number: usize, connection: usize, now: Duration) {
        let token = self.model.commands.len() as u64;
        let from = &*self.plan.people[self.devices[number].person];
        let rng = &mut self.rng;
        let command = Command::any(token, Some(from), &self.plan.people, &self.plan.topics, rng);
        let text = command.text();
        self.model.commands.push(command);
        self.send(number, connection, &text, token, now);
    }

    /// Sends a command that it has sent before, as after a reconnect.
    fn repeat(&mut self, number: usize, connection: usize, now: Duration) {
        let from = Some(&self.plan.people[self.devices[number].person]);
        let own = self.model.commands.iter().filter(|command| command.from.as_ref() == from);
        let own: Vec<_> = own.map(|command| (command.token, command.text())).collect();
        if let Some((token, text)) = self.rng.choice(own) {
            self.send(number, connection, &text, token, now);
        }
    }

    fn ping(&mut self, connection: usize) {
        let connection = &mut self.model.connections[connection];
        if let (Transport::WebSocket(_), Phase::Open) = (connection.transport, connection.phase) {
            connection.say("{\"type\":\"ping\"}", None, &mut self.rng);
        }
    }

    fn send(&mut self, number: usize, connection: usize, text: &str, token: u64, now: Duration) {
        let state = &mut self.model.connections[connection];
        let mark = Some(Mark::Command(token));
        match (state.transport, state.phase) {
            (Transport::WebSocket(_), Phase::Open) if self.rng.u8(0..8) > 0 => {
                state.say(text, mark, &mut self.rng);
            }
            _ => self.post(number, text, mark, now),
        }
    }

    fn post(&mut self, number: usize, text: &str, mark: Option<Mark>, now: Duration) {
        let is_free = |connection: &HubConnection| {
            connection.phase == Phase::Open
                && !connection.is_last
                && now < connection.used_at + REUSED_WITHIN
        };
        let connection = match self.devices[number].post {
            Some(connection) if is_free(&self.model.connections[connection]) => connection,
            Some(connection) if self.model.connections[connection].phase == Phase::Asking => return,
            earlier => {
                if let Some(connection) = earlier {
                    self.model.connections[connection].socket.leave(Leaving::HalfCloses);
                }
                self.connect(number, Transport::Post)
            }
        };
        self.devices[number].post = Some(connection);
        let person = &self.plan.people[self.devices[number].person];
        let connection = &mut self.model.connections[connection];
        connection.used_at = now;
        // It is good for longer than any request is on its way.
        let token = (self.plan.naming == Naming::ByToken)
            .then(|| token::signed(person, now + Duration::from_secs(600)));
        connection.post(person, text, token.as_deref(), mark, &mut self.rng);
    }

    /// Gives every core other settings in the middle of its work. No guarantee to clients depends
    /// on them, and those that need a restart change nothing.
    fn replace_settings(&mut self) {
        let (running, rng) = (&self.model.settings, &mut self.rng);
        let mut next = Settings::clone(running);
        next.websocket.ping_interval = Duration::from_millis(rng.u64(100..3_000));
        next.websocket.pong_timeout = Duration::from_millis(rng.u64(100..2_000));
        next.http.poll_wait = Duration::from_millis(rng.u64(0..3_000));
        next.http.retry = Duration::from_millis(rng.u64(0..3_000));
        next.clients.subscriptions_max = rng.usize(100..1_000);
        next.clients.data_depth_max = 1;
        next.clients.recipients_max = 1;
        next.websocket.message_bytes_max = 125;
        next.deflate.enabled = !running.deflate.enabled;
        next.deflate.server_window_bits_max = 9;
        let settings = Arc::new(running.replaced_by(&next));
        self.mailbox.tell_all(&CoreMessage::ReplaceSettings(settings));
        self.model.tally.add(Count::SettingsReplaced);
    }

    /// Closes a client and refuses it for a while.
    fn revoke(&mut self, now: Duration) {
        let person = self.rng.usize(0..self.plan.people.len());
        let until = now + Duration::from_millis(self.rng.u64(1..1_500));
        let name = &*self.plan.people[person];
        self.broker.revocations.revoke(name, until, now).expect("the table has room");
        self.model.revoked_until[person] = until;
        let its = self.model.connections.iter_mut().filter(|one| one.person == person);
        for connection in its.filter(|one| one.has_entered && !one.is_closed) {
            connection.revoked_at.get_or_insert(now);
        }
        let code = CloseCode::new(3003).expect("a code of the registry");
        let message = CoreMessage::Close { client: name.into(), code, reason: "revoked".into() };
        self.mailbox.tell_all(&message);
        self.model.tally.add(Count::Revoked);
    }

    fn act_as_application(&mut self, now: Duration) {
        if self.plan.naming == Naming::ByToken && self.rng.u8(0..20) == 0 {
            return self.revoke(now);
        }
        match self.rng.u8(0..9) {
            0 => self.broker.expire(now),
            2 if self.plan.reload == Reload::Often => self.replace_settings(),
            1 => {
                let client = any_of(&self.plan.people, &mut self.rng).into();
                let code = CloseCode::new(APPLICATION_CLOSE).expect("a code of the application's");
                self.mailbox.tell_all(&CoreMessage::Close { client, code, reason: "go".into() });
            }
            _ => {
                let events = match self.plan.flood.take_if(|_| now > Duration::from_millis(20)) {
                    Some(flood) => {
                        // While it is being served, many clients act.
                        for device in &mut self.devices {
                            device.acts_at = now + Duration::from_micros(self.rng.u64(0..200));
                        }
                        vec![Some(flood.bytes); flood.events]
                    }
                    None => vec![None; self.rng.usize(1..4)],
                };
                events.into_iter().for_each(|bytes| self.append(bytes, now));
                self.mailbox.wake_all();
            }
        }
    }
}
