//! `[clients]`, `[history]`, `[http]` and `[cors]`: what clients may do and what is kept for them.

use std::time::Duration;

use crate::config::{
    SlowReader,
    bound::{GIB, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, bound, optional},
    keys::section,
    origins::Origins,
    patterns::Patterns,
};

section! {
    /// What one client may take and do, on every transport.
    "clients", Once => Clients

    /// Outgoing bytes kept for a client that reads slowly. Beyond it, nothing more is read from
    /// that client until it has caught up, and its events wait in the history.
    queue_bytes_max [Live]: usize = Size(bound(
        KIB,
        64 * KIB,
        64 * MIB,
        "beyond the kernel's own send buffer; answers that are being written when it is reached \
         are kept too, so a slow client may cost this and the answers to its commands of one turn \
         (128 KiB, or more if they were compressed)",
    ));

    /// What happens to a client that reads so slowly that its events have left the history: "gap"
    /// tells it which it has missed and goes on; "close" closes its connection with 1013 and a
    /// cursor to resume from.
    slow_reader [Live]: SlowReader = Word(SlowReader::WORDS, "gap");

    /// Recipients that one event may list.
    recipients_max [Restart]: usize = Count(bound(
        1,
        1000,
        10_000,
        "each one is looked up, and named in the answer; use a topic to reach more clients",
    ));

    /// Levels of arrays and objects in the data of an event, from clients and from the application;
    /// deeper data is refused.
    data_depth_max [Restart]: usize = Count(bound(
        1,
        128,
        100_000,
        "Serde's own bound, and an eighth of Python's; parsers of receivers that recurse fail on \
         deep data",
    ));

    /// Topics that one connection may be subscribed to.
    subscriptions_max [Live]: usize = Count(bound(
        1,
        100,
        10_000,
        "each one is an entry in its core's tables, and one more search when the client resumes",
    ));

    /// The last events of a topic that a client is sent when it subscribes with `last`; a greater
    /// number counts as this one.
    last_events_max [Live]: usize = Count(bound(
        1,
        100,
        10_000,
        "as many as a page shows when it opens; a client may request this many of each topic, and \
         they are read from the history like events that it missed",
    ));

    /// The clients that clients may notify; "*" at the end of a name stands for any rest. Others
    /// are "denied" in the outcome. With an empty list only the application may notify.
    may_notify [Live]: Patterns = Patterns(&["*"]);

    /// The topics that clients may publish to, in the same form.
    may_publish [Live]: Patterns = Patterns(&["*"]);

    /// The topics that clients may subscribe to, in the same form.
    may_subscribe [Live]: Patterns = Patterns(&["*"]);
}

const EVENTS_MAX: u64 = 16_777_216;
const AGE_MS_MAX: u64 = 7 * 24 * HOUR_MS;
const PERCENT: u64 = 100;

section! {
    /// Events that are kept for clients that were away, until the first of these bounds. They are
    /// held in memory.
    "history", Once => History

    /// Events that are kept.
    events_max [Restart]: u64 = Count(bound(
        1,
        100_000,
        EVENTS_MAX,
        "five minutes of 300 events a second; each takes memory in addition to its own bytes",
    ));

    /// Bytes of the events that are kept, at least websocket.message_bytes_max.
    bytes_max [Restart]: u64 = Size(bound(
        64 * KIB,
        64 * MIB,
        64 * GIB,
        "100,000 events of some 650 bytes; memory is allocated as they arrive and released as they \
         leave",
    ));

    /// How long an event is kept.
    age_max [Restart]: Duration = Duration(bound(
        SECOND_MS,
        5 * MINUTE_MS,
        AGE_MS_MAX,
        "long enough for a tunnel, a restart or a change of networks; a client that was away for \
         longer asks the application anyway",
    ));

    /// The share of the history, in percent, that one client may take from others. An event of a
    /// client that has more is refused if it would displace, before their time, events that are
    /// within all shares; 100 is no limit. Clients without a token count together: all with the same
    /// certificate, else all at one address.
    client_share [Restart]: u32 = Count(bound(
        1,
        12,
        PERCENT,
        "six clients would have to join to displace the events of others, and in five minutes 12,000 \
         events are 40 a second",
    ));

    /// As client_share, for all events of one topic from clients.
    topic_share [Restart]: u32 = Count(bound(
        1,
        40,
        PERCENT,
        "a busy topic leaves more than half of the history to others",
    ));

    /// As client_share, for all events from clients to one recipient.
    recipient_share [Restart]: u32 = Count(bound(
        1,
        30,
        PERCENT,
        "the events kept for one absent client leave most of the history to others",
    ));

    /// As client_share, for the application's events; topic_share and recipient_share do not apply to
    /// them. All keys of the private API have it together, but a key that has less than an equal part of
    /// it is not refused.
    application_share [Restart]: u32 = Count(bound(
        1,
        100,
        PERCENT,
        "the application is trusted to know what it publishes",
    ));

    /// Bytes of the outcomes of commands, which are kept for two minutes so that a repeated command
    /// is performed once. When they are used up, the oldest outcome of the client with the most of
    /// them is forgotten. The last 16 of each client stay; if there are no others, further commands
    /// are refused.
    outcome_bytes_max [Restart]: usize = Size(bound(
        64 * KIB,
        64 * MIB,
        4 * GIB,
        "a quarter of a million short outcomes, or 16 of each of 16,000 clients; memory is allocated as \
         they are needed",
    ));
}

section! {
    /// Topics that keep less than the history does: the last events of each, or each for a shorter
    /// time. Write the section once for each pattern, in a file; the first one that matches a topic
    /// counts. Events that a topic no longer keeps are reported as a gap. At most 64.
    "history.topic", InFile("pattern") => HistoryTopic

    /// The topics: a name, or the beginning of names and "*".
    pattern [Restart]: String = Pattern("news.*");

    /// The last events of each topic that are kept; at most history.events_max, which is the
    /// default.
    events_max [Restart]: Option<u64> = Count(optional(
        1,
        100,
        EVENTS_MAX,
        "a topic cannot keep more than the history",
    )), at most "history.events_max" which "bounds every topic";

    /// How long an event is kept; at most history.age_max, which is the default.
    age_max [Restart]: Option<Duration> = Duration(optional(
        SECOND_MS,
        MINUTE_MS,
        AGE_MS_MAX,
        "a topic cannot keep an event for longer than the history",
    )), at most "history.age_max" which "bounds every topic";
}

section! {
    /// The transports other than WebSocket: /poll, /sse, /stream, /send.
    "http", Once => Http

    /// How long /poll waits for an event when the client does not say; at most poll_wait_max.
    poll_wait [Live]: Duration = Duration(bound(
        0,
        25 * SECOND_MS,
        HOUR_MS,
        "under the 30 s after which the strictest proxies time out",
    )), at most "http.poll_wait_max" which "bounds it";

    /// How long a client may have /poll wait; a longer time is reduced to it.
    poll_wait_max [Live]: Duration = Duration(bound(
        0,
        MINUTE_MS,
        HOUR_MS,
        "most proxies time out after a minute; a vanished client is noticed only at the end of its \
         wait",
    ));

    /// Bytes of events in one answer to /poll; the next answer continues from there. One event
    /// always fits.
    poll_bytes_max [Live]: usize = Size(bound(
        KIB,
        MIB,
        64 * MIB,
        "the answer is held in memory until the client has read it; a client that was away asks \
         again",
    ));

    /// How long clients of /sse are told to wait before they connect again.
    retry [Live]: Duration = Duration(bound(
        0,
        2 * SECOND_MS,
        5 * MINUTE_MS,
        "browsers wait 3 to 5 s by default; when a gateway restarts, all of its clients come back \
         within this",
    ));
}

section! {
    /// Which web pages of other origins may use the gateway: open a WebSocket, and use /poll, /sse,
    /// /stream and /send and read the answers. Other pages are refused with 403; the gateway's own
    /// pages and programs are not.
    "cors", Once => Cors

    /// Origins whose pages may use the gateway; "*" is every origin.
    allowed_origins [Live]: Origins = Origins;
}
