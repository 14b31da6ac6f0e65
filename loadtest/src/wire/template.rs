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

    /// The text before, between and after the stamps, with the placeholders that are left in it.
    pub fn around(&self) -> &[String] {
        &self.around
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
        Draft { bytes, stamps, lines: 1 }
    }
}

/// Random letters and digits.
fn filler(bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(SEED);
    std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect()
}

/// An event, or several on a line each, sent repeatedly with different stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    bytes: Vec<u8>,
    /// The offsets of the stamps: as many for each line.
    stamps: Vec<usize>,
    lines: u32,
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

    /// The event this many times; each ends with a line feed if it is not alone.
    #[must_use]
    pub fn lines(self, lines: u32) -> Self {
        if lines == 1 {
            return self;
        }
        let (mut bytes, mut stamps) = (Vec::new(), Vec::new());
        for _ in 0..lines {
            stamps.extend(self.stamps.iter().map(|at| at + bytes.len()));
            bytes.extend_from_slice(&self.bytes);
            bytes.push(b'\n');
        }
        Self { bytes, stamps, lines }
    }

    /// Its length, which does not depend on the stamp.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the stamp of each line, numbered from 0, and returns the event or events.
    #[inline]
    pub fn stamped(&mut self, stamp: impl Fn(u32) -> Stamp) -> &[u8] {
        let each = self.stamps.len() / self.lines as usize;
        for (line, stamps) in (0..).zip(self.stamps.chunks_exact(each)) {
            for &at in stamps {
                Coding::Text.write(stamp(line), &mut self.bytes[at..]);
            }
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
        let event = String::from_utf8(draft.stamped(|_| AN_EVENT).to_vec()).unwrap();
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
    fn each_line_has_its_own_stamp() {
        let mut lines = Template::parse("<{stamp}{body}>", 36).unwrap().draft(0).lines(3);
        let text = lines.stamped(|line| Stamp { sequence: line, ..AN_EVENT }).to_vec();
        assert_eq!(lines.bytes(), text.len());
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        for (number, line) in (0..).zip(lines) {
            assert_eq!(Coding::Text.read(&line[2..]).unwrap().sequence, number);
            assert!(line.starts_with(b"<~") && line.ends_with(b">\n"));
        }
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
