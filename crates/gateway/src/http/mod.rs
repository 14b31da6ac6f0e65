//! HTTP/1.1 on the edge listener: request heads in, responses out, keep-alive and pipelining.
//!
//! It reads heads only. A request that announces a body is answered and its connection closed.

pub mod connection;
pub mod head;
pub mod refusal;
pub mod response;
pub mod routes;
mod scan;
