//! A message from one client to another: a template with placeholders for the number of the
//! recipient and of the message, whose lengths differ from message to message.
//!
//! It never chooses a recipient.

use std::io::Write;

use super::{
    stamp::{Coding, STAMP_BYTES_MAX, Stamp},
    template::{MARK, Template},
};

/// The placeholder for the number of the connection that is to receive the message.
pub const TO: &str = "{to}";

/// The other placeholders in the text around stamps.
const NUMBER: &str = "{n}";
const SEQUENCE: &str = "{sequence}";

/// A template in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Sender,
    Recipient,
    Sequence,
    Stamp,
}

impl Addressed {
    /// The same template in pieces, if it names a recipient.
    pub fn of(template: &Template) -> Option<Self> {
        template.around().iter().any(|text| text.contains(TO)).then(|| {
            let mut pieces = Vec::new();
            for (index, text) in template.around().iter().enumerate() {
                if index > 0 {
                    pieces.push(Piece::Stamp);
                }
                split(text, &mut pieces);
            }
            Self { pieces }
        })
    }

    /// Appends a message to the connection with the number `to`; the stamp names its sender.
    pub fn write(&self, stamp: Stamp, to: u32, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Sender => write_number(stamp.connection, out),
                Piece::Recipient => write_number(to, out),
                Piece::Sequence => write_number(stamp.sequence, out),
                Piece::Stamp => {
                    out.push(MARK);
                    let at = out.len();
                    out.resize(at + STAMP_BYTES_MAX, b'0');
                    Coding::Text.write(stamp, &mut out[at..]);
                    out.push(MARK);
                }
            }
        }
    }
}

fn write_number(number: u32, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
}

fn split(mut text: &str, pieces: &mut Vec<Piece>) {
    let placeholders =
        [(NUMBER, Piece::Sender), (TO, Piece::Recipient), (SEQUENCE, Piece::Sequence)];
    loop {
        let found = placeholders
            .iter()
            .filter_map(|(name, piece)| Some((text.find(name)?, name.len(), piece)))
            .min_by_key(|(at, _, _)| *at);
        let Some((at, length, piece)) = found else { break };
        if at > 0 {
            pieces.push(Piece::Text(text[..at].to_owned()));
        }
        pieces.push(piece.clone());
        text = &text[at + length..];
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_names_its_recipient_and_its_own_number() {
        let text = r#"{"to":"c-{to}","id":"{n}-{sequence}","data":"{stamp}{body}"}"#;
        let template = Template::parse(text, 40).unwrap();
        let addressed = Addressed::of(&template).unwrap();
        for (to, sequence) in [(7, 9), (12_345, 4_000_000_000)] {
            let stamp = Stamp { connection: 3, sequence, at: Duration::from_secs(1) };
            let mut out = Vec::new();
            addressed.write(stamp, to, &mut out);
            let mut digits = [0; STAMP_BYTES_MAX];
            Coding::Text.write(stamp, &mut digits);
            let (digits, body) = (std::str::from_utf8(&digits).unwrap(), template.body());
            let expected =
                format!(r#"{{"to":"c-{to}","id":"3-{sequence}","data":"~{digits}~{body}"}}"#);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_template_without_a_recipient_is_an_echo() {
        assert_eq!(Addressed::of(&Template::parse("{n} {stamp}{body}", 40).unwrap()), None);
    }
}
