//! `[[hook]]`: the application's own server, which is asked before something happens.

use std::time::Duration;

use crate::config::{
    HookEvent, HookUrl, OnFailure,
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    field_names::FieldNames,
    keys::section,
};

section! {
    /// The application that is asked by HTTP: write the section once for each of its URLs, in a file. It
    /// decides who may connect. Each event is for one hook only. At most 16.
    "hook", InFile("url") => Hook

    /// What it is asked about. "connect" says who a client is and what it may do, before its
    /// connection is accepted.
    events [Restart]: Vec<HookEvent> = Words(HookEvent::SERVED, "connect");

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
    /// were no hook.
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
    /// time.
    cache_time [Restart]: Duration = Duration(bound(
        0,
        0,
        HOUR_MS,
        "what the application has changed its mind about counts for as long",
    ));

    /// Header fields of a client's request that "connect" is told.
    headers [Restart]: FieldNames = FieldNames("cookie");
}
