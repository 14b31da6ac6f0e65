//! `[[hook]]`: the application's own server, which is asked before something happens, or told of it.

use std::time::Duration;

use crate::config::{
    HookEvent, HookUrl, OnFailure,
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    field_names::FieldNames,
    keys::section,
    patterns::Patterns,
};

section! {
    /// The application that is asked by HTTP: write the section once for each of its URLs, in a file. It
    /// decides what clients may do, and answers their requests; each question is for one hook only. It is
    /// also told, any number of hooks may be, what has happened. At most 16.
    "hook", InFile("url") => Hook

    /// What it is asked about. "connect" says who a client is, before its connection is accepted;
    /// "subscribe", "publish", "notify" and "refresh" allow or refuse a command; "request" answers
    /// one. It is told of "disconnect", "unsubscribe" and "event", an event that was published, as
    /// CloudEvents.
    events [Restart]: Vec<HookEvent> = Words(HookEvent::WORDS, "connect");

    /// With false it is asked nothing: it is told of each "connect" and "subscribe", and nobody waits.
    waits [Restart]: bool = Switch(true);

    /// Where it is asked, with POST: http://, https://, or unix:, the path of a socket, ":" and the
    /// path of the request.
    url [Restart]: HookUrl = HookUrl("http://127.0.0.1:3000/ringway");

    /// How long an answer may take, with the wait for its turn.
    timeout [Restart]: Duration = Duration(bound(
        10,
        2 * SECOND_MS,
        MINUTE_MS,
        "a client waits for as long; an application that is slower counts as down",
    ));

    /// What happens if there is no usable answer in time: "deny" refuses; "allow" goes on as if there
    /// were no hook. A request is never answered without its application.
    on_failure [Restart]: OnFailure = Word(OnFailure::WORDS, "deny");

    /// Requests to the application at the same time, each on its own connection; the others wait for
    /// their turn.
    in_flight_max [Restart]: usize = Count(bound(
        1,
        64,
        4096,
        "64 requests of 10 ms each are 6,400 a second; many applications serve fewer at once",
    ));

    /// How long an answer counts for the same question, if it does not say so itself; "0s" asks each
    /// time. Requests are never answered from memory.
    cache_time [Restart]: Duration = Duration(bound(
        0,
        0,
        HOUR_MS,
        "what the application has changed its mind about counts for as long",
    ));

    /// Header fields of a client's request that "connect" is told.
    headers [Restart]: FieldNames = FieldNames("cookie");

    /// The topics of which "event" tells.
    topics [Restart]: Patterns = Patterns(&["*"]);

    /// Events that it is told of in one request. With more than one, each request has an array of
    /// them (application/cloudevents-batch+json).
    batch_max [Restart]: usize = Count(bound(
        1,
        1,
        1000,
        "an application that takes no batches gets one event a request",
    ));

    /// Events that wait for it; beyond this, it is not told of more, which
    /// ringway_notifications_rejected_total counts.
    queue_max [Restart]: usize = Count(bound(
        1,
        10_000,
        1_000_000,
        "some minutes of an application that restarts, in some megabytes",
    ));

    /// A file with the secret that signs what it is told, in the field Ringway-Signature. One line end at
    /// its end does not count.
    secret_file [Restart]: Option<String> = OptionalText("/etc/ringway/hook.secret");

    /// The environment variable with that secret. Its name must not begin with RINGWAY_.
    secret_env [Restart]: Option<String> = OptionalText("HOOK_SECRET");

    /// A file with the secret that will replace it: what is told is signed with both.
    next_secret_file [Restart]: Option<String> = OptionalText("/etc/ringway/hook.next.secret");
}

impl Hook {
    /// Whether it is asked about this.
    pub fn is_asked(&self, event: HookEvent) -> bool {
        self.waits && event.has_answer() && self.events.contains(&event)
    }

    /// Whether it is told of this.
    pub fn is_told(&self, event: HookEvent) -> bool {
        (!self.waits || !event.has_answer()) && self.events.contains(&event)
    }
}
