//! The metrics in the text format of Prometheus: one family after the other, each with its help and
//! its type.
//!
//! The cores' counters are summed when they are requested. Nothing here counts.

mod notifications;

use std::{
    fmt::{Display, Write},
    time::UNIX_EPOCH,
};

use axum::http::HeaderValue;
use ringway_tls::Reason;

use crate::{
    broker::crowding::UsedUp,
    control::api::Api,
    log,
    metrics::{CoreMetrics, Counter},
    rates::PauseReason,
    refusal::{EndReason, ErrorClass, ErrorCode},
};

/// The media type, with the version of the format.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// How a number behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Where each core keeps a counter.
type Place = fn(&CoreMetrics) -> &Counter;

/// A family with one counter for each core: its name, its type, its help, and its counter.
type Row = (&'static str, Kind, &'static str, Place);

const ROWS: [Row; 15] = [
    ("ringway_connections", Kind::Gauge, "Connections held.", |core| &core.connections),
    ("ringway_accepted_total", Kind::Counter, "Connections accepted.", |core| &core.accepted),
    ("ringway_received_bytes_total", Kind::Counter, "Bytes received.", |core| &core.received_bytes),
    ("ringway_sent_bytes_total", Kind::Counter, "Bytes handed to sockets.", |core| {
        &core.sent_bytes
    }),
    (
        "ringway_short_sends_total",
        Kind::Counter,
        "Sends that a socket accepted only in part.",
        |core| &core.short_sends,
    ),
    ("ringway_buffer_shortages_total", Kind::Counter, "Receives that found no buffer.", |core| {
        &core.buffer_shortages
    }),
    ("ringway_turns_total", Kind::Counter, "Turns of the event loops.", |core| &core.turns),
    ("ringway_deliveries_total", Kind::Counter, "Events sent to clients.", |core| &core.deliveries),
    ("ringway_lagged_total", Kind::Counter, "Times that a client fell behind.", |core| {
        &core.lagged
    }),
    ("ringway_handshakes_total", Kind::Counter, "TLS handshakes completed.", |core| {
        &core.handshakes
    }),
    ("ringway_handshakes_in_progress", Kind::Gauge, "TLS handshakes in progress.", |core| {
        &core.handshakes_in_progress
    }),
    (
        "ringway_proxied_requests_total",
        Kind::Counter,
        "Requests that were passed on to the servers of routes.",
        |core| &core.proxied,
    ),
    ("ringway_relays", Kind::Gauge, "WebSockets that other servers serve.", |core| &core.relays),
    (
        "ringway_relays_refused_total",
        Kind::Counter,
        "WebSockets that the server of a route has refused.",
        |core| &core.relays_refused,
    ),
    ("ringway_gaps_total", Kind::Counter, "Gaps reported to clients.", |core| &core.gaps),
];

/// A family with several counters for each core, distinguished by a label.
struct Split<const COUNT: usize> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    label: &'static str,
    values: [(&'static str, Place); COUNT],
}

const SESSIONS: Split<5> = Split {
    name: "ringway_sessions",
    kind: Kind::Gauge,
    help: "Clients that receive events, by transport.",
    label: "transport",
    values: [
        ("websocket", |core| &core.sessions.websocket),
        ("sse", |core| &core.sessions.sse),
        ("stream", |core| &core.sessions.stream),
        ("iframe", |core| &core.sessions.iframe),
        ("long-poll", |core| &core.sessions.long_poll),
    ],
};

const REFUSED: Split<4> = Split {
    name: "ringway_refused_total",
    kind: Kind::Counter,
    help: "Clients refused when they connected, by reason.",
    label: "reason",
    values: [
        ("full", |core| &core.refused.full),
        ("address_full", |core| &core.refused.address_full),
        ("no_descriptor", |core| &core.refused.no_descriptor),
        ("memory", |core| &core.refused.memory),
    ],
};

const CLOSED: Split<5> = Split {
    name: "ringway_closed_total",
    kind: Kind::Counter,
    help: "Clients closed for what they took or sent, by reason.",
    label: "reason",
    values: [
        ("memory", |core| &core.closed_for_memory),
        ("message_timeout", |core| &core.messages_timed_out),
        ("channel", |core| &core.channel_errors),
        ("handshake", |core| &core.handshakes_given_up),
        ("handshake_rate", |core| &core.handshakes_over_rate),
    ],
};

/// The whole text.
pub fn text(api: &Api) -> String {
    let cores: Vec<&CoreMetrics> = api.metrics.iter().map(|core| &**core).collect();
    let mut families = Families::default();
    families
        .begin("ringway_engine", Kind::Gauge, "The I/O engine that runs, as a label.")
        .labelled("engine", &api.engine, 1);
    for (name, kind, help, of) in ROWS {
        families.begin(name, kind, help).value(sum(&cores, of));
    }
    families.split(&cores, &SESSIONS);
    families.split(&cores, &REFUSED);
    families.split(&cores, &CLOSED);
    refusals(&cores, &mut families);
    events(api, &mut families);
    memory(api, &cores, &mut families);
    certificates(api, &mut families);
    private_api(api, &mut families);
    issuer_keys(api, &mut families);
    notifications::write(api, &mut families);
    families
        .begin(
            "ringway_log_lines_dropped_total",
            Kind::Counter,
            "Log lines dropped because nobody \
                                                                  read them.",
        )
        .value(log::lines_dropped());
    families.text
}

/// The families whose labels are the words of the log.
fn refusals(cores: &[&CoreMetrics], families: &mut Families) {
    families.by_reason(
        "ringway_refused_requests_total",
        "Refused requests of clients, by fault.",
        ErrorClass::ALL.iter().map(|class| {
            (class.as_str(), sum(cores, |core| &core.refused_requests[*class as usize]))
        }),
    );
    families.by_reason(
        "ringway_refused_commands_total",
        "Refused commands of clients, by code.",
        ErrorCode::ALL.iter().map(|code| {
            (code.as_str(), sum(cores, |core| &core.refused_commands.0[*code as usize]))
        }),
    );
    families.by_reason(
        "ringway_paused_total",
        "Pauses in which nothing was read from a client, by reason.",
        PauseReason::ALL
            .iter()
            .map(|reason| (reason.as_str(), sum(cores, |core| &core.paused[*reason as usize]))),
    );
    families.by_reason(
        "ringway_ended_total",
        "Connections that have ended, by reason.",
        EndReason::ALL
            .iter()
            .map(|reason| (reason.as_str(), sum(cores, |core| &core.ended.0[*reason as usize]))),
    );
    families.by_reason(
        "ringway_handshakes_failed_total",
        "Failed TLS handshakes, by reason.",
        Reason::WORDS
            .into_iter()
            .enumerate()
            .map(|(number, reason)| (reason, sum(cores, |core| &core.handshakes_failed[number]))),
    );
}

fn certificates(api: &Api, families: &mut Families) {
    let Some(server) = &api.tls else { return };
    let name = "ringway_certificate_expiry_seconds";
    let help = "When each certificate expires, in seconds since 1970, by its file.";
    let mut family = families.begin(name, Kind::Gauge, help);
    for pair in server.certificates().pairs() {
        let path = pair.files().certificate.display().to_string();
        let not_after = pair.description().not_after.duration_since(UNIX_EPOCH);
        family.labelled("file", &escaped(&path), not_after.unwrap_or_default().as_secs());
    }
}

fn private_api(api: &Api, families: &mut Families) {
    let help = "Where the private API listens, as a label.";
    let mut family = families.begin("ringway_private_listener", Kind::Gauge, help);
    family.labelled("at", &escaped(&api.listener), 1);
    families.by_reason(
        "ringway_private_refused_total",
        "Requests that the private API refused for their key, by reason.",
        api.keys.refused(),
    );
    let mut keys = api.keys.admitted().peekable();
    if keys.peek().is_some() {
        let name = "ringway_private_requests_total";
        let help = "Requests of the private API that were admitted by a key, by its name.";
        let mut family = families.begin(name, Kind::Counter, help);
        for (key, count) in keys {
            family.labelled("key", key, count);
        }
    }
}

/// A text as the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn issuer_keys(api: &Api, families: &mut Families) {
    let Some(tokens) = &api.tokens else { return };
    let issuers = tokens.issuers();
    if issuers.sources().is_empty() {
        return;
    }
    let (fetched, failed) = issuers.counts();
    let help = "Fetches of the keys of tokens from their URLs, by outcome.";
    families
        .begin("ringway_key_fetches_total", Kind::Counter, help)
        .labelled("outcome", "success", fetched)
        .labelled("outcome", "failure", failed);
    let help = "Keys of tokens that were fetched from their URLs.";
    families.begin("ringway_fetched_keys", Kind::Gauge, help).value(issuers.fetched_keys());
}

fn events(api: &Api, families: &mut Families) {
    let (log, directory) = (&api.broker.log, &api.broker.directory);
    let (size, head, by_api) = (log.size(), log.head(), api.appended.value());
    families
        .begin("ringway_events_total", Kind::Counter, "Events appended, by kind of sender.")
        .labelled("route", "client", head.saturating_sub(by_api))
        .labelled("route", "api", by_api);
    let help = "Events refused so that others keep theirs, by the limit that is used up.";
    let mut family = families.begin("ringway_refused_events_total", Kind::Counter, help);
    for used_up in UsedUp::ALL {
        family.labelled("limit", used_up.label(), api.broker.crowding.refused(used_up));
    }
    families.begin("ringway_head_sequence", Kind::Gauge, "The newest event's number.").value(head);
    let help = "The oldest kept event's number.";
    families.begin("ringway_first_sequence", Kind::Gauge, help).value(log.first());
    families.begin("ringway_history_events", Kind::Gauge, "Events kept.").value(size.events);
    let help = "Bytes of the events kept, with all their encodings.";
    families.begin("ringway_history_bytes", Kind::Gauge, help).value(size.bytes);
    let help = "Clients that are connected, or that events may be kept for.";
    families.begin("ringway_known_clients", Kind::Gauge, help).value(directory.clients());
    let help = "Connections that read on from the history because they could not keep up.";
    families.begin("ringway_lagging_connections", Kind::Gauge, help).value(directory.behind());
}

fn memory(api: &Api, cores: &[&CoreMetrics], families: &mut Families) {
    let broker = &api.broker;
    let size = broker.log.size();
    let receipts = broker.receipts.bytes(|receipt| receipt.bytes());
    families
        .begin(
            "ringway_memory_bytes",
            Kind::Gauge,
            "Memory of clients and what they share, by part.",
        )
        .labelled("component", "clients", sum(cores, |core| &core.held_bytes))
        .labelled("component", "history", size.bytes)
        .labelled("component", "index", size.index_bytes)
        .labelled("component", "directory", broker.directory.bytes())
        .labelled("component", "receipts", receipts)
        .labelled("component", "idempotency", api.ledger.bytes());
    families
        .begin(
            "ringway_buffered_bytes",
            Kind::Gauge,
            "Bytes that count towards limits.memory_bytes.",
        )
        // Exact, unlike the sum that the cores have reported, which they do in batches.
        .value(sum(cores, |core| &core.held_bytes) + api.memory.held_by_api());
    families
        .begin("ringway_buffered_bytes_max", Kind::Gauge, "The value of limits.memory_bytes.")
        .value(api.memory.limit());
}

fn sum(cores: &[&CoreMetrics], of: impl Fn(&CoreMetrics) -> &Counter) -> u64 {
    cores.iter().map(|core| of(core).value()).sum()
}

/// The text so far. Each family is begun once, and its samples follow.
#[derive(Debug, Default)]
struct Families {
    text: String,
}

/// The family that is being written.
struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

const FITS: &str = "writing to memory cannot fail";

impl Families {
    fn begin(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect(FITS);
        Family { name, text: &mut self.text }
    }

    /// A counter for each reason.
    fn by_reason(
        &mut self,
        name: &'static str,
        help: &'static str,
        counts: impl Iterator<Item = (&'static str, u64)>,
    ) {
        let mut family = self.begin(name, Kind::Counter, help);
        counts.for_each(|(reason, count)| {
            family.labelled("reason", reason, count);
        });
    }

    fn split<const COUNT: usize>(&mut self, cores: &[&CoreMetrics], split: &Split<COUNT>) {
        let mut family = self.begin(split.name, split.kind, split.help);
        for (value, of) in split.values {
            family.labelled(split.label, value, sum(cores, of));
        }
    }
}

impl Family<'_> {
    fn value(&mut self, number: impl Display) {
        let Self { name, text } = self;
        writeln!(text, "{name} {number}").expect(FITS);
    }

    /// `value` is escaped already, or one of our own labels.
    fn labelled(&mut self, label: &str, value: &str, number: impl Display) -> &mut Self {
        let Self { name, text } = self;
        writeln!(text, "{name}{{{label}=\"{value}\"}} {number}").expect(FITS);
        self
    }
}
