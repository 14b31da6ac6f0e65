//! The table of the configuration: one entry for each key, with its name, type, range, default,
//! reason and meaning. The file, the environment, `--set`, the nearest names, `ringway defaults`,
//! `ringway check` and the structs of a [`Config`](super::Config) all follow from it.
//!
//! To add a key, add an entry to its section; to add a section, add it to `SECTIONS` and `Config`.

mod api;
mod auth;
mod clients;
mod hooks;
mod limits;
mod process;
mod route;
mod sockets;
mod tls;
mod websocket;

pub use api::ApiKey;
pub use auth::{Auth, AuthKey};
pub use clients::{Clients, Cors, History, HistoryTopic, Http};
pub use hooks::Hook;
pub use limits::Limits;
pub use process::{Log, Server};
pub use route::Route;
pub use sockets::{Listener, Socket};
pub use tls::{Certificate, Tls};
pub use websocket::{Deflate, WebSocket};

use crate::config::keys::Section;

pub(super) const SECTIONS: &[&Section] = &[
    Server::SECTION,
    ApiKey::SECTION,
    Listener::SECTION,
    Socket::SECTION,
    Tls::SECTION,
    Certificate::SECTION,
    WebSocket::SECTION,
    Deflate::SECTION,
    Clients::SECTION,
    Auth::SECTION,
    AuthKey::SECTION,
    Hook::SECTION,
    History::SECTION,
    HistoryTopic::SECTION,
    Http::SECTION,
    Cors::SECTION,
    Route::SECTION,
    Limits::SECTION,
    Log::SECTION,
];
