//! What must hold for any bytes: one function for each fuzz target.
//!
//! The same functions run under cargo-fuzz and, over the committed corpus, under `cargo test`.
//! They panic when a property is broken and answer nothing.

use std::time::Duration;

use ringway::{
    config::Config,
    http::connection::{HttpConnection, Progress},
    outbox::{Outbox, Sending},
    settings::Settings,
};
use ringway_acceptor::{Connection, Operation, Operations, Outgoing};

/// Where a conversation stood when the input was used up or of no interest any more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Waiting,
    Upgraded { left_bytes: usize },
    Finished,
}

/// The input: a byte that says how the rest is cut, then what a client sends. However it is cut,
/// the answers are the same, and no more is kept of a head than its bound.
pub fn requests(input: &[u8]) {
    let Some((cut, sent)) = input.split_first() else { return };
    let mut settings = Settings::from_config(&Config::default());
    // Small, so that a short input can pass them.
    settings.head.bytes_max = 300;
    settings.head.target_bytes_max = 60;
    settings.head.fields_max = 8;
    settings.requests_per_connection_max = 20;
    let whole = converse(sent, sent.len().max(1), &settings);
    let pieces = converse(sent, usize::from(*cut).max(1), &settings);
    assert_eq!(whole.0, pieces.0, "the answers");
    assert_eq!(whole.1, pieces.1, "the end");
}

/// What is answered to `sent`, which arrives in pieces of `cut` bytes.
fn converse(sent: &[u8], cut: usize, settings: &Settings) -> (String, End) {
    let (mut http, mut sending) = (HttpConnection::default(), Sending::default());
    let mut operations = Operations::default();
    let connection = Connection::new(0, 0);
    let (mut answers, mut used) = (Vec::new(), 0);
    for piece in sent.chunks(cut) {
        used += piece.len();
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        while !input.is_empty() {
            let mut outbox = Outbox::new(connection, &mut sending, &mut operations, Duration::ZERO);
            match http.advance(&mut input, settings, &mut outbox) {
                Progress::More | Progress::Answered => {}
                Progress::Upgraded(_) => {
                    let left_bytes = sent.len() - used + input.len();
                    collect(&mut operations, &mut answers);
                    return (undated(&answers), End::Upgraded { left_bytes });
                }
                Progress::Finished => {
                    collect(&mut operations, &mut answers);
                    return (undated(&answers), End::Finished);
                }
            }
        }
    }
    collect(&mut operations, &mut answers);
    (undated(&answers), End::Waiting)
}

fn collect(operations: &mut Operations, answers: &mut Vec<u8>) {
    let (list, turn) = operations.drain();
    for operation in list {
        if let Operation::Send { outgoing: Outgoing::Turn(range), .. } = operation {
            answers.extend_from_slice(&turn[range]);
        }
    }
    operations.clear();
}

/// Without the Date lines: a second may begin between two runs.
fn undated(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers);
    text.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
}
