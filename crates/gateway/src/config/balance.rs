//! How the requests of a route are shared among its servers, as the operator writes it:
//! `least_connections` or `hash(header:X-Room)`.

use std::{fmt, str::FromStr};

use crate::config::field_names;

/// How a server is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, in proportion to their weights.
    RoundRobin,
    /// The one with the fewest connections for its weight.
    LeastConnections,
    /// Always the same one for the same key, as long as it is there.
    Hash(HashKey),
}

/// What decides which server serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's id; without one, its address.
    Client,
    /// The client's address.
    Address,
    /// The value of this header field; without it, the client's address.
    Header(Box<str>),
}

impl Balance {
    /// The forms, for errors and the reference.
    pub const FORMS: &str = "\"round_robin\", \"least_connections\", \"hash(client)\", \
                             \"hash(ip)\" or \"hash(header:NAME)\"";
}

/// A text that is none of [`Balance::FORMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBalance;

/// ```
/// use ringway::config::balance::{Balance, HashKey};
/// let room = Balance::Hash(HashKey::Header("X-Room".into()));
/// assert_eq!("hash(header:X-Room)".parse(), Ok(room));
/// assert!("random".parse::<Balance>().is_err());
/// ```
impl FromStr for Balance {
    type Err = UnknownBalance;

    fn from_str(text: &str) -> Result<Self, UnknownBalance> {
        Ok(match text {
            "round_robin" => Self::RoundRobin,
            "least_connections" => Self::LeastConnections,
            _ => {
                let key = text.strip_prefix("hash(").and_then(|rest| rest.strip_suffix(')'));
                Self::Hash(match (key, key.and_then(|key| key.strip_prefix("header:"))) {
                    (Some("client"), _) => HashKey::Client,
                    (Some("ip"), _) => HashKey::Address,
                    (_, Some(name)) if field_names::is_name(name) => HashKey::Header(name.into()),
                    _ => return Err(UnknownBalance),
                })
            }
        })
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => formatter.write_str("round_robin"),
            Self::LeastConnections => formatter.write_str("least_connections"),
            Self::Hash(HashKey::Client) => formatter.write_str("hash(client)"),
            Self::Hash(HashKey::Address) => formatter.write_str("hash(ip)"),
            Self::Hash(HashKey::Header(name)) => write!(formatter, "hash(header:{name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_as_it_is_written() {
        for text in [
            "round_robin",
            "least_connections",
            "hash(client)",
            "hash(ip)",
            "hash(header:X-Room)",
            "hash(header:a)",
        ] {
            assert_eq!(text.parse::<Balance>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "hash",
            "hash()",
            "hash(header:)",
            "hash(header:a b)",
            "hash(header:a:b)",
            "hash(client",
            "Round_Robin",
        ] {
            assert_eq!(text.parse::<Balance>(), Err(UnknownBalance), "{text}");
        }
    }
}
