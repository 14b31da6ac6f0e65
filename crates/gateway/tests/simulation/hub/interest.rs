//! What a client wants to know of: a topic, or what is addressed to it.
//!
//! It holds a name and nothing else.

/// What a client wants to know of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// Events for the client of this name.
    Own(String),
    /// Events for this topic.
    Topic(String),
}
