//! The plans of publishers and subscribers, and their results.
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

/// The most events of each publisher whose owed deliveries are remembered.
const EVENTS_MAX: usize = 1 << 24;

/// The length of a message's sample.
const SAMPLE_BYTES_MAX: usize = 200;

/// The plan of the publishers.
#[derive(Debug, Clone)]
pub struct PublishPlan {
    /// When events are sent: in a closed loop, when earlier ones have reached all subscribers.
    pub dial: Dial,
    /// In a closed loop, events that may be outstanding.
    pub outstanding: u32,
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// The form of an event.
    pub template: Template,
    /// How events are sent.
    pub way: Way,
}

/// How events are sent.
#[derive(Debug, Clone)]
pub enum Way {
    /// As messages of a WebSocket.
    Messages(DataKind),
    /// As bodies of POST requests.
    Requests {
        /// The server, and what the requests contain.
        approach: Box<Approach>,
        /// The content type of the bodies.
        content_type: String,
        /// Events in each body, a line each.
        bulk: u32,
    },
}

impl Way {
    /// The number of events that are sent together.
    pub fn bulk(&self) -> u32 {
        match self {
            Self::Messages(_) => 1,
            Self::Requests { bulk, .. } => *bulk,
        }
    }

    /// The events that the publisher with this number sends together.
    pub fn draft(&self, template: &Template, number: u32) -> Draft {
        let draft = template.draft(number);
        match self {
            Self::Messages(_) => draft,
            Self::Requests { approach, content_type, bulk } => {
                let draft = draft.lines(*bulk);
                let head = request::post(approach, number, content_type, draft.bytes());
                draft.after(&head)
            }
        }
    }
}

/// The results of the publishers.
#[derive(Debug, Default)]
pub struct Published {
    /// Events that the server accepted.
    pub events: u64,
    /// By publisher and event, how many deliveries it owed.
    pub owed: Vec<Vec<u32>>,
    /// Events that were due but could not be published in time.
    pub behind: u64,
    /// How often a closed loop gave up waiting.
    pub stalls: u64,
    /// Messages that publishers received.
    pub others: u64,
    /// The start of the first such message.
    pub sample: Option<String>,
}

impl Published {
    /// No results yet, for this many publishers.
    pub fn new(publishers: u32) -> Self {
        Self { owed: vec![Vec::new(); publishers as usize], ..Self::default() }
    }

    /// Counts events that the server accepted.
    pub fn take(&mut self, publisher: usize, ticket: Ticket) {
        self.events += u64::from(ticket.events);
        let owed = &mut self.owed[publisher];
        let room = EVENTS_MAX.saturating_sub(owed.len());
        owed.extend((0..ticket.events).take(room).map(|_| ticket.owed));
    }

    /// Keeps the start of the first answer.
    pub fn show(&mut self, answer: &[u8]) {
        if self.sample.is_none() {
            let start = &answer[..answer.len().min(SAMPLE_BYTES_MAX)];
            self.sample = Some(String::from_utf8_lossy(start).into_owned());
        }
    }
}

/// The plan of the subscribers.
#[derive(Debug, Clone, Default)]
pub struct SubscribePlan {
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// The text that follows a stamp.
    pub body: String,
    /// How subscribers receive.
    pub transport: Transport,
}

/// The results of the subscribers of one thread.
#[derive(Debug)]
pub struct Received {
    /// The fate of each delivery.
    pub ledger: Ledger,
    /// When events arrived.
    pub spread: Spread,
    /// Messages without an event.
    pub others: u64,
    /// Events of another run, or from before the measurement.
    pub foreign: u64,
    /// Deliveries that were due while their subscriber was disconnected.
    pub away: u64,
    /// The start of a message without an event.
    pub sample: Option<String>,
}

impl Received {
    /// No results yet, for this many publishers.
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
