//! The test's end of connections that simulated drivers make: an address that may answer.
//!
//! Connections that it has not taken are still established, as in a listening socket's queue.

use std::{collections::VecDeque, net::SocketAddr};

use super::{Client, Network, network::World};

/// An address of a [`Network`] that drivers can connect to, made by [`Network::listen`].
#[derive(Debug)]
pub struct Server {
    network: Network,
    address: SocketAddr,
}

/// How a server answers attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Admission,
    /// RST.
    Refusal,
    /// Nothing, so that the attempt hangs.
    Silence,
}

#[derive(Debug)]
pub(super) struct Listening {
    address: SocketAddr,
    answer: Answer,
    /// Links that are established and not taken, each with its driver's gate.
    queue: VecDeque<(usize, usize)>,
}

impl Network {
    /// A server on a unique address.
    pub fn listen(&self) -> Server {
        let world = &mut *self.world();
        let number = world.servers.len() as u32;
        let [_, high, middle, low] = number.to_be_bytes();
        let address = SocketAddr::from(([11, high, middle, low], 80));
        let queue = VecDeque::new();
        world.servers.push(Listening { address, answer: Answer::Admission, queue });
        Server { network: self.clone(), address }
    }
}

impl Server {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The other end of the oldest established connection that was not taken yet. The driver may
    /// not have reported it to its owner.
    pub fn accept(&self) -> Option<Client> {
        let (link, gate) = self.act(|listening| listening.queue.pop_front())?;
        Some(Client::new(self.network.clone(), link, Some(gate)))
    }

    /// From now on refuses all attempts (the default is to admit them).
    pub fn refuse(&self) {
        self.act(|listening| listening.answer = Answer::Refusal);
    }

    /// From now on answers no attempt, so that attempts hang until it answers again.
    pub fn ignore(&self) {
        self.act(|listening| listening.answer = Answer::Silence);
    }

    /// From now on admits all attempts, first those that it has ignored.
    pub fn admit(&self) {
        self.act(|listening| listening.answer = Answer::Admission);
    }

    fn act<T>(&self, on: impl FnOnce(&mut Listening) -> T) -> T {
        let world = &mut *self.network.world();
        // An attempt that hung may proceed.
        (0..world.gates.len()).for_each(|gate| world.stir(gate));
        let own = world.servers.iter_mut().find(|one| one.address == self.address);
        on(own.expect("a network never forgets a server"))
    }
}

impl World {
    /// The answer to a driver that connects to `target`.
    pub(super) fn answer(&self, target: SocketAddr) -> Answer {
        let listening = self.servers.iter().find(|one| one.address == target);
        listening.map_or(Answer::Refusal, |listening| listening.answer)
    }

    /// Puts the link that a driver has made into the target's queue.
    pub(super) fn admit(&mut self, target: SocketAddr, link: usize, gate: usize) {
        if let Some(listening) = self.servers.iter_mut().find(|one| one.address == target) {
            listening.queue.push_back((link, gate));
        }
    }
}
