//! What an application is asked about its clients, and its answers, as values. Nothing here opens a
//! connection: a [`HookSource`] passes a question on and never blocks.
//!
//! The application is asked by POST with one JSON object. Members that do not apply are absent:
//!
//! | member | meaning |
//! |---|---|
//! | `event` | `connect`, `subscribe`, `publish`, `notify`, `refresh` or `request` |
//! | `client` | who the client is, by its token or certificate, or as it names itself; absent at a `connect` of a client without a name |
//! | `connection` | the name of its connection, as in its welcome |
//! | `meta`, `expires_at` | from its token, or from the answer to `connect` |
//! | `transport` | `connect`: `websocket`, `sse`, `stream`, `poll`, `send` (a command in a request), `echo`, or `route` (another server) |
//! | `address` | `connect`: the client's address; of IPv6 its network of 64 bits |
//! | `headers` | `connect`: the header fields that `hook.headers` lists, names in lower case |
//! | `topics` | the topics that it subscribes to |
//! | `topic`, `to` | `publish`: the topic; `notify`: the recipients |
//! | `name`, `data` | `publish`, `notify` and `request`: the name of the event, and its data |
//! | `id` | `request`: the client's own name for it; a request that is sent again has the same one |
//!
//! The answer is a 200 with one JSON object, or a 204, which means `{}`:
//!
//! | member | meaning |
//! |---|---|
//! | `refuse` | `{"status":403,"reason":"…"}`, both optional: the client, or its command, is refused; so does a 401 or a 403 |
//! | `client` | `connect`: who the client is from here on |
//! | `grants` | `connect`, `refresh`: `{"subscribe":[…],"publish":[…],"notify":[…]}`: all that it may do |
//! | `topics` | `connect`: what it is subscribed to at once |
//! | `meta`, `expires_at` | `connect`, `refresh`: JSON for later questions; when its identity ends, in seconds since 1970 |
//! | `cache` | how many seconds the answer counts for the same question; not for a `request` |
//! | `data`, `error` | `request`: the answer for the client; or `{"code":"…","message":"…"}` |
//! | `publish`, `notify` | `request`: events, each like the body of `POST /v1/publish` or `/v1/notify`, which are appended before the client gets its answer |
//!
//! Anything else (another status, a redirect, another type, an unknown member, more than
//! `HOOK_ANSWER_BYTES_MAX`) is a failure, for which `hook.on_failure` decides.

mod answer;
mod applications;
mod cache;
mod question;

pub use self::{
    answer::{Allowed, Answer, Denied, Event, Failure, RequestFault, Response, To},
    applications::{Application, Applications, Pending},
    question::{About, Question},
};

/// Asks applications; shared by all cores.
pub trait HookSource: Send + Sync {
    /// Passes on a question, and never blocks.
    fn ask(&self, question: Question) -> Asked;
}

/// What becomes of a question.
#[derive(Debug)]
pub enum Asked {
    /// The answer is known, or there is no room for the question.
    Now(Answer),
    /// The answer goes to the mailbox of the ticket's core.
    Later,
}
