//! The configuration: read from all its sources, checked as a whole, and then immutable. Every
//! value of a `Config` is within the range and the relations that `table` states. Nothing here
//! opens a socket or asks the kernel for its limits.

pub mod api_hosts;
pub mod balance;
mod bound;
mod check;
mod cores;
mod defaults;
mod descriptors;
mod error;
pub mod field_names;
mod file;
mod hook_url;
mod hooks;
mod keys;
pub mod origins;
mod page_origin;
pub mod patterns;
mod read;
pub mod reference;
mod relations;
mod resolve;
pub mod routes;
pub mod settings;
mod source;
pub mod spelling;
mod table;
#[cfg(test)]
mod tests;
pub mod tls;
mod topics;
mod units;
pub mod upstream_url;
mod value;
mod words;

use std::net::SocketAddr;

use file::Tables;

pub use bound::{Bound, Preset};
pub use check::{check, exposed_file};
pub use cores::{Cores, CoresError};
pub use defaults::defaults_text;
pub use descriptors::DescriptorsError;
pub use error::ConfigError;
pub use hook_url::HookUrl;
pub use keys::{FILE_VARIABLE, VARIABLE_PREFIX, bound_of};
pub use source::{Flag, Sources};
pub use table::{
    ApiKey, Auth, AuthKey, Certificate, Clients, Cors, Deflate, History, HistoryTopic, Hook, Http,
    Limits, Listener, Log, Route, Server, Socket, Tls, WebSocket,
};
pub use words::{
    ApiScope, ClientCertificates, FastSender, ForwardedFields, ForwardedHeader, HookEvent, Io,
    LogFormat, LogLevel, OnFailure, SlowReader, SocketMode, TlsVersion, TokenAlgorithm, Wait,
};

/// The gateway's configuration, from [`Config::load`] or the default. The fields are only for
/// reading.
///
/// ```
/// use ringway::config::Config;
/// let config = Config::default();
/// assert_eq!(config.listeners[0].address, "127.0.0.1:8080".parse().unwrap());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[[server.api_key]]`: the keys of the private API. Without one, it asks for none.
    pub api_keys: Vec<ApiKey>,
    /// `[[listener]]`: at least one, no address twice.
    pub listeners: Vec<Listener>,
    /// `[socket]`
    pub socket: Socket,
    /// `[tls]`
    pub tls: Tls,
    /// `[[tls.certificate]]`: the first is the default.
    pub certificates: Vec<Certificate>,
    /// `[websocket]`
    pub websocket: WebSocket,
    /// `[websocket.deflate]`
    pub deflate: Deflate,
    /// `[clients]`
    pub clients: Clients,
    /// `[history]`
    pub history: History,
    /// `[[history.topic]]`: topics that keep less; the first match counts.
    pub history_topics: Vec<HistoryTopic>,
    /// `[auth]`
    pub auth: Auth,
    /// `[[auth.key]]`: the keys of tokens. Without one, clients name themselves.
    pub auth_keys: Vec<AuthKey>,
    /// `[[hook]]`: the application that is asked; no event is in two of them.
    pub hooks: Vec<Hook>,
    /// `[http]`
    pub http: Http,
    /// `[cors]`
    pub cors: Cors,
    /// `[[route]]`: paths that other servers serve; no path twice.
    pub routes: Vec<Route>,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

impl Config {
    fn read(tables: &Tables) -> Self {
        let once = &tables.once;
        let listeners = tables.each(Listener::SECTION).iter().map(Listener::read);
        let api_keys = tables.each(ApiKey::SECTION).iter().map(ApiKey::read);
        let auth_keys = tables.each(AuthKey::SECTION).iter().map(AuthKey::read);
        let hooks = tables.each(Hook::SECTION).iter().map(Hook::read);
        let history_topics = tables.each(HistoryTopic::SECTION).iter().map(HistoryTopic::read);
        let routes = tables.each(Route::SECTION).iter().map(Route::read);
        let certificates = tables.each(Certificate::SECTION).iter().map(Certificate::read);
        Self {
            server: Server::read(once),
            api_keys: api_keys.collect(),
            listeners: listeners.collect(),
            socket: Socket::read(once),
            tls: Tls::read(once),
            certificates: certificates.collect(),
            websocket: WebSocket::read(once),
            deflate: Deflate::read(once),
            clients: Clients::read(once),
            history: History::read(once),
            history_topics: history_topics.collect(),
            auth: Auth::read(once),
            auth_keys: auth_keys.collect(),
            hooks: hooks.collect(),
            http: Http::read(once),
            cors: Cors::read(once),
            routes: routes.collect(),
            limits: Limits::read(once),
            log: Log::read(once),
        }
    }
}

/// A duration as the configuration has it, such as `"90s"`.
///
/// # Errors
/// How to write it.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(ringway::config::parse_duration("1h"), Ok(Duration::from_secs(3600)));
/// assert!(ringway::config::parse_duration("1").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    units::parse_duration_ms(text)
        .map(std::time::Duration::from_millis)
        .map_err(|_| "a whole number and a unit (ms, s, m or h), such as 1h".to_owned())
}

/// Who can open a connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only processes on this machine: a loopback address.
    ThisMachine,
    /// Other machines too.
    OtherMachines,
}

impl Reach {
    /// Who can connect to this address.
    ///
    /// ```
    /// use ringway::config::Reach;
    /// assert_eq!(Reach::of("[::1]:80".parse().unwrap()), Reach::ThisMachine);
    /// assert_eq!(Reach::of("0.0.0.0:80".parse().unwrap()), Reach::OtherMachines);
    /// ```
    pub fn of(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() {
            Self::ThisMachine
        } else {
            Self::OtherMachines
        }
    }
}

/// A value, or the word `"auto"` for a value that depends on something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic<T> {
    /// The value depends on something else.
    Auto,
    /// This value.
    Exactly(T),
}

impl<T> Automatic<T> {
    /// The value, unless it is `"auto"`.
    pub fn exactly(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Exactly(value) => Some(value),
        }
    }
}
