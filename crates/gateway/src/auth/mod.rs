//! Who a client is and what it may do, decided between the request and the response.
//!
//! It sees the credentials in a request. It never sees the request itself, and never writes to a
//! connection.

mod grants;
mod identification;
mod self_named;

pub use self::{
    grants::{Act, Grants, Lists},
    identification::{Answer, Identification, Ticket},
    self_named::SelfNamed,
};

use crate::refusal::Refusal;

/// A client that has been identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub client: Box<str>,
    /// Its grants.
    pub grants: Grants,
}

/// The credentials in a request.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'r> {
    /// The name that the client gives itself.
    pub client: Option<&'r str>,
}

/// Identifies clients; shared by all cores.
pub trait IdentitySource: Send + Sync {
    /// Identifies the sender of these credentials.
    fn identify(&self, credentials: &Credentials<'_>) -> Decision;
}

/// A source's decision on a request.
pub enum Decision {
    /// The client is known; its request is performed.
    Identified(Identity),
    /// The request is refused.
    Refused(Refusal),
    /// The decision comes later. The request waits for it, if there is room for another waiting
    /// request.
    Waiting(Question),
}

/// Asks an external service without blocking. The answer goes to the mailbox of the ticket's core;
/// an answer that comes too late is ignored.
pub type Question = Box<dyn FnOnce(Ticket) + Send>;
