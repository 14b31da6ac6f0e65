//! HTTP/1.1 on the edge listener: requests in, responses out, keep-alive and pipelining.
//!
//! It reads the body of `POST /send` only. Any other request that announces one is answered, and
//! its connection closed.

pub mod action;
pub mod admission;
pub mod connect_params;
pub mod cors;
mod files;
pub mod forwarded;
pub mod limiter;
pub mod proxy_header;
mod request;
pub mod requests;
pub mod response;
pub mod routes;
pub mod site;
#[cfg(test)]
mod tests;
pub mod token;
