//! What clients, and the application, do on their own account: come, send, listen, dawdle, leave.
//!
//! It judges nothing.

use std::{sync::Arc, time::Duration};

use ringway::broker::mailbox::CoreMessage;
use ringway::config::settings::Settings;
use ringway_frame::{CloseCode, emit_close};
use ringway_hub::{Cursor, Epoch};

use super::{
    command::{Command, any_of, json},
    course::Memory,
    ear::Names,
    hearing::ORDERED,
    line::{Attention, Line, Listen, Listening, Mark, Packing, Phase, Route, Visit},
    world::World,
};

/// A connection that was used so lately has not been timed out.
const REUSED_WITHIN: Duration = Duration::from_secs(20);

/// Of larger buffers, a silent client would be sent heartbeats for too long.
const ABANDONED_BUFFER_BYTES_MAX: usize = 8_000;

impl World {
    /// Whoever wants to acts; says when the next one will.
    pub(super) fn act_all(&mut self, now: Duration) -> Option<Duration> {
        let is_at_rest = self.is_at_rest();
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
                self.act(number, now, is_at_rest);
                let haste = self.haste.mul_f64(2.0 * self.rng.f64());
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
                let pause = self.haste.mul_f64(8.0 * self.rng.f64());
                self.application_acts_at = now + pause.max(Duration::from_micros(10));
            }
            next = next.into_iter().chain([self.application_acts_at]).min();
        }
        next
    }

    fn act(&mut self, number: usize, now: Duration, is_at_rest: bool) {
        let device = &mut self.devices[number];
        if device.actions == 0 {
            let lines = device.line.into_iter().chain(device.post);
            return lines
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|line| self.leave(line, is_at_rest));
        }
        device.actions -= 1;
        let Some(line) = device.line else { return self.come(number, now) };
        let of_line = &self.model.lines[line];
        if of_line.route == Route::Poll && of_line.phase == Phase::Open && self.rng.u8(0..4) > 0 {
            return self.poll(number, line, now);
        }
        match self.rng.u8(0..20) {
            0..3 => self.leave(line, is_at_rest),
            13..17 if self.memory == Memory::Bad => self.leave(line, is_at_rest),
            3..6 => self.dawdle(number, line, now),
            6..10 => self.listen(number, line, now),
            10..12 => self.repeat(number, line, now),
            12 => self.ping(line),
            _ => self.command(number, line, now),
        }
    }

    /// Connects, from where it was or from elsewhere.
    fn come(&mut self, number: usize, now: Duration) {
        let rng = &mut self.rng;
        let route = match rng.u8(0..16) {
            0..5 => Route::WebSocket(Packing::Plain),
            5 => Route::WebSocket(Packing::Own),
            6 => Route::WebSocket(Packing::Shared),
            7 => Route::Sse(Names::On),
            8 => Route::Sse(Names::Off),
            9..11 => Route::Lines,
            11 => Route::Iframe,
            _ => Route::Poll,
        };
        if rng.u8(0..8) == 0 {
            let topics = self.topics.iter().filter(|_| rng.bool()).cloned().collect();
            self.devices[number].topics = topics;
        }
        let line = self.connect(number, route);
        self.devices[number].line = Some(line);
        self.enter(number, line, now);
    }

    fn poll(&mut self, number: usize, line: usize, now: Duration) {
        let is_fresh = now < self.model.lines[line].used_at + REUSED_WITHIN;
        if is_fresh && !self.model.lines[line].is_last {
            return self.enter(number, line, now);
        }
        self.model.lines[line].client.half_close();
        self.model.lines[line].phase = Phase::Left;
        let line = self.connect(number, Route::Poll);
        self.devices[number].line = Some(line);
        self.enter(number, line, now);
    }

    fn connect(&mut self, device: usize, route: Route) -> usize {
        let person = self.devices[device].person;
        self.model.lines.push(Line::connect(&self.network, person, device, route));
        self.model.lines.len() - 1
    }

    fn enter(&mut self, number: usize, line: usize, now: Duration) {
        let rng = &mut self.rng;
        let device = &self.devices[number];
        let log = &self.broker.log;
        let foreign = Cursor { epoch: Epoch::new(7_777_777), sequence: rng.u64(0..100) };
        let later = Cursor { epoch: log.epoch(), sequence: log.head() + 1_000_000 };
        let older = (!device.older.is_empty()).then(|| rng.usize(0..device.older.len()));
        let cursor = match rng.u8(0..24) {
            8.. if self.memory == Memory::Bad => None,
            0..3 => None,
            3..5 => older.map_or(device.cursor, |place| Some(device.older[place])),
            5 => Some(foreign),
            6 => Some(later),
            _ => device.cursor,
        };
        let wait = rng.choice([0.0, 0.0, 0.01, 0.5, 3.0]).expect("a choice");
        let person = &*self.names[device.person];
        let visit = Visit { person, topics: &device.topics, cursor, wait };
        let line = &mut self.model.lines[line];
        line.used_at = now;
        line.enter(&visit, rng);
    }

    /// Leaves a connection, by whatever manners.
    fn leave(&mut self, line: usize, is_at_rest: bool) {
        let is_patient = self.send_buffer_bytes <= ABANDONED_BUFFER_BYTES_MAX;
        let of_line = &mut self.model.lines[line];
        let own = of_line.view.as_ref().map(|view| view.own);
        if is_at_rest && of_line.attention == Attention::Full && of_line.route != Route::Poll {
            of_line.claimed = own.unwrap_or(0);
        }
        of_line.client.resume_reading();
        match self.rng.u8(0..5) {
            0 => of_line.client.half_close(),
            1 => of_line.client.reset(),
            2 => of_line.client.close(),
            3 if is_patient => of_line.client.pause_reading(),
            _ => {
                if let (Route::WebSocket(_), Phase::Open) = (of_line.route, of_line.phase) {
                    let mut frame = Vec::new();
                    let mask = Some(self.rng.u32(..).to_ne_bytes());
                    emit_close(&mut frame, mask, Some(CloseCode::NORMAL), "");
                    of_line.send(&frame, Some(Mark::Leave));
                } else {
                    of_line.client.half_close();
                }
            }
        }
        of_line.phase = Phase::Left;
        of_line.attention = Attention::Poor;
        let device = of_line.device;
        self.devices[device].forgets(line);
    }

    /// Reads little, or nothing, for a while.
    fn dawdle(&mut self, number: usize, line: usize, now: Duration) {
        let of_line = &mut self.model.lines[line];
        of_line.attention = Attention::Poor;
        if let Some(view) = &mut of_line.view {
            view.trouble();
        }
        match self.rng.u8(0..3) {
            0 => of_line.client.reads_at_most(self.rng.usize(1..60)),
            _ => of_line.client.pause_reading(),
        }
        let time = match self.rng.u8(0..4) {
            0 => Duration::from_millis(self.rng.u64(0..3_000)),
            _ => self.haste.mul_f64(10.0 * self.rng.f64()),
        };
        self.devices[number].reads_at = Some(now + time);
    }

    fn read_on(&mut self, number: usize) {
        self.devices[number].reads_at = None;
        if let Some(line) = self.devices[number].line {
            let line = &mut self.model.lines[line];
            line.client.resume_reading();
            line.attention = Attention::Full;
        }
    }

    /// Begins or ends a subscription.
    fn listen(&mut self, number: usize, line: usize, now: Duration) {
        let rng = &mut self.rng;
        let topic = any_of(&self.topics, rng);
        self.serial += 1;
        let id = format!("l{}", self.serial);
        let change = if rng.u8(0..3) > 0 { Listening::Begun } else { Listening::Ended };
        let kind = if change == Listening::Begun { "subscribe" } else { "unsubscribe" };
        let of_line = &mut self.model.lines[line];
        let begin = format!("{{\"type\":\"{kind}\",\"id\":\"{id}\",\"topic\":{}", json(&topic));
        match (of_line.route, of_line.phase, &of_line.name) {
            (Route::WebSocket(_), Phase::Open, _) if rng.u8(0..8) > 0 => {
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
                let since = since.filter(|_| change == Listening::Begun);
                let text = match since {
                    Some(since) => format!("{begin},\"since\":\"{since}\"}}"),
                    None => begin + "}",
                };
                let wish = (change == Listening::Begun).then_some(since);
                of_line.say(&text, Some(Mark::Listen(Listen { id, topic, wish })), rng);
            }
            (Route::Poll | Route::Post, ..) | (.., None) => {}
            (.., Some(name)) => {
                let text = format!("{begin},\"connection\":\"{name}\"}}");
                self.post(number, &text, Some(Mark::Order { id, line, topic, change }), now);
            }
        }
    }

    fn command(&mut self, number: usize, line: usize, now: Duration) {
        let token = self.model.commands.len() as u64;
        let from = &*self.names[self.devices[number].person];
        let rng = &mut self.rng;
        let command = Command::any(token, Some(from), &self.names, &self.topics, rng);
        let text = command.text();
        self.model.commands.push(command);
        self.send(number, line, &text, token, now);
    }

    /// Sends a command that it has sent before, as after a reconnect.
    fn repeat(&mut self, number: usize, line: usize, now: Duration) {
        let from = Some(&self.names[self.devices[number].person]);
        let own = self.model.commands.iter().filter(|command| command.from.as_ref() == from);
        let own: Vec<_> = own.map(|command| (command.token, command.text())).collect();
        if let Some((token, text)) = self.rng.choice(own) {
            self.send(number, line, &text, token, now);
        }
    }

    fn ping(&mut self, line: usize) {
        let line = &mut self.model.lines[line];
        if let (Route::WebSocket(_), Phase::Open) = (line.route, line.phase) {
            line.say("{\"type\":\"ping\"}", None, &mut self.rng);
        }
    }

    fn send(&mut self, number: usize, line: usize, text: &str, token: u64, now: Duration) {
        let of_line = &mut self.model.lines[line];
        let mark = Some(Mark::Command(token));
        match (of_line.route, of_line.phase) {
            (Route::WebSocket(_), Phase::Open) if self.rng.u8(0..8) > 0 => {
                of_line.say(text, mark, &mut self.rng);
            }
            _ => self.post(number, text, mark, now),
        }
    }

    fn post(&mut self, number: usize, text: &str, mark: Option<Mark>, now: Duration) {
        let is_free = |line: &Line| {
            line.phase == Phase::Open && !line.is_last && now < line.used_at + REUSED_WITHIN
        };
        let line = match self.devices[number].post {
            Some(line) if is_free(&self.model.lines[line]) => line,
            Some(line) if self.model.lines[line].phase == Phase::Asking => return,
            earlier => {
                if let Some(line) = earlier {
                    self.model.lines[line].client.half_close();
                }
                self.connect(number, Route::Post)
            }
        };
        self.devices[number].post = Some(line);
        let person = &self.names[self.devices[number].person];
        let line = &mut self.model.lines[line];
        line.used_at = now;
        line.post(person, text, mark, &mut self.rng);
    }

    /// Every core gets other settings in the middle of its work. Nothing that clients are promised
    /// depends on them, and those that need a restart change nothing.
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
        self.model.story.replaced += 1;
    }

    fn act_as_application(&mut self, now: Duration) {
        match self.rng.u8(0..9) {
            0 => self.broker.expire(now),
            2 => self.replace_settings(),
            1 => {
                let client = any_of(&self.names, &mut self.rng).into();
                let code = CloseCode::new(ORDERED).expect("a code of the application's");
                self.mailbox.tell_all(&CoreMessage::Close { client, code, reason: "go".into() });
            }
            _ => {
                let events = match self.flood.take_if(|_| now > Duration::from_millis(20)) {
                    Some(flood) => {
                        // While it is served, many do something.
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
