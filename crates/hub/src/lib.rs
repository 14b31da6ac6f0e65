//! Who receives what: events, the ordered log, cursors, subscriptions, recipients.
//!
//! Nothing is here yet but its place in the house: it does no I/O and knows neither a transport
//! nor JSON, and it meets `frame` and `acceptor` only in the gateway.

#![forbid(unsafe_code)]
