//! How the messages of an echo are built: the same options in `echo`, `sweep` and `compare`.

use clap::Args;

use super::{bytes, count};
use crate::wire::{message::Content, template::MARKED_BYTES};

/// How messages are built, and how many are sent at once.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// Payload bytes of a message: at least 16, or 32 for text, or 34 with --message or fan-out
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = bytes)]
    pub size: usize,
    /// Send text messages of one- to four-byte characters instead of binary ones
    #[arg(long)]
    pub text: bool,
    /// Send this text, for a server with its own message format: {stamp} and {body} stand for the
    /// message of --size, as in `fanout`, and {n} stands for the number of the connection
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        value_name = "TEMPLATE",
        conflicts_with = "text",
        help = "Send this text, such as '{\"echo\":\"{stamp}{body}\"}': {stamp} and {body} stand for \
                a message of --size, as in `fanout`, and {\u{1b}[mn} for the number of the \
                connection. With {to}, the message must arrive at the connection with that number, \
                chosen at random, instead of coming back; {sequence} is then its number among those \
                of its sender"
    )]
    pub message: Option<String>,
    /// Keep this many messages outstanding on each connection; in an open loop, send this many at a
    /// time
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub pipeline: u32,
    /// Send the same message repeatedly, without a stamp, and count the replies: the tester then
    /// uses less CPU than a server. Latencies are not measured. Of each reply, only the kind and
    /// the length are checked, and the bytes of one in 64. Only for a closed loop
    #[arg(long, conflicts_with_all = ["message", "deflate"])]
    pub unstamped: bool,
    /// Offer permessage-deflate, and compress if the server agrees; publishers of a fan-out never do
    #[arg(long, conflicts_with = "message")]
    pub deflate: bool,
}

impl Default for MessageArgs {
    fn default() -> Self {
        Self { size: 64, text: false, message: None, pipeline: 1, unstamped: false, deflate: false }
    }
}

impl MessageArgs {
    /// How messages are built.
    pub fn content(&self) -> Content {
        if self.text { Content::Text } else { Content::Binary }
    }

    /// The shortest message that an echo can have.
    pub fn bytes_min(&self) -> usize {
        match (&self.message, self.unstamped) {
            (Some(_), _) => MARKED_BYTES,
            (None, true) => 1,
            (None, false) => self.content().bytes_min(),
        }
    }
}
