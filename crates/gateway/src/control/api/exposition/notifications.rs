//! What has become of what applications are told, by the URL of the hook.

use super::{Families, Kind, escaped};
use crate::{control::api::Api, metrics::Counter, notifications::Counts};

/// A family: its name, its help, and its counter.
type Row = (&'static str, &'static str, fn(&Counts) -> &Counter);

const REJECTED: &str = "ringway_notifications_rejected_total";

const ROWS: [Row; 6] = [
    ("ringway_notifications_taken_total", "Notifications that the hook has taken.", |counts| {
        &counts.taken
    }),
    (REJECTED, "Notifications that were not sent because the queue was full.", |counts| {
        &counts.rejected
    }),
    ("ringway_notifications_refused_total", "Notifications that the hook refused.", |counts| {
        &counts.refused
    }),
    (
        "ringway_notifications_expired_total",
        "Notifications that were given up after failures.",
        |counts| &counts.expired,
    ),
    (
        "ringway_notifications_missed_total",
        "Events that left the history before the hook was told of them.",
        |counts| &counts.missed,
    ),
    (
        "ringway_notification_failures_total",
        "Requests to the hook that failed; what they had is sent again.",
        |counts| &counts.failed,
    ),
];

pub(super) fn write(api: &Api, families: &mut Families) {
    if api.told.is_empty() {
        return;
    }
    let help = "Notifications that wait for the hook, or are being sent.";
    let mut family = families.begin("ringway_notifications_queued", Kind::Gauge, help);
    for told in &api.told {
        family.labelled("hook", &escaped(&told.url), told.counts.queued.value());
    }
    for (name, help, of) in ROWS {
        let mut family = families.begin(name, Kind::Counter, help);
        for told in &api.told {
            let by_feed = match name {
                REJECTED => api.broker.feed.rejected(told.kinds),
                _ => 0,
            };
            family.labelled("hook", &escaped(&told.url), of(&told.counts).value() + by_feed);
        }
    }
}
