//! One application: its queue, what is sent to it, and what becomes of it.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use tracing::{info, warn};

use crate::{
    auth::{
        Secret,
        token::keys::{read_file, shown, without_line_end},
    },
    broker::Broker,
    config::{Hook, HookEvent},
    control::{
        application::{Client, Failure, Response},
        notifying::follower::{self, Follower},
    },
    limits::{
        NOTIFICATION_AGE_MAX, NOTIFICATION_BATCH_BYTES_MAX, NOTIFICATION_DELAY_FIRST,
        NOTIFICATION_DELAY_MAX, NOTIFICATIONS_BYTES_MAX,
    },
    log::sampler::{Sampled, Sampler},
    notifications::{
        Kinds, Told,
        backoff::Backoff,
        cloud_event::{BATCH_MEDIA_TYPE, MEDIA_TYPE, batch},
        queue::{Batch, Bounds, Outcome, Queue},
        signature::Signer,
    },
};

/// The lane of gaps: nothing else has such a name.
const GAPS: &str = "$";

/// Shorter secrets can be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// The kinds of log lines that are sampled.
const REJECTED: usize = 0;
const LOST: usize = 1;
const MISSED: usize = 2;

pub(super) struct Destination {
    /// What it asks for.
    pub kinds: Kinds,
    client: Arc<Client>,
    timeout: Duration,
    signer: Arc<Signer>,
    is_batched: bool,
    queue: Queue<Bytes>,
    follower: Option<Follower>,
    told: Arc<Told>,
    lines: Sampler<3>,
    /// Failures in a row.
    failures: u64,
}

/// A request has ended.
pub(super) struct Ended {
    /// The place of its application.
    pub place: usize,
    batch: Batch<Bytes>,
    outcome: Outcome,
    /// In a word, if it was not taken.
    reason: &'static str,
}

impl Destination {
    /// An application that has not been told anything.
    ///
    /// # Errors
    /// Nothing can be sent to its URL on this system, or a secret cannot be read.
    pub fn new(hook: &Hook, told: &Arc<Told>, broker: &Broker) -> anyhow::Result<Self> {
        let secrets = secrets(hook).with_context(|| format!("[[hook]] {}", hook.url))?;
        let follows = hook.is_told(HookEvent::Event);
        let follower = follows.then(|| Follower::new(hook.topics.clone(), broker));
        Ok(Self {
            kinds: told.kinds,
            client: Arc::new(Client::new(hook)?),
            timeout: hook.timeout,
            signer: Arc::new(Signer::new(secrets.iter().map(Secret::expose))),
            is_batched: hook.batch_max > 1,
            queue: Queue::new(Bounds {
                entries_max: hook.queue_max,
                bytes_max: NOTIFICATIONS_BYTES_MAX,
                batch_max: hook.batch_max,
                batch_bytes_max: NOTIFICATION_BATCH_BYTES_MAX,
                in_flight_max: hook.in_flight_max,
                age_max: NOTIFICATION_AGE_MAX,
                backoff: Backoff {
                    first: NOTIFICATION_DELAY_FIRST,
                    longest: NOTIFICATION_DELAY_MAX,
                },
            }),
            follower,
            told: Arc::clone(told),
            lines: Sampler::default(),
            failures: 0,
        })
    }

    /// Queues an event behind the others of this lane.
    pub fn push(&mut self, lane: &str, body: Bytes, now: Duration) {
        let bytes = body.len();
        if self.queue.push(lane, body, bytes, now).is_ok() {
            return;
        }
        self.told.counts.rejected.add(1);
        if let Sampled::Line { suppressed } = self.lines.judge(REJECTED, now) {
            let (url, queued) = (&self.told.url, self.queue.len());
            warn!(%url, queued, suppressed, "the queue of a hook is full: it is not told of more");
        }
    }

    /// Queues what is new in the log, as long as there is room.
    pub fn follow_log(&mut self, broker: &Broker, now: Duration, number: &mut u64) {
        let Some(follower) = &mut self.follower else { return };
        if !self.queue.is_half_empty() {
            return;
        }
        let queue = &mut self.queue;
        let read = follower.read(broker, |found| {
            let bytes = found.body.len();
            // Half of the queue is free, and an event is smaller than that.
            let pushed = queue.push(&found.lane, found.body, bytes, now);
            match pushed.is_ok() && queue.is_half_empty() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        let Err(gap) = read else { return };
        *number += 1;
        let id = format!("{}.{number}", broker.log.epoch());
        let missed = gap.to - gap.from;
        self.told.counts.missed.add(missed);
        if let Sampled::Line { suppressed } = self.lines.judge(MISSED, now) {
            let url = &self.told.url;
            warn!(%url, missed, suppressed, "events left the history before a hook was told of them");
        }
        self.push(GAPS, follower::gap(gap, &id, broker), now);
    }

    /// Whether it follows the log.
    pub fn follows(&self) -> bool {
        self.follower.is_some()
    }

    /// Whether everything was sent.
    pub fn is_done(&self, broker: &Broker) -> bool {
        self.queue.is_empty()
            && self.follower.as_ref().is_none_or(|follower| follower.is_at_end(broker))
    }

    /// When a request may be sent.
    pub fn next_time(&self, now: Duration) -> Option<Duration> {
        self.queue.next_time(now)
    }

    /// The next request, if one may be sent now.
    pub fn next_request(
        &mut self,
        place: usize,
        now: Duration,
        seconds: u64,
    ) -> Option<impl Future<Output = Ended> + Send + 'static> {
        let next = self.queue.next(now)?;
        let (media_type, body) = match (self.is_batched, next.items.as_slice()) {
            (false, [one]) => (MEDIA_TYPE, one.clone()),
            (_, items) => (BATCH_MEDIA_TYPE, batch(items.iter().map(|item| &**item)).into()),
        };
        let signature = self.signer.sign(seconds, &body);
        let (client, timeout) = (Arc::clone(&self.client), self.timeout);
        Some(async move {
            let sent = tokio::time::timeout(timeout, client.send(media_type, signature, body));
            let (outcome, reason) = judge(sent.await.unwrap_or(Err(Failure::Timeout)));
            Ended { place, batch: next, outcome, reason }
        })
    }

    /// Takes back a request that has ended.
    pub fn complete(&mut self, ended: Ended, now: Duration) {
        let Ended { batch, outcome, reason, .. } = ended;
        let left = self.queue.complete(batch, outcome, now, random);
        self.told.counts.taken.add(left.taken);
        self.told.counts.refused.add(left.refused);
        self.told.counts.expired.add(left.expired);
        let url = &self.told.url;
        if matches!(outcome, Outcome::Failed | Outcome::Unavailable(_)) {
            self.told.counts.failed.add(1);
            self.failures += 1;
            if self.failures == 1 {
                warn!(%url, reason, "a hook does not take what it is told; it is told again");
            }
        } else if self.failures > 0 {
            info!(%url, failures = self.failures, "a hook takes what it is told again");
            self.failures = 0;
        }
        let lost = left.refused + left.expired;
        if lost > 0
            && let Sampled::Line { suppressed } = self.lines.judge(LOST, now)
        {
            let (refused, expired) = (left.refused, left.expired);
            warn!(%url, refused, expired, reason, suppressed, "a hook was not told of something");
        }
    }

    /// Publishes the length of the queue.
    pub fn publish_counts(&self) {
        self.told.counts.queued.set(self.queue.len() as u64);
    }

    /// Counts and logs what is lost because the gateway ends.
    pub fn report_rest(&self) {
        let queued = self.queue.len();
        if queued > 0 {
            warn!(url = %self.told.url, queued, "a hook was not told of everything before the end");
        }
    }
}

/// The secrets that sign what an application is told.
fn secrets(hook: &Hook) -> anyhow::Result<Vec<Secret>> {
    let file = |path: &String| -> anyhow::Result<Vec<u8>> {
        Ok(without_line_end(&read_file(path)?).to_vec())
    };
    let secret = match (&hook.secret_file, &hook.secret_env) {
        (Some(path), None) => Some(file(path)?),
        (None, Some(name)) => match std::env::var_os(name) {
            Some(value) => Some(value.into_encoded_bytes()),
            None => bail!("secret_env: the environment has no variable {}", shown(name)),
        },
        (None, None) => None,
        (Some(_), Some(_)) => bail!("it has secret_file and secret_env; remove one of them"),
    };
    let next = hook.next_secret_file.as_ref().map(file).transpose()?;
    ensure!(secret.is_some() || next.is_none(), "next_secret_file: there is no secret to replace");
    let secrets: Vec<_> = secret.into_iter().chain(next).collect();
    ensure!(
        secrets.iter().all(|secret| secret.len() >= SECRET_BYTES_MIN),
        "a secret has at least {SECRET_BYTES_MIN} bytes, such as those of \"openssl rand -hex 32\""
    );
    Ok(secrets.into_iter().map(Secret::new).collect())
}

/// What a response, or its absence, means for what was sent.
fn judge(response: Result<Response, Failure>) -> (Outcome, &'static str) {
    let response = match response {
        Ok(response) => response,
        // It may have been this event that made the application hang up.
        Err(failure @ Failure::Broken) => {
            return (Outcome::Failed, failure.as_str());
        }
        Err(failure) => return (Outcome::Unavailable(None), failure.as_str()),
    };
    match response.status {
        200..=299 => (Outcome::Taken, ""),
        429 | 503 => (Outcome::Unavailable(response.retry_after), "busy"),
        502 | 504 => (Outcome::Unavailable(None), "bad_gateway"),
        // What an operator can mend while it is sent again: a key, a path, a deployment.
        401 | 403 | 404 | 408 | 425 => (Outcome::Failed, "status"),
        300..=499 => (Outcome::Refused, "refused"),
        _ => (Outcome::Failed, "status"),
    }
}

/// A number that nobody chose, for the delays.
fn random() -> u32 {
    // Without the kernel's randomness delays are the longest.
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_application_will_never_take_is_dropped() {
        let judged = |status| judge(Ok(Response { status, retry_after: None })).0;
        for status in [200, 202, 204] {
            assert_eq!(judged(status), Outcome::Taken, "{status}");
        }
        for status in [301, 400, 405, 410, 413, 415, 422] {
            assert_eq!(judged(status), Outcome::Refused, "{status}");
        }
        for status in [100, 401, 403, 404, 408, 425, 500, 501, 599] {
            assert_eq!(judged(status), Outcome::Failed, "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(judged(status), Outcome::Unavailable(None), "{status}");
        }
        let retry_after = Some(Duration::from_secs(7));
        let busy = judge(Ok(Response { status: 429, retry_after }));
        assert_eq!(busy.0, Outcome::Unavailable(retry_after));
        assert_eq!(judge(Err(Failure::Broken)).0, Outcome::Failed);
        for failure in [Failure::Connect, Failure::Timeout] {
            assert_eq!(judge(Err(failure)).0, Outcome::Unavailable(None));
        }
    }
}
