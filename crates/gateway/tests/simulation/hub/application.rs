//! The application's own events, and the outcomes of those that a late log places.
//!
//! It submits as the private API does. It checks outcomes, and knows nothing about connections.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ringway::broker::{
    Echo, Notice, Place, Receipt, ReceiptRoom, Ttl,
    mailbox::Mailbox,
    source::{PendingSubmission, SubmissionOutcome, SubmitError, Submitter, Unavailable},
};
use ringway_hub::{NotifyOutcome, Share};

use super::{
    Hub,
    command::{Command, Kind, Token},
    model::{Model, PROPERTY},
};
use crate::{checkers::check_eq, tally::Count};

/// An application, with its submissions that have no outcome yet.
#[derive(Default)]
pub struct Application {
    submitter: Submitter,
    pending: HashMap<u64, (Token, PendingSubmission, Receipt)>,
    outcomes: Arc<Mutex<Vec<(u64, SubmissionOutcome)>>>,
}

impl Application {
    /// An application that gets its outcomes from this mailbox.
    pub fn new(mailbox: &Mailbox) -> Self {
        let application = Self::default();
        let outcomes = Arc::clone(&application.outcomes);
        mailbox.register_control(move |number, result| {
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        });
        application
    }

    /// Whether every outcome has arrived.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn outcomes(&self) -> Vec<(u64, SubmissionOutcome)> {
        mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hub {
    /// Sends one event, with this many bytes of data if given.
    pub(super) fn append(&mut self, bytes: Option<usize>, now: Duration) {
        let Self { model, plan, rng, .. } = self;
        let token = model.commands.len() as u64;
        let mut command = Command::any(token, None, &plan.people, &plan.topics, rng);
        if let Some(bytes) = bytes {
            let Command { kind, event, ttl, .. } = command;
            command = Command::new(token, None, kind, event.as_deref(), ttl, bytes);
        }
        model.commands.push(command.clone());
        if let Kind::Notify { .. } = command.kind {
            model.is_carried_out(token as usize);
        }
        match self.submit(&command, now) {
            Ok(receipt) => check(&mut self.model, token, &receipt),
            Err(Some(SubmitError::Unavailable)) => self.model.tally.add(Count::Unavailable),
            Err(Some(SubmitError::OutOfMemory)) => panic!("there is memory"),
            Err(Some(SubmitError::Crowded(crowded))) => {
                check_eq!(crowded.share, Share::Application, "the share of the application");
                self.model.tally.add(Count::Crowded);
            }
            // The event is pending.
            Err(None) => {}
        }
        self.model.learn();
    }

    fn submit(&mut self, command: &Command, now: Duration) -> Result<Receipt, Option<SubmitError>> {
        let Self { model, broker, application, .. } = self;
        let notice = Notice {
            from: None,
            event: command.event.as_deref(),
            data: &command.data,
            ttl: command.ttl.map(Ttl::from_seconds),
        };
        let submitter = &mut application.submitter;
        let (place, receipt) = match &command.kind {
            Kind::Notify { to } => {
                let allowed = &model.settings.clients.may_notify;
                let notified = broker.notify(submitter, notice, to, allowed, now)?;
                let room = ReceiptRoom::new(to).expect("there is memory");
                (notified.place, room.notified(notified.place, &notified.outcome))
            }
            Kind::Publish { topic, .. } => {
                let place = broker.publish(submitter, notice, topic, Echo::Yes, now)?;
                (place, Receipt::published(place))
            }
        };
        let Place::Pending(submission) = place else { return Ok(receipt) };
        application.pending.insert(submission.number, (command.token, submission, receipt));
        Err(None)
    }

    /// Whether every submitted event has its place, or was refused.
    pub fn has_all_places(&self) -> bool {
        self.application.is_idle() && self.late_log.as_ref().is_none_or(|log| log.is_idle())
    }

    /// Handles the answers of the late log to some submissions.
    pub fn place_events(&mut self, now: Duration) {
        let Some(late_log) = &self.late_log else { return };
        late_log.turn(&self.broker.log, &self.mailbox, now);
        self.model.learn();
        for (number, result) in self.application.outcomes() {
            let Self { application, broker, model, .. } = self;
            let (token, submission, mut receipt) =
                application.pending.remove(&number).expect("each outcome arrives once");
            broker.end_submission(&mut application.submitter, submission);
            match result {
                Ok(sequence) => {
                    model.find_recipients(token as usize);
                    broker.place(&mut receipt, sequence);
                    check(model, token, &receipt);
                }
                Err(Unavailable) => {
                    check_eq!(model.reference.place(token), None, "a refused event");
                    model.tally.add(Count::Unavailable);
                }
            }
        }
    }
}

fn check(model: &mut Model, token: Token, receipt: &Receipt) {
    let Some(outcome) = receipt.outcome() else { return };
    let outcome: Vec<(&str, NotifyOutcome)> = outcome.collect();
    let outcome = outcome.iter().map(|(name, of)| (*name, of.as_str()));
    let allowed = &model.settings.clients.may_notify;
    model.commands[token as usize].check(outcome, allowed, &mut model.tally);
}
