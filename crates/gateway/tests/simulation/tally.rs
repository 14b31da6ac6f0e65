//! Counts of what happened in a run: a test asserts with them that its seeds reached the case that
//! it tests.
//!
//! It checks nothing.

use std::{collections::BTreeMap, ops::AddAssign};

/// A kind of event that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    Turns,
    /// Receives into the buffer in which a message is assembled.
    Placed,
    /// Scripted clients that got every required answer.
    Satisfied,
    /// Scripted clients that were sent a Close with 1001.
    GoingAway,
    /// Scripted clients that were sent a Close with 1012.
    TooOld,
    /// Clients of the hub that were sent a Close with 1012.
    SentAway,
    /// Scripted clients that the limiter rejected.
    Rejected,
    /// Scripted clients that were answered with a 408.
    TimedOut,
    /// Backlogs over the bound of the queue.
    Overruns,
    /// Events that clients got.
    EventsReceived,
    Gaps,
    /// Clients that connected with a cursor of this log.
    Resumed,
    /// Clients that connected with a cursor of another log.
    Foreign,
    /// Clients that connected without a cursor, and without another connection.
    Alone,
    /// Sends to a client that merge events which its core read in different turns.
    Merged,
    /// Connections that fell behind.
    Lagged,
    /// Connections that were closed because they were too slow.
    TooSlow,
    /// Answers to commands that were sent again.
    Repeated,
    /// Connections that the application had closed.
    ClosedByApplication,
    /// Requests and first messages that were refused for their token or their revoked client.
    TokensRefused,
    /// Answers to `refresh`.
    Renewed,
    /// WebSockets that were closed because their token expired or their client was revoked.
    SessionsEnded,
    /// Clients that the application has revoked.
    Revoked,
    /// Times that every core got other settings.
    SettingsReplaced,
    /// Events that the log refused.
    Unavailable,
    /// Events that were refused because their sender had its share of the history.
    Crowded,
    /// Recipients that were connected.
    Delivered,
    /// Recipients for whom an event was kept.
    Queued,
    /// Recipients who were absent when an event was not kept.
    Offline,
    Denied,
    /// Connections behind a layer of records.
    Sealed,
    /// Connections over TLS that ended with `close_notify` of the gateway.
    EndsAnnounced,
    /// Connections over TLS that ended without it.
    EndsUnannounced,
    /// Connections over TLS whose client was sent an alert.
    Alerts,
    /// Connections over TLS that ended before their handshake was complete.
    HandshakesRefused,
    /// Connections that their client ended by a last or a damaged record.
    EndedByRecord,
    /// Records that the gateway found damaged or cut off.
    ChannelErrors,
    /// Moments at which nothing moved and every client was checked.
    Rests,
    /// Connections that were paused because they sent too fast.
    Paused,
    /// Connections that were closed because they sent too fast.
    TooFast,
    /// Relayed connections that both sides ended normally.
    RelaysCompleted,
    /// Relayed connections with a reset.
    RelaysReset,
    /// Requests for relays whose servers could not be connected or answered wrongly.
    RelaysRefused,
    /// Requests for relays whose servers did not connect or answer in time.
    RelaysTimedOut,
    /// Requests for relays that the server refused.
    RelaysPassedRefusal,
    /// Requests for relays whose client was gone before they were answered.
    RelaysCancelled,
    /// Relays on which one side sent after it had read the end of the other one.
    RelaysSentAfterEnd,
    /// Worlds in which a relay held bytes back.
    RelaysHeldBack,
}

impl Count {
    /// The counts of the hub's clients, over many seeds.
    pub const HUB: [Self; 21] = [
        Self::EventsReceived,
        Self::Gaps,
        Self::Resumed,
        Self::Foreign,
        Self::Alone,
        Self::Lagged,
        Self::TooSlow,
        Self::Repeated,
        Self::ClosedByApplication,
        Self::SettingsReplaced,
        Self::Delivered,
        Self::Queued,
        Self::Offline,
        Self::Denied,
        Self::Sealed,
        Self::EndsAnnounced,
        Self::Alerts,
        Self::HandshakesRefused,
        Self::EndedByRecord,
        Self::ChannelErrors,
        Self::Rests,
    ];

    /// The counts of relayed clients, over many seeds.
    pub const RELAY: [Self; 8] = [
        Self::RelaysCompleted,
        Self::RelaysReset,
        Self::RelaysRefused,
        Self::RelaysTimedOut,
        Self::RelaysPassedRefusal,
        Self::RelaysCancelled,
        Self::RelaysSentAfterEnd,
        Self::RelaysHeldBack,
    ];
}

/// The counts of one run, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Count, u64>,
    /// A hash of the completions and the received items of one run.
    pub trace: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, count: Count) {
        self.add_all(count, 1);
    }

    /// Counts this many more.
    pub fn add_all(&mut self, count: Count, more: u64) {
        *self.counts.entry(count).or_default() += more;
    }

    /// How often an event happened.
    pub fn of(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or_default()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        other.counts.into_iter().for_each(|(count, more)| self.add_all(count, more));
    }
}
