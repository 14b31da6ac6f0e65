//! The log under measurement, and what is appended to it.

use std::time::Duration;

use ringway_hub::{Draft, Epoch, Log, Recipients, Retention};

pub const NOW: Duration = Duration::from_secs(1);

pub fn log(events_max: u64) -> Log {
    let retention = Retention { events_max, bytes_max: 1 << 40, age_max: 1_000 * NOW };
    Log::new(Epoch::new(1), retention)
}

/// Has room for a name behind the text, so that it is one allocation, as in a gateway.
pub fn draft(name: &str, encoded: &str) -> Draft {
    let mut text = String::with_capacity(encoded.len() + Recipients::list_bytes(name));
    text.push_str(encoded);
    Draft::new(text, 0)
}
