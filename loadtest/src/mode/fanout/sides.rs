//! What each side of a fan-out is asked to do, and what it did or saw.
//!
//! It never sends and never receives.

use ringway_frame::DataKind;

use super::{feed::Transport, spread::Spread, traffic::Ticket};
use crate::{
    measure::ledger::Ledger,
    mode::pace::Dial,
    wire::{
        handshake::Approach,
        request,
        template::{Draft, Template},
    },
};

/// Of each publisher, events whose owed deliveries are remembered.
const EVENTS_MAX: usize = 1 << 24;

/// The start of a message that is shown.
const SAMPLE_BYTES_MAX: usize = 200;

/// What publishers do.
#[derive(Debug, Clone)]
pub struct PublishPlan {
    /// When events leave: in a closed loop, when those before have reached all subscribers.
    pub dial: Dial,
    /// In a closed loop, events that may be outstanding.
    pub outstanding: u32,
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// What events look like.
    pub template: Template,
    /// How they go over the wire.
    pub way: Way,
}

/// How events go over the wire.
#[derive(Debug, Clone)]
pub enum Way {
    /// As messages of a WebSocket.
    Messages(DataKind),
    /// As bodies of POST requests.
    Requests {
        /// Where to.
        approach: Box<Approach>,
        /// What the bodies are.
        content_type: String,
    },
}

impl Way {
    /// An event of the publisher with this number.
    pub fn draft(&self, template: &Template, number: u32) -> Draft {
        let draft = template.draft(number);
        match self {
            Self::Messages(_) => draft,
            Self::Requests { approach, content_type } => {
                let head = request::post(approach, number, content_type, draft.bytes());
                draft.after(&head)
            }
        }
    }
}

/// What the publishers did.
#[derive(Debug, Default)]
pub struct Published {
    /// Events that the server took.
    pub events: u64,
    /// By publisher and event, how many deliveries it owed.
    pub owed: Vec<Vec<u32>>,
    /// Events that were due and could not be published in time.
    pub behind: u64,
    /// How often a closed loop gave up waiting.
    pub stalls: u64,
    /// Messages that publishers received.
    pub others: u64,
    /// The start of the first of them.
    pub sample: Option<String>,
}

impl Published {
    /// Nothing yet, of this many publishers.
    pub fn new(publishers: u32) -> Self {
        Self { owed: vec![Vec::new(); publishers as usize], ..Self::default() }
    }

    /// An event is the server's to deliver.
    pub fn take(&mut self, publisher: usize, ticket: Ticket) {
        self.events += 1;
        let owed = &mut self.owed[publisher];
        if owed.len() < EVENTS_MAX {
            owed.push(ticket.owed);
        }
    }

    /// Keeps the start of the first of the answers.
    pub fn show(&mut self, answer: &[u8]) {
        if self.sample.is_none() {
            let start = &answer[..answer.len().min(SAMPLE_BYTES_MAX)];
            self.sample = Some(String::from_utf8_lossy(start).into_owned());
        }
    }
}

/// What subscribers do.
#[derive(Debug, Clone, Default)]
pub struct SubscribePlan {
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// What follows a stamp.
    pub body: String,
    /// How they receive.
    pub transport: Transport,
}

/// What the subscribers of one thread received.
#[derive(Debug)]
pub struct Received {
    /// What became of each delivery.
    pub ledger: Ledger,
    /// When events came.
    pub spread: Spread,
    /// Messages without an event in them.
    pub others: u64,
    /// Events of another run, or of before the measurement.
    pub foreign: u64,
    /// Deliveries that were due while their subscriber was away.
    pub away: u64,
    /// The start of a message without an event in it.
    pub sample: Option<String>,
}

impl Received {
    /// Nothing yet, of this many publishers.
    pub fn new(publishers: usize) -> Self {
        Self {
            ledger: Ledger::default(),
            spread: Spread::new(publishers),
            others: 0,
            foreign: 0,
            away: 0,
            sample: None,
        }
    }

    /// Counts a message without an event, and keeps the start of the first.
    #[cold]
    pub fn receive_other(&mut self, message: &[u8]) {
        self.others += 1;
        if self.sample.is_none() {
            let start = &message[..message.len().min(SAMPLE_BYTES_MAX)];
            self.sample = Some(String::from_utf8_lossy(start).into_owned());
        }
    }
}
