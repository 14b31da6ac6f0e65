//! Finds events in the messages that subscribers receive, by their stamps, whatever a server wraps
//! them in, and compares them with the events that were sent.
//!
//! All subscribers receive the same bytes, so a message that was read once is only compared after
//! that. It never counts.

use memchr::{memchr, memchr_iter};

use super::{
    stamp::{Coding, STAMP_BYTES_MAX, Stamp},
    template::{MARK, MARKED_BYTES},
};

/// The event in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An event, unchanged.
    Whole(Stamp),
    /// An event with a changed body.
    Corrupted(Stamp),
    /// No event: the message is a greeting, an acknowledgement or a heartbeat.
    Nothing,
}

/// Finds events in messages.
#[derive(Debug)]
pub struct Deliveries {
    body: Vec<u8>,
    /// The message read last, which will probably arrive next on other connections, too.
    last: Vec<u8>,
    last_found: Found,
}

impl Deliveries {
    /// Finds events whose stamp is followed by `body`.
    pub fn new(body: &str) -> Self {
        Self { body: body.as_bytes().to_vec(), last: Vec::new(), last_found: Found::Nothing }
    }

    /// Finds the event in a message.
    #[inline]
    pub fn read(&mut self, message: &[u8]) -> Found {
        if message == self.last {
            return self.last_found;
        }
        self.read_anew(message)
    }

    fn read_anew(&mut self, message: &[u8]) -> Found {
        let found = self.find(message);
        self.last.clear();
        self.last.extend_from_slice(message);
        self.last_found = found;
        found
    }

    /// All events in `text`, in their order.
    pub fn read_all(&self, mut text: &[u8]) -> Vec<Stamp> {
        let mut stamps = Vec::new();
        while let Some(at) = memchr(MARK, text) {
            text = &text[at..];
            let event = match self.find(text.get(..self.event_bytes()).unwrap_or(text)) {
                Found::Whole(stamp) => Some(stamp),
                Found::Corrupted(_) | Found::Nothing => None,
            };
            stamps.extend(event);
            text = &text[if event.is_some() { self.event_bytes() } else { 1 }..];
        }
        stamps
    }

    fn event_bytes(&self) -> usize {
        MARKED_BYTES + self.body.len()
    }

    fn find(&self, message: &[u8]) -> Found {
        let mut found = Found::Nothing;
        for at in memchr_iter(MARK, message) {
            let Some(marked) = message[at..].get(..MARKED_BYTES) else { break };
            if marked[MARKED_BYTES - 1] != MARK {
                continue;
            }
            let Some(stamp) = Coding::Text.read(&marked[1..=STAMP_BYTES_MAX]) else { continue };
            if message[at + MARKED_BYTES..].starts_with(&self.body) {
                return Found::Whole(stamp);
            }
            // A stamp may also be in another place, without the body.
            if found == Found::Nothing {
                found = Found::Corrupted(stamp);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::template::Template;

    const AN_EVENT: Stamp = Stamp { connection: 7, sequence: 8, at: Duration::from_secs(9) };

    #[test]
    fn an_event_is_found_inside_any_wrapping() {
        let template = Template::parse("{stamp}{body}", 100).unwrap();
        let event = String::from_utf8(template.draft(0).stamped(|_| AN_EVENT).to_vec()).unwrap();
        let mut deliveries = Deliveries::new(template.body());
        for wrapped in [
            event.clone(),
            format!(r#"{{"data":"{event}","id":"12~34"}}"#),
            format!("~~{event}~"),
            format!("~{}~{event}", "g".repeat(32)),
            format!("~{}{event}", "0".repeat(32)),
            format!("{}, {event}", &event[..MARKED_BYTES]),
        ] {
            assert_eq!(deliveries.read(wrapped.as_bytes()), Found::Whole(AN_EVENT), "{wrapped}");
            assert_eq!(deliveries.read(wrapped.as_bytes()), Found::Whole(AN_EVENT), "{wrapped}");
        }
        let twice = format!("[{event},{},~{event}]", &event[..MARKED_BYTES]);
        assert_eq!(deliveries.read_all(twice.as_bytes()), [AN_EVENT; 2]);
        let changed = event.replace(&template.body()[60..], &"-".repeat(6));
        assert_eq!(deliveries.read(changed.as_bytes()), Found::Corrupted(AN_EVENT));
        let cut = &event.as_bytes()[..99];
        assert_eq!(deliveries.read(cut), Found::Corrupted(AN_EVENT));
        for other in ["", "~", "welcome", &event[1..], &event[..33], &event.replace('0', "O")] {
            assert_eq!(deliveries.read(other.as_bytes()), Found::Nothing, "{other}");
        }
    }
}
