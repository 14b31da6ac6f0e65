//! Input that a protocol has put off, as plain text.
//!
//! When it is served is decided by the connection.

/// Input that was put off.
#[derive(Debug, Default)]
pub struct Deferred {
    /// The input.
    pub bytes: Vec<u8>,
    /// What comes behind it.
    pub end: End,
}

/// What comes behind the input; nothing is read after an end.
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
