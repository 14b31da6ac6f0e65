//! The outcome of a submission, and the answer that reports it.
//!
//! It is small enough to be kept for every idempotency key. Names are not kept: a repeated request
//! brings them again.

use crate::encoding::native::ack_bytes_max;

use std::io::Write;

use ringway_hub::{Cursor, NotifyOutcome};

use crate::control::api::submission::{Submission, To};

/// The outcome of a submission.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    cursor: Cursor,
    outcomes: Outcomes,
}

/// The outcome for each recipient, in order.
#[derive(Debug, PartialEq, Eq)]
enum Outcomes {
    /// The same for all recipients.
    Same(NotifyOutcome),
    /// Two bits for each recipient, the lower ones first.
    Each(Box<[u8]>),
}

impl Done {
    /// The outcome of a publish, which does not list subscribers.
    pub fn published(cursor: Cursor) -> Self {
        Self { cursor, outcomes: Outcomes::Same(NotifyOutcome::Delivered) }
    }

    /// The outcome of a notify to these recipients.
    pub fn notified(cursor: Cursor, outcomes: &[(&str, NotifyOutcome)]) -> Self {
        let first = outcomes.first().map_or(NotifyOutcome::Offline, |entry| entry.1);
        let outcomes = if outcomes.iter().all(|entry| entry.1 == first) {
            Outcomes::Same(first)
        } else {
            Outcomes::Each(outcomes.chunks(4).map(pack).collect())
        };
        Self { cursor, outcomes }
    }

    /// Appends the answer to this submission.
    pub fn write(&self, submission: &Submission<'_>, out: &mut Vec<u8>) {
        let fits = "writing to memory cannot fail";
        write!(out, "{{\"cursor\":\"{}\"", self.cursor).expect(fits);
        if let To::Recipients(names) = &submission.to {
            out.extend_from_slice(b",\"outcome\":{");
            for (place, name) in names.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, name).expect(fits);
                write!(out, ":\"{}\"", self.outcome(place).as_str()).expect(fits);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// An upper bound of the bytes of a submission's answer.
    pub fn bytes_max(submission: &Submission<'_>) -> usize {
        match &submission.to {
            To::Recipients(names) => ack_bytes_max("", names.iter().map(|name| &**name)),
            To::Topic(_) => ack_bytes_max("", std::iter::empty()),
        }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        match &self.outcomes {
            Outcomes::Same(_) => 0,
            Outcomes::Each(bits) => bits.len(),
        }
    }

    fn outcome(&self, place: usize) -> NotifyOutcome {
        match &self.outcomes {
            Outcomes::Same(outcome) => *outcome,
            Outcomes::Each(bits) => CODES[usize::from(bits[place / 4] >> (2 * (place % 4)) & 3)],
        }
    }
}

const CODES: [NotifyOutcome; 4] = [
    NotifyOutcome::Delivered,
    NotifyOutcome::Queued,
    NotifyOutcome::Offline,
    NotifyOutcome::Denied,
];

fn pack(outcomes: &[(&str, NotifyOutcome)]) -> u8 {
    outcomes.iter().rev().fold(0, |bits, (_, outcome)| {
        let code = CODES.iter().position(|known| known == outcome).expect("all four are there");
        bits << 2 | code as u8
    })
}

#[cfg(test)]
mod tests {
    use ringway_hub::Epoch;

    use super::{super::submission::Verb, *};

    const CURSOR: Cursor = Cursor { epoch: Epoch::new(0x42), sequence: 7 };

    #[test]
    fn a_publish_has_a_cursor() {
        let text = br#"{"topic":"news","data":1}"#;
        let (submission, _) = Submission::read(Verb::Publish, text, 1).unwrap();
        let mut out = Vec::new();
        Done::published(CURSOR).write(&submission, &mut out);
        assert_eq!(out, br#"{"cursor":"000000000042-0000000000000007"}"#);
    }

    #[test]
    fn outcomes_are_packed_without_loss() {
        for count in 1..20_usize {
            for step in 0..4_usize {
                let names: Vec<String> = (0..count).map(|number| format!("a\"{number}")).collect();
                let entries: Vec<(&str, NotifyOutcome)> = names
                    .iter()
                    .enumerate()
                    .map(|(number, name)| (&**name, CODES[number * step % 4]))
                    .collect();
                let text = serde_json::json!({ "to": names, "data": 1 }).to_string();
                let (submission, _) =
                    Submission::read(Verb::Notify, text.as_bytes(), count).unwrap();
                let mut out = Vec::new();
                Done::notified(CURSOR, &entries).write(&submission, &mut out);
                let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(answer["outcome"].as_object().unwrap().len(), count);
                for (name, outcome) in entries {
                    assert_eq!(answer["outcome"][name], outcome.as_str());
                }
            }
        }
    }
}
