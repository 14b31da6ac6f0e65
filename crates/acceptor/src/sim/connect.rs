//! Connecting of the simulated driver: an attempt is answered some turns later, or never.
//!
//! The other end may act as soon as it has answered, which is before the driver reports the
//! connection.

use super::{
    driver::SimDriver,
    link::{Link, Unread},
    network::World,
    server::Answer,
    socket::{Direction, Event, Receiving, Sending, Socket},
};
use crate::{ConnectFailure, ConnectRequest, ConnectToken, ConnectionId, Failure};

/// Why an attempt fails although the target listens.
const FAILURES: [i32; 5] =
    [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::EADDRNOTAVAIL, libc::EMFILE];

/// An attempt that has not been answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) token: ConnectToken,
    target: std::net::SocketAddr,
    /// The first turn in which the target may answer.
    due: u64,
}

impl SimDriver {
    pub(super) fn connect(&mut self, world: &mut World, request: &ConnectRequest) {
        let ConnectRequest { connector, token, .. } = *request;
        let link = world.links.len();
        let Ok(connection) = self.sockets.insert(Socket::new(link)) else {
            self.unconnected.push_back((token, ConnectFailure::NoSlot));
            return;
        };
        world.links.push(Link::new(0, connector.target));
        if !self.connecting.insert(token, connection) {
            world.violation(&format!("two attempts to connect have {token:?}"));
        }
        let due = self.turn + 1 + world.delay();
        if let Some(socket) = self.sockets.lookup_mut(connection) {
            socket.attempt = Some(Attempt { token, target: connector.target, due });
        }
    }

    /// Lets the target answer an attempt that is due.
    pub(super) fn answer(&mut self, world: &mut World, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let Some(attempt) = socket.attempt.filter(|attempt| attempt.due <= self.turn) else {
            return;
        };
        let link = socket.link;
        match world.answer(attempt.target) {
            Answer::Silence => {}
            Answer::Refusal => self.fail_connect(world, connection, kernel(libc::ECONNREFUSED)),
            Answer::Admission if world.chance(world.faults.connect_failure) => {
                let errno = FAILURES[world.rng.usize(..FAILURES.len())];
                self.fail_connect(world, connection, kernel(errno));
            }
            Answer::Admission => {
                socket.attempt = None;
                let due = self.turn + world.delay();
                socket.launch(Direction::Incoming, due, Event::Connected(attempt.token));
                world.admit(attempt.target, link, self.gate);
                world.make_live(self.gate, link);
            }
        }
    }

    pub(super) fn cancel_connect(&mut self, world: &mut World, token: ConnectToken) {
        let Some(connection) = self.connecting.name(token) else { return };
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        // An attempt that has failed already is about to be reported.
        if socket.unreported_token().is_some() {
            self.fail_connect(world, connection, ConnectFailure::Cancelled);
        }
    }

    /// Ends an attempt whose success has not been reported.
    pub(super) fn fail_connect(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        failure: ConnectFailure,
    ) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let Some(token) = socket.unreported_token() else { return };
        let recalled = socket.recall_all();
        let unread = if recalled.is_empty() { Unread::None } else { Unread::Some };
        recalled.into_iter().for_each(|lease| self.leases.give_back(lease));
        world.links[socket.link].abandon(unread, &mut world.rng);
        socket.receiving = Receiving::Ended;
        socket.sending = Sending::Broken;
        let due = self.turn + world.delay();
        socket.launch(Direction::Incoming, due, Event::ConnectFailed(token, failure));
    }

    /// Whether later turns will answer an attempt; a silent target never answers.
    pub(super) fn is_connecting(&self, world: &World, connection: ConnectionId) -> bool {
        let attempt = self.sockets.lookup(connection).and_then(|socket| socket.attempt);
        attempt.is_some_and(|attempt| world.answer(attempt.target) != Answer::Silence)
    }
}

fn kernel(errno: i32) -> ConnectFailure {
    ConnectFailure::Kernel(Failure(errno))
}
