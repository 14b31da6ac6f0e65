//! What the connection that a core serves has sent. It is counted while the connection is served and
//! judged afterwards; only events are judged at once.
//!
//! It never decides what is too much: `rates` does, and the log decides about shares of the history.

use std::time::Duration;

use crate::{
    broker::crowding::UsedUp,
    config::{reference::ConfigReference, settings::Settings},
    refusal::ErrorCode,
    session::{command_error::Fault, core_hub::CoreHub},
};

/// What the connection that a core serves has sent since this was last taken.
#[derive(Debug, Default)]
pub struct Served {
    /// Messages, further fragments and control frames, or requests.
    pub messages: u32,
    /// Errors of the client.
    pub errors: u32,
    /// The codes of the commands that were refused.
    pub refused: Vec<ErrorCode>,
}

impl Served {
    /// Whether nothing was refused.
    #[inline]
    pub fn is_faultless(&self) -> bool {
        self.errors == 0 && self.refused.is_empty()
    }

    /// A command was refused.
    pub fn refuse(&mut self, code: ErrorCode) {
        self.refused.push(code);
        self.errors += u32::from(code.is_clients_fault());
    }
}

/// Counts an event of a client against the client's rate.
///
/// # Errors
/// The client sends too many.
pub fn pay(client: &str, hub: &CoreHub, settings: &Settings, now: Duration) -> Result<(), Fault> {
    let per_second = settings.limits.publishes_per_second_max;
    hub.broker.rates.take(client, per_second, settings.limits.burst_time, now).map_err(|wait| {
        let key = "limits.publishes_per_second_max";
        let limit = ConfigReference::count(key, per_second as usize, "events per second");
        let message = "this client sends too many events";
        let fault = Fault::of_limit(ErrorCode::Rate, message, limit);
        Fault { retry_after: Some(wait), ..fault }
    })
}

/// The event, or the outcome of the command, would displace those of others. There is room again
/// after `retry_after` at the latest.
pub fn used_up(used_up: UsedUp, retry_after: Duration, settings: &Settings) -> Fault {
    let message = match used_up {
        UsedUp::Client => "the history is full, and this client has used up its share of it",
        UsedUp::Topic => "the history is full, and the topic has used up its share of it",
        UsedUp::Recipient => "the history is full, and a recipient has used up its share of it",
        UsedUp::Application => {
            "the history is full, and the application has used up its share of it"
        }
        UsedUp::Outcomes => "there is no room for the outcome of another command at the moment",
    };
    let limit = used_up.reference(&settings.history);
    let fault = Fault::of_limit(ErrorCode::Unavailable, message, limit);
    Fault { retry_after: Some(retry_after), ..fault }
}
