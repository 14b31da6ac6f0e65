//! Deferred input of a protocol, as plain text.
//!
//! The connection decides when it is served.

/// Deferred input.
#[derive(Debug, Default)]
pub struct Deferred {
    /// The input.
    pub bytes: Vec<u8>,
    /// What follows the input.
    pub end: End,
}

/// What follows the input; nothing is read after an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// More may come.
    #[default]
    Open,
    /// The peer's FIN, or the last record of its channel.
    Stream,
    /// A record that could not be opened.
    Broken,
}
