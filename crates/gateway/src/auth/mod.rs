//! Who a client is and what it may do, decided between the request and the response.
//!
//! It sees the credentials in a request. It never sees the request itself, and never writes to a
//! connection.

mod anonymous;
mod api_keys;
mod certificates;
mod grants;
mod identification;
mod key_report;
mod revocations;
mod secret;
mod self_named;
pub mod token;

use std::time::Duration;

pub use self::{
    api_keys::{AccessFault, ApiKeys, Caller},
    certificates::CertificateNames,
    grants::{Act, Grants, Lists},
    identification::{Answer, Identification, Ticket},
    key_report::{KeyReport, key_reports},
    revocations::{Revocations, RevocationsFull},
    secret::Secret,
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
    /// The topics that it is subscribed to without asking.
    pub topics: Vec<Box<str>>,
    /// The JSON for the application in its token. Nothing here reads it.
    pub meta: Option<Box<str>>,
    /// When the identity ends, as time since 1970; `None`: with the connection.
    pub expires_at: Option<Duration>,
}

impl Identity {
    /// A client with these grants, for as long as it is connected.
    pub fn new(client: impl Into<Box<str>>, grants: Grants) -> Self {
        let (client, topics) = (client.into(), Vec::new());
        Self { client, grants, topics, meta: None, expires_at: None }
    }
}

/// The credentials in a request.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'r> {
    /// The name that the client gives itself.
    pub client: Option<&'r str>,
    /// The token, and where it was.
    pub token: Option<(&'r Secret, TokenPlace)>,
    /// The name in the client's verified certificate.
    pub certificate: Option<&'r str>,
    /// The wall-clock time, since 1970.
    pub now: Duration,
}

/// Where in a request a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPlace {
    /// RFC 6750 §2.1: the field Authorization.
    Authorization,
    /// RFC 6750 §2.3: the parameter `token` of the query.
    Query,
    /// An offered subprotocol of a WebSocket, which pages can set.
    Subprotocol,
    /// A cookie.
    Cookie,
    /// The first message of a WebSocket, or a `refresh` command.
    Command,
}

/// Identifies clients; shared by all cores.
pub trait IdentitySource: Send + Sync {
    /// Identifies the sender of these credentials.
    fn identify(&self, credentials: &Credentials<'_>) -> Decision;

    /// What identifying has cost this thread since this was last called, in the unit of `limits`.
    fn take_cost(&self) -> usize {
        0
    }
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
