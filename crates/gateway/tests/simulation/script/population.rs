//! All scripted clients of a world, and the client that each of the gateway's connections belongs to.
//!
//! It sends nothing for them and checks no answer.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use fastrand::Rng;
use ringway::config::settings::Settings;
use ringway_acceptor::{
    Completion, Settings as DriverSettings,
    sim::{Faults, Network},
};

use super::client::{Moment, ScriptedClient};
use crate::{
    checkers::{
        Key, LATENESS, Trace,
        backlogs::{check_backlog, of_echo},
        check,
    },
    decoder::Said,
    tally::{Count, Tally},
};

const PROPERTY: &str = "a drain disconnects every client that can leave, and ends in time";

/// All scripted clients.
pub struct Scripts {
    clients: Vec<ScriptedClient>,
    /// Clients that are connecting, by address.
    expected: HashMap<SocketAddr, usize>,
    numbers: HashMap<Key, usize>,
    queue_bytes_max: usize,
    unsent_bytes_max: usize,
}

impl Scripts {
    /// Clients that have not connected yet.
    pub fn new(
        clients: Vec<ScriptedClient>,
        settings: &Settings,
        driver: &DriverSettings,
        faults: &Faults,
    ) -> Self {
        Self {
            clients,
            expected: HashMap::new(),
            numbers: HashMap::new(),
            queue_bytes_max: settings.clients.queue_bytes_max,
            unsent_bytes_max: of_echo(settings, driver, faults),
        }
    }

    /// Whether nothing more will happen to any of them.
    pub fn are_done(&self) -> bool {
        self.clients.iter().all(ScriptedClient::is_done)
    }

    /// Lets all act, in any order. Returns when the next one wants to act.
    pub fn act(
        &mut self,
        network: &Network,
        moment: Moment<'_>,
        trace: &mut Trace,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let count = self.clients.len();
        let first = if count > 0 { rng.usize(0..count) } else { 0 };
        let mut next: Option<Duration> = None;
        for place in 0..count {
            let number = (first + place) % count;
            let client = &mut self.clients[number];
            if let Some(address) = client.come(network, moment.now) {
                let earlier = self.expected.insert(address, number);
                assert_eq!(earlier, None, "{address} comes twice");
            }
            next = next.into_iter().chain(client.act(moment, trace)).min();
        }
        next
    }

    /// Notes a completion. `rejected` is the status with which an accepted client must be rejected.
    pub fn note(
        &mut self,
        core: usize,
        completion: &Completion<'_>,
        rejected: Option<u16>,
        tally: &mut Tally,
    ) {
        match *completion {
            Completion::Accepted { connection, peer, .. } => {
                if let Some(number) = self.expected.remove(&peer) {
                    self.numbers.insert((core, connection), number);
                    self.clients[number].is_accepted(rejected);
                }
            }
            Completion::Backlogged { connection, unsent_bytes, .. }
                if self.numbers.contains_key(&(core, connection)) =>
            {
                let is_over = unsent_bytes > self.queue_bytes_max;
                tally.add_all(Count::Overruns, u64::from(is_over));
                check_backlog(connection, unsent_bytes, Some(self.unsent_bytes_max));
            }
            Completion::Closed { connection } => {
                if let Some(number) = self.numbers.remove(&(core, connection)) {
                    self.clients[number].playback.let_go();
                }
            }
            _ => {}
        }
    }

    /// Checks, after a drain, that no client remains that could have left.
    pub fn check_drained(&self, took: Duration, drain_time: Duration) {
        check!(took <= drain_time + LATENESS, "the drain took {took:?}");
        for client in self.clients.iter().filter(|client| client.is_attentive()) {
            let has_left = client.is_done() || !client.has_come();
            check!(has_left, "left behind: {}", client.summary());
        }
    }

    /// Counts the results of the clients.
    pub fn count(&self, tally: &mut Tally) {
        for client in &self.clients {
            tally.add_all(Count::Satisfied, u64::from(client.got_all()));
            match client.farewell() {
                Some(Said::Close(Some(1001), _)) => tally.add(Count::GoingAway),
                Some(Said::Close(Some(1012), _)) => tally.add(Count::TooOld),
                Some(Said::Response(429 | 503)) => tally.add(Count::Rejected),
                Some(Said::Response(408)) => tally.add(Count::TimedOut),
                _ => {}
            }
        }
    }

    /// A description of the clients for a failure.
    pub fn describe(&self) -> Vec<String> {
        let left = self.clients.iter().filter(|client| !client.is_done());
        left.map(ScriptedClient::summary).collect()
    }
}
