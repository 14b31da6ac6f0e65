//! The keys that issuers publish at URLs: fetched when they are due, and earlier when a token names a
//! key that is not known.
//!
//! A fetch blocks a thread of its own, never this one, and a failure changes nothing but a counter
//! and the log. The requests that waited for a fetch are answered when it has ended.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tokio::{sync::oneshot, time::sleep_until};
use tracing::{info, warn};

use crate::{
    auth::token::{
        Tokens,
        fetch::{Fetched, Source},
        issuers::{Issuers, Waiting},
    },
    broker::{
        Broker,
        mailbox::{CoreMessage, Mailbox},
    },
    limits::{JWKS_COOLDOWN, JWKS_REFRESH_MIN},
    refusal::{Refusal, TokenFault},
};

/// When a source is fetched next.
struct Schedule {
    due: Instant,
    /// Fetches that have failed since the last one that succeeded.
    failures: u32,
}

/// The keys of a process while it runs.
pub struct IssuerKeys {
    tokens: Arc<Tokens>,
    mailbox: Mailbox,
    broker: Arc<Broker>,
    start: Instant,
    refresh: Duration,
    schedules: Vec<Schedule>,
}

/// Whether every source was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Complete,
    Incomplete,
}

impl IssuerKeys {
    /// The keys that verify these tokens. None has been fetched.
    pub fn new(
        tokens: Arc<Tokens>,
        mailbox: Mailbox,
        broker: Arc<Broker>,
        start: Instant,
        refresh: Duration,
    ) -> Self {
        let now = Instant::now();
        let schedule = |_: &Arc<Source>| Schedule { due: now, failures: 0 };
        let schedules = tokens.issuers().sources().iter().map(schedule).collect();
        Self { tokens, mailbox, broker, start, refresh, schedules }
    }

    /// Keeps the keys fresh until the process ends.
    pub async fn follow(mut self) {
        let issuers = Arc::clone(self.tokens.issuers());
        let mut cool_until: Option<Instant> = None;
        loop {
            let due = self.schedules.iter().map(|schedule| schedule.due).min();
            let next = due.into_iter().chain(cool_until).min();
            let Some(next) = next else { return };
            tokio::select! {
                () = issuers.woken() => {}
                () = sleep_until(next.into()) => {}
            }
            let now = Instant::now();
            if cool_until.is_some_and(|until| until <= now) {
                cool_until = None;
                issuers.set_cooling(false);
            }
            let is_asked = issuers.take_ask() && cool_until.is_none();
            // A fetch that is due anyway does not count as caused by clients.
            let is_caused = is_asked && self.schedules.iter().any(|schedule| schedule.due > now);
            let is_due = |schedule: &Schedule| is_asked || schedule.due <= now;
            let wanted: Vec<_> = self.schedules.iter().map(is_due).collect();
            // A request that began to wait after its fetch had ended gets an answer without another fetch.
            let mut round = Round::Incomplete;
            if wanted.contains(&true) {
                round = self.fetch(&issuers, &wanted).await;
            }
            if is_caused {
                // Not rarer than the fetches that are due anyway.
                cool_until = Some(Instant::now() + JWKS_COOLDOWN.min(self.refresh));
                issuers.set_cooling(true);
            }
            if issuers.take_ask() {
                // Asked for during the fetch: its answer may be older than the key.
                round = Round::Incomplete;
            }
            self.answer(round);
        }
    }

    /// Fetches the wanted sources, all at the same time.
    async fn fetch(&mut self, issuers: &Issuers, wanted: &[bool]) -> Round {
        let fetches: Vec<_> = (issuers.sources().iter().zip(wanted))
            .map(|(source, is_wanted)| is_wanted.then(|| begin(Arc::clone(source))))
            .collect();
        let mut round = Round::Complete;
        for (place, fetch) in fetches.into_iter().enumerate() {
            let Some(fetch) = fetch else {
                round = Round::Incomplete;
                continue;
            };
            let fetched = fetch.await.unwrap_or_else(|_| Err(anyhow!("its thread has ended")));
            let (source, schedule) = (&issuers.sources()[place], &mut self.schedules[place]);
            match fetched {
                Ok(Fetched { keys, fresh_for }) => {
                    if schedule.failures > 0 {
                        info!(url = source.url(), "the keys of tokens could be fetched again");
                    }
                    let due = Instant::now() + kept_for(fresh_for, self.refresh);
                    *schedule = Schedule { due, failures: 0 };
                    issuers.replace(place, keys);
                }
                Err(error) => {
                    round = Round::Incomplete;
                    schedule.failures += 1;
                    let pause = pause(schedule.failures, self.refresh);
                    schedule.due = Instant::now() + pause;
                    issuers.note_failure();
                    warn!(
                        url = source.url(),
                        error = %format_args!("{error:#}"),
                        failures = schedule.failures,
                        next_attempt_in = ?pause,
                        "the keys of tokens cannot be fetched; those in use stay",
                    );
                }
            }
        }
        round
    }

    /// Answers the requests that wait for a key.
    fn answer(&self, round: Round) {
        let now = self.broker.wall_clock(self.start.elapsed());
        for Waiting { ticket, token, client } in self.tokens.issuers().take_waiting() {
            let verified = self.tokens.verify_for(client.as_deref(), token.expose(), now);
            let result = verified.map_err(|fault| {
                Refusal::Token(match (fault, round) {
                    // The issuer has just said that it has no such key.
                    (TokenFault::KeyAwaited, Round::Complete) => TokenFault::UnknownKey,
                    (fault, _) => fault,
                })
            });
            self.mailbox.tell(ticket.core, CoreMessage::Identified { ticket, result });
        }
    }
}

/// Begins to fetch. The end of the process does not wait for the thread.
fn begin(source: Arc<Source>) -> oneshot::Receiver<anyhow::Result<Fetched>> {
    let (done, fetched) = oneshot::channel();
    let thread = thread::Builder::new().name("fetch-keys".to_owned());
    // Without a thread the sender is dropped, which is a failure.
    let _ = thread.spawn(move || done.send(source.fetch()));
    fetched
}

/// The time until keys are fetched again that their issuer calls fresh for this long.
fn kept_for(fresh_for: Option<Duration>, refresh: Duration) -> Duration {
    fresh_for.map_or(refresh, |fresh_for| fresh_for.max(JWKS_REFRESH_MIN).min(refresh))
}

/// The time from a failure to the next attempt: doubled each time, at most `refresh`.
fn pause(failures: u32, refresh: Duration) -> Duration {
    let doubled = JWKS_COOLDOWN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(refresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_until_the_usual_time() {
        let refresh = Duration::from_secs(60);
        let pauses = [1, 2, 3, 4, 40, u32::MAX].map(|failures| pause(failures, refresh).as_secs());
        assert_eq!(pauses, [10, 20, 40, 60, 60, 60]);
        assert_eq!(pause(1, Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn an_issuer_may_ask_for_an_earlier_fetch_within_bounds() {
        for (fresh_for, refresh, wanted) in [
            (None, 600, 600),
            (Some(0), 600, 30),
            (Some(120), 600, 120),
            (Some(86_400), 600, 600),
            (Some(0), 5, 5),
        ] {
            let kept = kept_for(fresh_for.map(Duration::from_secs), Duration::from_secs(refresh));
            assert_eq!(kept.as_secs(), wanted, "{fresh_for:?} {refresh}");
        }
    }
}
