//! HTTP/1.1 on the edge listener: requests in, responses out, keep-alive and pipelining.
//!
//! It reads the body of `POST /send` only. Any other request that announces one is answered, and
//! its connection closed.

pub mod api_host;
pub mod body;
pub mod chunk;
pub mod connection;
pub mod cors;
mod files;
pub mod head;
pub mod head_reader;
mod page_origin;
pub mod progress;
pub(crate) mod query;
pub mod refusal;
mod request;
pub mod response;
pub mod routes;
mod scan;
pub mod site;
#[cfg(test)]
mod tests;
pub mod visit;
