//! Which events, and which gaps, a client's socket has taken, judged only by the bytes.
//!
//! The gateway uses this position when a client reconnects without a cursor.

use std::collections::VecDeque;

use ringway_hub::{Cursor, Sequence};

use crate::decoder::Transport;

/// What a socket has taken.
#[derive(Default)]
pub struct TakenEvents {
    bytes: usize,
    /// The last bytes, in which an event may have begun.
    tail: Vec<u8>,
    /// Events that have begun, and where they end.
    begun: VecDeque<(usize, Sequence)>,
    told_to: Sequence,
    /// The last bytes, in which a gap may have begun.
    gap_tail: Vec<u8>,
}

impl TakenEvents {
    /// Notes that the socket has taken these bytes. Returns the events that are now complete;
    /// `bytes_of` gives the length of each. Compressed events are not found.
    pub fn take(
        &mut self,
        taken: &[u8],
        transport: Transport,
        bytes_of: impl Fn(Sequence) -> usize,
    ) -> Vec<Sequence> {
        const PLAIN: &[u8] = b"{\"type\":\"event\",\"cursor\":\"";
        const IN_SCRIPT: &[u8] = b"{\\\"type\\\":\\\"event\\\",\\\"cursor\\\":\\\"";
        let begin = if transport == Transport::Iframe { IN_SCRIPT } else { PLAIN };
        if taken.is_empty() {
            return Vec::new();
        }
        self.note_gaps(taken, transport);
        let start = self.bytes - self.tail.len();
        self.bytes += taken.len();
        self.tail.extend(taken);
        let whole = begin.len() + Cursor::TEXT_BYTES;
        for place in objects(&self.tail) {
            let Some(window) = self.tail.get(place..place + whole) else { break };
            if window.starts_with(begin) {
                let cursor = str::from_utf8(&window[begin.len()..]).expect("a cursor is ASCII");
                let sequence = cursor.parse::<Cursor>().expect("a cursor").sequence;
                self.begun.push_back((start + place + bytes_of(sequence), sequence));
            }
        }
        let keep = self.tail.len().saturating_sub(whole - 1);
        self.tail.drain(..keep);
        let is_whole = |end: usize| end <= self.bytes;
        let count = self.begun.iter().take_while(|(end, _)| is_whole(*end)).count();
        self.begun.drain(..count).map(|(_, sequence)| sequence).collect()
    }

    fn note_gaps(&mut self, taken: &[u8], transport: Transport) {
        const PLAIN: [&[u8]; 2] = [b"{\"type\":\"gap\",\"from\":\"", b"\",\"to\":\""];
        const IN_SCRIPT: [&[u8]; 2] =
            [b"{\\\"type\\\":\\\"gap\\\",\\\"from\\\":\\\"", b"\\\",\\\"to\\\":\\\""];
        let [begin, between] = if transport == Transport::Iframe { IN_SCRIPT } else { PLAIN };
        let to_at = begin.len() + Cursor::TEXT_BYTES + between.len();
        let whole = to_at + Cursor::TEXT_BYTES;
        self.gap_tail.extend_from_slice(taken);
        for place in objects(&self.gap_tail) {
            let Some(window) = self.gap_tail.get(place..place + whole) else { break };
            if !window.starts_with(begin) {
                continue;
            }
            let to = str::from_utf8(&window[to_at..]).expect("a cursor is ASCII");
            let to = to.parse::<Cursor>().expect("a cursor");
            self.told_to = self.told_to.max(to.sequence);
        }
        self.gap_tail.drain(..self.gap_tail.len().saturating_sub(whole - 1));
    }

    /// The end of the last gap that the socket has taken a message about.
    pub fn told_to(&self) -> Sequence {
        self.told_to
    }
}

/// Where a JSON object may begin.
fn objects(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'{').map(|(place, _)| place)
}
