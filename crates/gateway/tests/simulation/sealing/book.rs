//! Which plain text is in the records that a client has sent, and how it has ended its side.
//!
//! It knows no cipher: each layer says where its records end.

use std::collections::VecDeque;

/// The records of one client.
#[derive(Debug, Default)]
pub struct Book {
    /// Records that the gateway has not received: the offset of each record's end, and the length
    /// of its plain text.
    ends: VecDeque<(usize, usize)>,
    sent: usize,
    received: usize,
    /// The offset after a record that makes the gateway end the connection.
    last: Option<usize>,
    pub ending: Ending,
}

/// How the client has ended its side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    #[default]
    Open,
    /// By FIN, in order or in the middle of a record.
    Fin,
    /// By a damaged record, which the gateway answers by an alert.
    Damaged,
}

/// What a client sends before it ends its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Nothing.
    None,
    /// The last record of its layer. No FIN follows.
    Last,
    /// A part of a record.
    Part,
    /// A damaged record. No FIN follows.
    Damaged,
}

/// The bytes and records that the gateway has received.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes of plain text.
    pub plain: usize,
    /// Whether a record came that ends the connection.
    pub has_ended: bool,
}

impl Book {
    /// Bytes without plain text were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// A record of `bytes` bytes was sent, with this much plain text.
    pub fn sent_record(&mut self, bytes: usize, plain: usize) {
        self.sent += bytes;
        self.ends.push_back((self.sent, plain));
    }

    /// The client ends its side: what it sends before that, unless it has ended already. Any number
    /// that depends on the run will do.
    pub fn end(&mut self) -> Option<Farewell> {
        if self.ending != Ending::Open {
            return None;
        }
        let farewell = [Farewell::None, Farewell::Last, Farewell::Part, Farewell::Damaged];
        let farewell = farewell[self.sent / 3 % 4];
        self.ending = if farewell == Farewell::Damaged { Ending::Damaged } else { Ending::Fin };
        Some(farewell)
    }

    /// The farewell has this many bytes.
    pub fn sent_farewell(&mut self, farewell: Farewell, bytes: usize) {
        self.sent += bytes;
        if matches!(farewell, Farewell::Last | Farewell::Damaged) {
            self.last = Some(self.sent);
        }
    }

    /// Whether FIN may follow: the gateway ends the connection without one after some records, but
    /// not before it has received them.
    pub fn may_end_stream(&self) -> bool {
        self.last.is_none()
    }

    /// Notes that the gateway has received `bytes` more.
    pub fn delivers(&mut self, bytes: usize) -> Received {
        self.received += bytes;
        let mut received = Received { plain: 0, has_ended: false };
        while let Some((_, plain)) = self.ends.pop_front_if(|(end, _)| *end <= self.received) {
            received.plain += plain;
        }
        received.has_ended = self.last.take_if(|last| *last <= self.received).is_some();
        received
    }
}
