//! Who a client is and what it may do, decided between the request and the response.
//!
//! It sees what a request says of its client. It never sees the request itself, and never writes to
//! a connection.

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
    /// What it may do.
    pub grants: Grants,
}

/// What a request says of its client.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'r> {
    /// The name that it gives itself.
    pub client: Option<&'r str>,
}

/// A way to identify clients; shared by all cores.
pub trait IdentitySource: Send + Sync {
    /// Who sends a request with these credentials.
    fn identify(&self, credentials: &Credentials<'_>) -> Decision;
}

/// What a source says of a request.
pub enum Decision {
    /// The client is known; the request is carried out.
    Identified(Identity),
    /// The request is refused.
    Refused(Refusal),
    /// The answer comes later. The request waits for it, if there is room for one more to wait.
    Waiting(Question),
}

/// Asks someone else, without waiting. The answer goes to the mailbox of the ticket's core; one that
/// comes too late is ignored.
pub type Question = Box<dyn FnOnce(Ticket) + Send>;
