//! The identities of clients: they name themselves, and in some runs the answer comes by the core's
//! mailbox, so that each request waits for it.

use std::sync::Arc;

use ringway::{
    auth::{Credentials, Decision, IdentitySource, SelfNamed},
    broker::mailbox::{CoreMessage, Mailbox},
};

/// When a request learns its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identified {
    /// At once.
    AtOnce,
    /// In a later turn.
    Later,
}

impl Identified {
    /// The source of identities.
    pub fn source(self, mailbox: &Mailbox) -> Arc<dyn IdentitySource> {
        match self {
            Self::AtOnce => Arc::new(SelfNamed),
            Self::Later => Arc::new(ByMailbox(mailbox.clone())),
        }
    }
}

struct ByMailbox(Mailbox);

impl IdentitySource for ByMailbox {
    fn identify(&self, credentials: &Credentials<'_>) -> Decision {
        let result = match SelfNamed.identify(credentials) {
            Decision::Identified(identity) => Ok(identity),
            Decision::Refused(refusal) => Err(refusal),
            Decision::Waiting(question) => return Decision::Waiting(question),
        };
        let mailbox = self.0.clone();
        Decision::Waiting(Box::new(move |ticket| {
            mailbox.tell(ticket.core, CoreMessage::Identified { ticket, result });
        }))
    }
}
