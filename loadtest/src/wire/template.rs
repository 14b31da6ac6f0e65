//! Templates for messages, with placeholders for the number of the connection, the stamp of an
//! event, and a body of a certain length.
//!
//! It knows no server's format: the text around the placeholders is sent as it is.

use anyhow::{Result, ensure};

use super::stamp::{Coding, STAMP_BYTES_MAX, Stamp};

/// The placeholder for the number of the connection.
const NUMBER: &str = "{n}";

/// The placeholder for an event's stamp, which is sent between two marks.
const STAMP: &str = "{stamp}";

/// The placeholder for the body, which follows the stamp.
const BODY: &str = "{body}";

/// Marks the start and the end of a stamp, so that it is found in any delivery. It needs no escape
/// in JSON, XML or a URL.
pub const MARK: u8 = b'~';

/// The size of a stamp with its marks.
pub const MARKED_BYTES: usize = STAMP_BYTES_MAX + 2;

/// Makes the body's bytes the same in each run.
const SEED: u64 = 0x66_61_6e;

/// A message without a stamp: replaces `{n}`.
pub fn greeting(text: &str, number: u32) -> String {
    text.replace(NUMBER, &number.to_string())
}

/// The form of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The text before, between and after the stamps; the body is filled in already.
    around: Vec<String>,
    body: String,
}

impl Template {
    /// Parses a template; a stamp and the body that follows it have `bytes` together.
    ///
    /// # Errors
    /// Deliveries of its events could not be identified or checked; the error says what to write
    /// instead.
    pub fn parse(text: &str, bytes: usize) -> Result<Self> {
        let mut around: Vec<String> = text.split(STAMP).map(str::to_owned).collect();
        ensure!(around.len() > 1, "`{text}` has no {STAMP} in it, which identifies deliveries");
        let mut body = String::new();
        if let Some(after) = around[1..].iter_mut().find(|after| after.starts_with(BODY)) {
            body = filler(bytes.saturating_sub(MARKED_BYTES));
            after.replace_range(..BODY.len(), &body);
        }
        ensure!(
            !around.iter().any(|around| around.contains(BODY)),
            "`{text}` has {BODY} where it cannot be checked: write it once, directly after {STAMP}"
        );
        Ok(Self { around, body })
    }

    /// The text that follows a stamp in each delivery.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// An event of the connection with this number, still without a stamp.
    pub fn draft(&self, number: u32) -> Draft {
        let mut bytes = greeting(&self.around[0], number).into_bytes();
        let mut stamps = Vec::new();
        for after in &self.around[1..] {
            bytes.push(MARK);
            stamps.push(bytes.len());
            bytes.extend_from_slice(&[b'0'; STAMP_BYTES_MAX]);
            bytes.push(MARK);
            bytes.extend_from_slice(greeting(after, number).as_bytes());
        }
        Draft { bytes, stamps }
    }
}

/// Random letters and digits.
fn filler(bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(SEED);
    std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect()
}

/// An event that is sent repeatedly with different stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    bytes: Vec<u8>,
    /// The offsets of the stamps.
    stamps: Vec<usize>,
}

impl Draft {
    /// Inserts bytes before the event.
    #[must_use]
    pub fn after(mut self, head: &[u8]) -> Self {
        self.bytes.splice(..0, head.iter().copied());
        for stamp in &mut self.stamps {
            *stamp += head.len();
        }
        self
    }

    /// Its length, which does not depend on the stamp.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes this stamp and returns the event.
    #[inline]
    pub fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        for &at in &self.stamps {
            Coding::Text.write(stamp, &mut self.bytes[at..]);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AN_EVENT: Stamp = Stamp { connection: 1, sequence: 2, at: Duration::from_nanos(3) };

    #[test]
    fn a_template_of_an_event_is_filled_in() {
        let text = r#"{"topic":"{n}","data":"{stamp}{body}","again":{n},"id":"{stamp}"}"#;
        let template = Template::parse(text, 40).unwrap();
        assert_eq!(template.body().len(), 40 - MARKED_BYTES);
        let mut draft = template.draft(12).after(b"POST ");
        let event = String::from_utf8(draft.stamped(AN_EVENT).to_vec()).unwrap();
        let body = template.body();
        let mut stamp = [0; STAMP_BYTES_MAX];
        Coding::Text.write(AN_EVENT, &mut stamp);
        let stamp = str::from_utf8(&stamp).unwrap();
        let expected = format!(
            r#"POST {{"topic":"12","data":"~{stamp}~{body}","again":12,"id":"~{stamp}~"}}"#
        );
        assert_eq!(event, expected);
        assert_eq!(draft.bytes(), event.len());
    }

    #[test]
    fn a_template_that_cannot_be_checked_is_refused() {
        for (text, why) in [
            ("hello", "no {stamp}"),
            ("{body}{stamp}", "directly after"),
            ("{stamp} {body}", "directly after"),
            ("{stamp}{body}{body}", "directly after"),
            ("{stamp}{body}{stamp}{body}", "directly after"),
        ] {
            let said = Template::parse(text, 64).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert_eq!(Template::parse("{stamp}", 0).unwrap().body(), "");
        assert_eq!(greeting("join {n}", 3), "join 3");
    }
}
