//! The protocols of the servers: for each load, the URLs that clients use and the messages that they
//! send. Never starts a server, and never decides which of them take part.

use std::net::SocketAddr;

use super::cases::{Case, Client, Form, Load, Transport};
use super::compare::{Publisher, Target};

/// The protocol that clients use with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Ringway's subprotocol.
    Ringway,
    /// Messages for `/publish` go to `/subscribe`; elsewhere they are echoed.
    Relay,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub clients: SocketAddr,
    /// For publishers that send requests.
    pub api: SocketAddr,
}

const SUBSCRIBE: &str = "/ws?client=subscriber-{n}&topic=fan";

impl Dialect {
    /// What the load generator is told about a server, for this case.
    pub fn target(self, case: &Case, name: &'static str, pids: Vec<u32>, at: Addresses) -> Target {
        let Addresses { clients, api } = at;
        let (scheme, path) = self.url(case);
        let publisher = self.publisher(case).map(|(scheme, path, message)| Publisher {
            url: match (self, scheme) {
                (Self::Ringway, "http") => format!("http://{api}{path}"),
                (_, "ws") if case.tls.is_some() => format!("wss://{clients}{path}"),
                _ => format!("{scheme}://{clients}{path}"),
            },
            message: message.to_owned(),
        });
        let cursor = match (self, case.load) {
            (Self::Ringway, Load::Return { .. })
            | (Self::Ringway, Load::Fanout { transport: Transport::LongPoll, .. }) => {
                Some("cursor")
            }
            // Entity tags and modification times are passed on without a cursor field.
            _ => None,
        };
        let message = match (case.load, self) {
            (Load::Direct, Self::Ringway) => Some(
                r#"{"type":"notify","id":"{sequence}","to":["client-{to}"],"data":"{stamp}{body}"}"#,
            ),
            (Load::Direct, Self::Relay) => Some("client-{to} {stamp}{body}"),
            _ => None,
        };
        let url = format!("{scheme}://{clients}{path}");
        Target { name, pids, authority: None, url, cursor, message, publisher }
    }

    /// The scheme and the path of the clients' URL.
    fn url(self, case: &Case) -> (&'static str, &'static str) {
        let path = match (case.load, self) {
            (Load::Echo { .. } | Load::Churn | Load::Idle(Client::Bare), Self::Ringway) => "/echo",
            (Load::Echo { .. } | Load::Churn | Load::Idle(Client::Bare), Self::Relay) => "/",
            (Load::Direct, Self::Ringway) => "/ws?client=client-{n}",
            (Load::Direct, Self::Relay) => "/direct/client-{n}",
            (Load::Fanout { transport, .. }, Self::Ringway) => match transport {
                Transport::WebSocket => SUBSCRIBE,
                Transport::Sse => "/sse?client=subscriber-{n}&topic=fan",
                Transport::LongPoll => "/poll?client=poller-{n}&topic=fan&wait=60",
            },
            (Load::Fanout { transport, .. }, Self::Relay) => match transport {
                Transport::WebSocket => "/subscribe",
                Transport::Sse => "/events",
                Transport::LongPoll => "/poll",
            },
            (Load::Return { .. }, Self::Relay) => "/kept",
            (Load::Post { .. } | Load::Idle(Client::Subscriber), Self::Relay) => "/subscribe",
            (
                Load::Post { .. } | Load::Idle(Client::Subscriber) | Load::Return { .. },
                Self::Ringway,
            ) => SUBSCRIBE,
            (Load::Log, _) => unreachable!("the log is measured without a server"),
        };
        let scheme = match case.load {
            Load::Fanout { transport: Transport::Sse | Transport::LongPoll, .. } => "http",
            _ if case.tls.is_some() => "wss",
            _ => "ws",
        };
        (scheme, path)
    }

    /// The scheme and the path of the publishers' URL, and their message.
    fn publisher(self, case: &Case) -> Option<(&'static str, &'static str, &'static str)> {
        Some(match (case.load, self) {
            (Load::Fanout { .. }, Self::Ringway) => (
                "ws",
                "/ws?client=publisher&topic=nobody",
                r#"{"type":"publish","id":"{stamp}","topic":"fan","data":"{stamp}{body}"}"#,
            ),
            (Load::Fanout { .. }, Self::Relay) if case.form == Form::Deflate => {
                ("ws", "/publish-deflate", "{stamp}{body}")
            }
            (Load::Fanout { .. }, Self::Relay) => ("ws", "/publish", "{stamp}{body}"),
            (Load::Post { .. }, Self::Ringway) => {
                ("http", "/v1/publish", r#"{"topic":"fan","data":"{stamp}{body}"}"#)
            }
            (Load::Post { .. }, Self::Relay) => ("http", "/publish", "{stamp}{body}"),
            (Load::Return { .. }, Self::Ringway) => {
                ("http", "/v1/publish", r#"{"topic":"fan","data":"BODY"}"#)
            }
            (Load::Return { .. }, Self::Relay) => ("http", "/publish-kept", "BODY"),
            (Load::Echo { .. } | Load::Direct | Load::Churn | Load::Idle(_) | Load::Log, _) => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{CASES, Method};
    use super::*;

    fn target(dialect: Dialect, case: &str) -> Target {
        let case = CASES.iter().find(|one| one.name == case).unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        dialect.target(
            case,
            "some",
            vec![7],
            Addresses { clients: address(8080), api: address(8081) },
        )
    }

    #[test]
    fn requests_of_publishers_go_to_the_private_api() {
        let publisher = target(Dialect::Ringway, "post").publisher.unwrap();
        assert_eq!(publisher.url, "http://127.0.0.1:8081/v1/publish");
        let publisher = target(Dialect::Relay, "post").publisher.unwrap();
        assert_eq!(publisher.url, "http://127.0.0.1:8080/publish");
        let publisher = target(Dialect::Ringway, "fanout-1000").publisher.unwrap();
        assert!(publisher.url.starts_with("ws://127.0.0.1:8080/ws?"), "{}", publisher.url);
    }

    #[test]
    fn both_sides_of_a_case_over_tls_are_encrypted() {
        for dialect in [Dialect::Ringway, Dialect::Relay] {
            let target = target(dialect, "wss-fanout-1000");
            let publisher = target.publisher.unwrap();
            assert!(target.url.starts_with("wss://") && publisher.url.starts_with("wss://"));
        }
    }

    #[test]
    fn a_poll_and_a_return_have_a_cursor_where_the_server_has_one() {
        assert_eq!(target(Dialect::Ringway, "long-poll").cursor, Some("cursor"));
        assert_eq!(target(Dialect::Ringway, "return").cursor, Some("cursor"));
        assert_eq!(target(Dialect::Relay, "long-poll").cursor, None);
        assert_eq!(target(Dialect::Ringway, "sse").cursor, None);
        assert_eq!(target(Dialect::Ringway, "sse").url.split(':').next(), Some("http"));
    }

    #[test]
    fn every_case_with_servers_has_a_url_in_each_dialect() {
        for case in CASES.iter().filter(|case| case.method() != Method::Program) {
            for dialect in [Dialect::Ringway, Dialect::Relay] {
                let target = target(dialect, case.name);
                assert!(target.url.contains("127.0.0.1:8080/"), "{}", target.url);
                assert_eq!(target.message.is_some(), case.load == Load::Direct);
            }
        }
    }
}
