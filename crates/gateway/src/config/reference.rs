//! The configuration key that caused a refusal, and the limit that was exceeded.
//!
//! Peers are told limits, which they can keep to, but never the content of an operator's list.

use std::{fmt, time::Duration};

/// A configuration key as a peer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigReference {
    /// Section and name: `limits.target_bytes_max`.
    pub key: &'static str,
    /// The value of a numeric limit; `None` for a list of what is allowed.
    pub limit: Option<Limit>,
}

/// The value of a limit, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes.
    Bytes(u64),
    /// This many of these nouns, in the plural.
    Count(u64, &'static str),
    /// A time.
    Time(Duration),
}

impl ConfigReference {
    /// A key that lists what is allowed.
    pub const fn list(key: &'static str) -> Self {
        Self { key, limit: None }
    }

    /// A key that limits bytes.
    pub const fn bytes(key: &'static str, bytes: usize) -> Self {
        Self { key, limit: Some(Limit::Bytes(bytes as u64)) }
    }

    /// A key that limits a number of `nouns`.
    pub const fn count(key: &'static str, count: usize, nouns: &'static str) -> Self {
        Self { key, limit: Some(Limit::Count(count as u64, nouns)) }
    }

    /// A key that limits a time.
    pub const fn time(key: &'static str, time: Duration) -> Self {
        Self { key, limit: Some(Limit::Time(time)) }
    }

    /// The limit of the bytes that are buffered for all clients.
    pub const fn memory(bytes: u64) -> Self {
        Self { key: "limits.memory_bytes", limit: Some(Limit::Bytes(bytes)) }
    }
}

impl Limit {
    /// The number for programs: bytes, a count, or seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringway::config::reference::Limit;
    /// assert_eq!(Limit::Bytes(8192).to_number().to_string(), "8192");
    /// assert_eq!(Limit::Time(Duration::from_millis(1500)).to_number().to_string(), "1.5");
    /// ```
    pub fn to_number(self) -> serde_json::Number {
        match self {
            Self::Bytes(number) | Self::Count(number, _) => number.into(),
            Self::Time(time) if time.subsec_nanos() == 0 => time.as_secs().into(),
            Self::Time(time) => {
                serde_json::Number::from_f64(time.as_secs_f64()).expect("a time is finite")
            }
        }
    }
}

/// `at most 8192 bytes (limits.target_bytes_max)`, or the key alone in its parentheses.
impl fmt::Display for ConfigReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            None => {}
            Some(Limit::Bytes(bytes)) => write!(formatter, "at most {bytes} bytes ")?,
            Some(Limit::Count(count, nouns)) => write!(formatter, "at most {count} {nouns} ")?,
            Some(Limit::Time(time)) => write!(formatter, "at most {} s ", time.as_secs_f64())?,
        }
        write!(formatter, "({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_fits_into_a_sentence() {
        for (reference, text) in [
            (ConfigReference::bytes("a.b", 8192), "at most 8192 bytes (a.b)"),
            (ConfigReference::count("a.b", 100, "topics"), "at most 100 topics (a.b)"),
            (ConfigReference::time("a.b", Duration::from_secs(10)), "at most 10 s (a.b)"),
            (ConfigReference::time("a.b", Duration::from_millis(250)), "at most 0.25 s (a.b)"),
            (ConfigReference::list("a.b"), "(a.b)"),
        ] {
            assert_eq!(reference.to_string(), text);
        }
    }
}
