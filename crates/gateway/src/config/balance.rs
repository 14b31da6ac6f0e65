//! How the requests of a route are shared among its servers, as the operator writes it:
//! `least_connections` or `hash(header:X-Room)`.

use std::fmt;

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

    /// Parses a form; `None` if it is none of [`Balance::FORMS`].
    ///
    /// ```
    /// use ringway::config::balance::{Balance, HashKey};
    /// let room = Balance::Hash(HashKey::Header("X-Room".into()));
    /// assert_eq!(Balance::parse("hash(header:X-Room)"), Some(room));
    /// assert_eq!(Balance::parse("random"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "round_robin" => Self::RoundRobin,
            "least_connections" => Self::LeastConnections,
            _ => Self::Hash(match text.strip_prefix("hash(")?.strip_suffix(')')? {
                "client" => HashKey::Client,
                "ip" => HashKey::Address,
                other => {
                    let name = other.strip_prefix("header:")?;
                    is_token(name).then(|| HashKey::Header(name.into()))?
                }
            }),
        })
    }
}

/// RFC 9110 §5.6.2: whether a field can have this name.
fn is_token(name: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(may)
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
            assert_eq!(Balance::parse(text).unwrap().to_string(), text);
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
            assert_eq!(Balance::parse(text), None, "{text}");
        }
    }
}
