//! What the messages of an echo are made of: the same arguments in `echo`, `sweep` and `compare`.

use clap::Args;

use super::{bytes, count};
use crate::wire::{message::Content, template::MARKED_BYTES};

/// What messages are made of, and how many go at once.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// Payload bytes of a message: 16 at least, 32 of text, 34 with --message or in a fan-out
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = bytes)]
    pub size: usize,
    /// Send text messages of one- to four-byte characters, and not binary ones
    #[arg(long)]
    pub text: bool,
    /// Send this text, in which {stamp} and {body} stand for the message of --size, as in `fanout`,
    /// and the number of the connection for {n}: for a server that answers only its own language
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        value_name = "TEMPLATE",
        conflicts_with = "text",
        help = "Send this text, such as '{\"echo\":\"{stamp}{body}\"}': {stamp} and {body} stand for \
                a message of --size, as in `fanout`, and {\u{1b}[mn} for the number of the connection"
    )]
    pub message: Option<String>,
    /// Keep this many messages outstanding on each connection; in an open loop, send this many at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub pipeline: u32,
    /// Send the same message again and again, without a stamp, and count the replies: the tester then
    /// takes less CPU than a server. Latencies are not measured, and only the kind and the length of
    /// replies are checked, and the bytes of one in 64. For a closed loop
    #[arg(long, conflicts_with_all = ["message", "deflate"])]
    pub unstamped: bool,
    /// Offer permessage-deflate, and compress if the server agrees
    #[arg(long, conflicts_with = "message")]
    pub deflate: bool,
}

impl Default for MessageArgs {
    fn default() -> Self {
        Self { size: 64, text: false, message: None, pipeline: 1, unstamped: false, deflate: false }
    }
}

impl MessageArgs {
    /// What messages are made of.
    pub fn content(&self) -> Content {
        if self.text { Content::Text } else { Content::Binary }
    }

    /// The shortest message of an echo.
    pub fn bytes_min(&self) -> usize {
        match (&self.message, self.unstamped) {
            (Some(_), _) => MARKED_BYTES,
            (None, true) => 1,
            (None, false) => self.content().bytes_min(),
        }
    }
}
