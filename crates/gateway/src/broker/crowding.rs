//! Counts and logs events and commands that were refused because they would have displaced those of
//! others; one log line a second for each limit. It never refuses anything itself.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ringway_hub::Share;
use tracing::warn;

use crate::config::{History, reference::ConfigReference};

/// What is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedUp {
    /// A client's share of the history.
    Client,
    /// A topic's.
    Topic,
    /// A recipient's.
    Recipient,
    /// The application's.
    Application,
    /// The room for outcomes of commands.
    Outcomes,
}

impl UsedUp {
    /// All limits, in the order of their declaration.
    pub const ALL: [Self; 5] =
        [Self::Client, Self::Topic, Self::Recipient, Self::Application, Self::Outcomes];

    /// The configuration key of the limit.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Client => "history.client_share",
            Self::Topic => "history.topic_share",
            Self::Recipient => "history.recipient_share",
            Self::Application => "history.application_share",
            Self::Outcomes => "history.outcome_bytes_max",
        }
    }

    /// The key and the value of the limit, for an error.
    pub fn reference(self, history: &History) -> ConfigReference {
        let percent = match self {
            Self::Client => history.client_share,
            Self::Topic => history.topic_share,
            Self::Recipient => history.recipient_share,
            Self::Application => history.application_share,
            Self::Outcomes => return ConfigReference::bytes(self.key(), history.outcome_bytes_max),
        };
        ConfigReference::count(self.key(), percent as usize, "percent")
    }

    /// Its label in the metrics: the key without its section.
    pub fn label(self) -> &'static str {
        self.key().trim_start_matches("history.")
    }
}

impl From<Share> for UsedUp {
    fn from(share: Share) -> Self {
        match share {
            Share::Client => Self::Client,
            Share::Application => Self::Application,
            Share::Topic => Self::Topic,
            Share::Recipient => Self::Recipient,
        }
    }
}

/// Who has sent an event that was refused.
#[derive(Debug, Clone, Copy)]
pub enum Sender<'n> {
    /// A client.
    Client(&'n str),
    /// The application, with a key of this name if it needs one.
    Application(Option<&'n str>),
}

impl<'n> Sender<'n> {
    fn client(self) -> Option<&'n str> {
        match self {
            Self::Client(name) => Some(name),
            Self::Application(_) => None,
        }
    }

    fn key(self) -> Option<&'n str> {
        match self {
            Self::Client(_) => None,
            Self::Application(name) => name,
        }
    }
}

/// What was refused so far, on all cores.
#[derive(Debug, Default)]
pub struct Crowding {
    counts: [Count; UsedUp::ALL.len()],
}

#[derive(Debug, Default)]
struct Count {
    refused: AtomicU64,
    /// The count that the last log line reported.
    reported: AtomicU64,
    /// The second of that line, counted from 1.
    second: AtomicU64,
}

impl Crowding {
    /// Counts an event of this sender that was refused.
    #[cold]
    pub fn note(&self, used_up: UsedUp, sender: Sender<'_>, now: Duration) {
        let count = &self.counts[used_up as usize];
        let refused = count.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let second = now.as_secs() + 1;
        if count.second.swap(second, Ordering::Relaxed) == second {
            return;
        }
        let suppressed = refused - count.reported.swap(refused, Ordering::Relaxed) - 1;
        let reason = used_up.label();
        warn!(
            reason,
            client = sender.client().map(tracing::field::debug),
            key = sender.key().map(tracing::field::debug),
            suppressed,
            "an event was refused because of {}",
            used_up.key(),
        );
    }

    /// How many events were refused for this reason.
    pub fn refused(&self, used_up: UsedUp) -> u64 {
        self.counts[used_up as usize].refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_number_and_a_key_that_exists() {
        let crowding = Crowding::default();
        for (number, used_up) in UsedUp::ALL.into_iter().enumerate() {
            (0..=number)
                .for_each(|_| crowding.note(used_up, Sender::Client("ann"), Duration::ZERO));
            // It panics without such a key.
            let default = crate::config::bound_of(used_up.key()).number();
            assert!(default > 0 && used_up.key().ends_with(used_up.label()));
        }
        let refused = UsedUp::ALL.map(|used_up| crowding.refused(used_up));
        assert_eq!(refused, [1, 2, 3, 4, 5]);
    }
}
