//! The settings of all connections of a process: resolved, immutable, shared by all cores.
//!
//! They are the sections of the configuration that the data path reads, with every "auto" resolved.
//! No file is read here and no key is defined: the keys are in the table of the configuration.

use std::sync::Arc;

use ringway_frame::{
    ReadLimits,
    deflate::{ContextTakeover, Level, MemoryLevel, Policy, WindowBits},
};

use crate::{
    config::{
        Auth, Clients, Config, Cors, Deflate, History, HistoryTopic, Hook, HookEvent, Http, Limits,
        Route, Server, Socket, Tls, WebSocket,
    },
    limits::{KERNEL_QUEUE_BYTES, TURN_SENDS_MAX},
};
use ringway_http::head::HeadLimits;

/// The sections of the configuration, and values that depend on the process.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the sections have the documentation of their keys")]
pub struct Settings {
    pub server: Server,
    pub socket: Socket,
    pub tls: Tls,
    pub websocket: WebSocket,
    pub deflate: Deflate,
    pub clients: Clients,
    pub auth: Auth,
    pub history: History,
    pub history_topics: Vec<HistoryTopic>,
    pub http: Http,
    pub cors: Cors,
    pub routes: Vec<Arc<Route>>,
    pub limits: Limits,
    pub hooks: Vec<Hook>,
    /// The process's limit of connections, if it is known.
    pub connections_max: u32,
    /// The limit of bytes buffered for all clients, if it is known.
    pub memory_bytes: u64,
    /// The most sends of events in one turn of a core.
    pub turn_sends_max: usize,
}

impl Settings {
    /// The part of the configuration that connections use.
    pub fn from_config(config: &Config) -> Self {
        let Config { server, listeners: _, socket, tls, websocket, deflate, clients, .. } =
            config.clone();
        let Config { auth, history, history_topics, http, cors, routes, limits, hooks, .. } =
            config.clone();
        Self {
            connections_max: limits.connections_max.exactly().unwrap_or(u32::MAX),
            memory_bytes: limits.memory_bytes.exactly().unwrap_or(u64::MAX),
            turn_sends_max: TURN_SENDS_MAX,
            server,
            socket,
            tls,
            websocket,
            deflate,
            clients,
            auth,
            history,
            history_topics,
            http,
            cors,
            routes: routes.into_iter().map(Arc::new).collect(),
            limits,
            hooks,
        }
    }

    /// These settings with the values of `next` that can be replaced at run time; the others change
    /// only at the next start.
    pub fn replaced_by(&self, next: &Self) -> Self {
        let mut settings = self.clone();
        settings.server.replace_live(&next.server);
        settings.socket.replace_live(&next.socket);
        settings.tls.replace_live(&next.tls);
        settings.websocket.replace_live(&next.websocket);
        settings.deflate.replace_live(&next.deflate);
        settings.clients.replace_live(&next.clients);
        settings.history.replace_live(&next.history);
        settings.http.replace_live(&next.http);
        settings.cors.replace_live(&next.cors);
        settings.limits.replace_live(&next.limits);
        settings.routes = next.routes.iter().map(|route| self.kept_route(route)).collect();
        settings
    }

    /// The application that is asked about this event.
    #[inline]
    pub fn hook(&self, event: HookEvent) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.is_asked(event))
    }

    /// This route of these settings, if they have it already: what belongs to it goes on.
    fn kept_route(&self, next: &Arc<Route>) -> Arc<Route> {
        Arc::clone(self.routes.iter().find(|route| *route == next).unwrap_or(next))
    }

    /// The limits of a request head.
    pub fn head(&self) -> HeadLimits {
        HeadLimits {
            bytes_max: self.limits.header_bytes_max,
            fields_max: self.limits.header_fields_max,
            target_bytes_max: self.limits.target_bytes_max,
        }
    }

    /// The read limits of `/ws`.
    pub fn message(&self) -> ReadLimits {
        self.read_limits(self.websocket.message_bytes_max)
    }

    /// The read limits of `/echo`.
    pub fn echo(&self) -> ReadLimits {
        self.read_limits(self.websocket.echo_message_bytes_max)
    }

    /// Without its own limit a frame is bounded by the message limit, plus a little: a compressed
    /// message may be slightly longer than the message.
    fn read_limits(&self, message_bytes_max: usize) -> ReadLimits {
        let frame_bytes_max = self.websocket.frame_bytes_max.exactly();
        ReadLimits {
            frame_bytes_max: frame_bytes_max.map_or(u64::MAX, |bytes| bytes as u64),
            message_bytes_max: message_bytes_max as u64,
        }
    }

    /// The policy for permessage-deflate; `None` refuses it.
    pub fn deflate_policy(&self) -> Option<Policy> {
        self.deflate.enabled.then(|| policy(&self.deflate))
    }

    /// The bytes that the kernel may keep for a client that does not read, by TCP_NOTSENT_LOWAT and
    /// SO_SNDBUF.
    pub fn kernel_queue_bytes(&self) -> usize {
        let Socket { notsent_lowat_bytes, send_buffer_bytes, .. } = &self.socket;
        let bounds = [notsent_lowat_bytes.exactly(), send_buffer_bytes.exactly()];
        let least = bounds.into_iter().flatten().min();
        least.map_or(KERNEL_QUEUE_BYTES as usize, |bytes| bytes as usize)
    }
}

fn policy(deflate: &Deflate) -> Policy {
    let takeover =
        |allowed| if allowed { ContextTakeover::Allowed } else { ContextTakeover::Forbidden };
    let checked = "the configuration has checked the range";
    Policy {
        level: Level::new(deflate.level).expect(checked),
        memory_level: MemoryLevel::new(deflate.memory_level).expect(checked),
        server_context_takeover: takeover(deflate.server_context_takeover),
        client_context_takeover: takeover(deflate.client_context_takeover),
        server_window_bits_max: WindowBits::new(deflate.server_window_bits_max).expect(checked),
        client_window_bits_max: WindowBits::new(deflate.client_window_bits_max).expect(checked),
    }
}
