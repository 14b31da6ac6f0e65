//! What all cores and the control thread share: the log, the directory of clients, the receipts.
//!
//! All events pass through here, from clients and from the application: each is encoded once and
//! appended, and its outcome is returned. It never touches a connection; cores see an event when
//! they follow the log.

mod awaited;
pub mod crowding;
mod description;
pub mod mailbox;
mod notice;
pub mod progress;
mod receipt;
pub mod source;
#[cfg(test)]
mod tests;

pub use awaited::{Answer, Awaited, CommandOutcome, Waiter};
pub use description::ConnectionDescription;
pub use notice::{Echo, Ttl};
pub use receipt::{Receipt, ReceiptRoom};

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use ringway_hub::{
    Address, Cursor, DedupCache, Directory, Draft, Epoch, Expiry, Interest, Key, Liveness, Log,
    NotifyOutcome, Recipients, Retention, Sequence, ShareLimits, Since, ToSender, TopicRetention,
};

use crate::{
    auth::Revocations,
    broker::{
        crowding::Crowding,
        progress::Progress,
        source::{LocalLog, LogSource, PendingSubmission, SubmitError, Submitted, Submitter},
    },
    config::{History, HistoryTopic, patterns::Patterns},
    encoding::{native as write, native::EventParts},
    limits::{AWAY_MAX, RECEIPTS_AGE_MAX, RECEIPTS_MAX, RECEIPTS_SPARED, WAITING_COUNTED_MAX},
    memory::OutOfMemory,
    notifications::Feed,
    rates::ClientRates,
};

/// Shared by all cores and the control thread.
pub struct Broker {
    /// All events, in order.
    pub log: Log,
    /// Which clients are connected, and when the others left.
    pub directory: Arc<Directory>,
    /// Answers to commands that were performed, in case a command is sent again.
    pub receipts: DedupCache<Answer>,
    source: Arc<dyn LogSource>,
    /// Submissions of all submitters whose outcome is not known yet.
    pending: AtomicUsize,
    age_max: Duration,
    /// The wall-clock time at which the clock for appending events was 0, in milliseconds since
    /// 1970.
    started_ms: AtomicU64,
    /// Clients that may not connect.
    pub revocations: Revocations,
    /// How many events each client has sent lately.
    pub rates: ClientRates,
    /// Events that were refused because they would have displaced those of others.
    pub crowding: Crowding,
    /// How far each core has sent the log.
    pub progress: Progress,
    /// Where cores hand over what applications are told.
    pub feed: Feed,
}

/// An event as its sender gives it.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The client that sends it; `None`: the application.
    pub from: Option<&'a str>,
    /// Its name.
    pub event: Option<&'a str>,
    /// One JSON value, validated, passed on byte for byte.
    pub data: &'a str,
    /// How long it is kept for clients that are away; `None`: as long as the history goes back.
    pub ttl: Option<Ttl>,
}

/// Events that a client can never read: those after the first cursor, up to the second.
pub type Missed = (Cursor, Cursor);

/// What a client that is away gets when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Events that are kept for it; no more than [`WAITING_COUNTED_MAX`] are counted.
    pub events: u32,
    /// Whether it will be sent a gap, because an event for it may have left the history.
    pub is_gap: bool,
}

/// The place of an event in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this cursor; if no recipient gets the event, the cursor of the log's end.
    At(Cursor),
    /// Not known yet. The submitter will be told.
    Pending(PendingSubmission),
}

impl Place {
    /// The cursor; for a pending event, the beginning of the log.
    fn cursor(self) -> Cursor {
        match self {
            Self::At(cursor) => cursor,
            Self::Pending(_) => Cursor { epoch: Epoch::new(0), sequence: 0 },
        }
    }
}

/// The outcome of a notify.
#[derive(Debug)]
pub struct Notified<'n> {
    /// The event's place in the log.
    pub place: Place,
    /// The outcome for each recipient, without duplicates. While the event is pending, `Queued` is
    /// provisional ([`Broker::place`]).
    pub outcome: Vec<(&'n str, NotifyOutcome)>,
}

impl Broker {
    /// A broker with an empty log.
    pub fn new(epoch: Epoch, history: &History, topics: &[HistoryTopic]) -> Self {
        let retention = Retention {
            events_max: history.events_max,
            bytes_max: history.bytes_max,
            age_max: history.age_max,
        };
        let directory = Arc::new(Directory::default());
        let losers = Arc::clone(&directory);
        let shares = ShareLimits {
            client: history.client_share,
            application: history.application_share,
            topic: history.topic_share,
            recipient: history.recipient_share,
        };
        let log = Log::new(epoch, retention).sharing(shares).telling(move |event, part| {
            match event.address() {
                Address::Recipients(recipients) => {
                    let names = recipients.iter().skip(part.start).take(part.len());
                    names.for_each(|name| losers.lose(name, event.sequence()));
                }
                // Clients choose the position from which they subscribe to a topic.
                Address::Topic(_) => {}
            }
        });
        let log = match topics {
            [] => log,
            _ => {
                let topics: Vec<_> = topics.iter().map(topic_retention).collect();
                log.keeping_topics(move |topic| {
                    topics.iter().find(|(pattern, _)| pattern.allow(topic)).map(|one| one.1)
                })
            }
        };
        Self {
            log,
            directory,
            receipts: DedupCache::new(RECEIPTS_MAX, RECEIPTS_AGE_MAX)
                .within(history.outcome_bytes_max, Answer::bytes)
                .sparing(RECEIPTS_SPARED),
            source: Arc::new(LocalLog),
            pending: AtomicUsize::new(0),
            age_max: history.age_max,
            started_ms: AtomicU64::new(0),
            revocations: Revocations::default(),
            rates: ClientRates::default(),
            crowding: Crowding::default(),
            progress: Progress::default(),
            feed: Feed::default(),
        }
    }

    /// Takes another source than the local log to give events their places.
    #[must_use]
    pub fn with_source(self, source: Arc<dyn LogSource>) -> Self {
        Self { source, ..self }
    }

    /// Takes a feed that applications ask for.
    #[must_use]
    pub fn with_feed(self, feed: Feed) -> Self {
        Self { feed, ..self }
    }

    /// Sets the wall-clock time of `now`, from which the times of events are computed. To be called
    /// at the start, and from time to time, because the wall clock may be set.
    pub fn set_clock(&self, wall: SystemTime, now: Duration) {
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_ms = since_1970.saturating_sub(now).as_millis() as u64;
        self.started_ms.store(started_ms, Ordering::Relaxed);
    }

    /// The wall-clock time at `now`, since 1970.
    pub fn wall_clock(&self, now: Duration) -> Duration {
        Duration::from_millis(self.started_ms.load(Ordering::Relaxed)) + now
    }

    /// The cursor of an event's place in the log.
    pub fn cursor(&self, sequence: Sequence) -> Cursor {
        Cursor { epoch: self.log.epoch(), sequence }
    }

    /// The place in the log after which a client with this cursor reads.
    ///
    /// # Errors
    /// The cursor is not of this log, so it does not say which events the client has seen. The
    /// client reads from the oldest event; the error is the place before it.
    pub fn judge(&self, cursor: Cursor) -> Result<Sequence, Sequence> {
        if cursor.epoch == self.log.epoch() && cursor.sequence <= self.log.head() {
            Ok(cursor.sequence)
        } else {
            Err(self.log.first() - 1)
        }
    }

    /// Submits an event for the clients in `to` that match `allowed`.
    ///
    /// The directory is asked which recipients are connected after the event has its place, so that
    /// a client that connects later finds the event in the log. For an event that is not kept, it
    /// is asked before, and the event is addressed only to the clients that are connected then.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted.
    pub fn notify<'n, S: AsRef<str>>(
        &self,
        submitter: &mut Submitter,
        notice: Notice<'_>,
        to: &'n [S],
        allowed: &Patterns,
        now: Duration,
    ) -> Result<Notified<'n>, SubmitError> {
        let mut seen = HashSet::new();
        seen.try_reserve(to.len()).map_err(|_| OutOfMemory)?;
        let names = to.iter().map(AsRef::as_ref).filter(|name| seen.insert(*name));
        let mut outcome: Vec<(&str, NotifyOutcome)> = Vec::new();
        outcome.try_reserve_exact(to.len()).map_err(|_| OutOfMemory)?;
        outcome.extend(names.map(|name| match allowed.allow(name) {
            true => (name, NotifyOutcome::Queued),
            false => (name, NotifyOutcome::Denied),
        }));
        let keep = self.keep(notice.ttl, now);
        if matches!(keep, Expiry::Never) {
            // Only for clients that are connected now. Each of them gets it: on its connection, or
            // if that ends before, when it soon reconnects (`UNKEPT_GRACE`).
            self.find(&mut outcome, NotifyOutcome::Offline);
        }
        let is_meant = |entry: &&(&'n str, NotifyOutcome)| {
            matches!(entry.1, NotifyOutcome::Queued | NotifyOutcome::Delivered)
        };
        let recipients = outcome.iter().filter(is_meant).map(|entry| entry.0);
        let list_bytes = recipients.clone().map(Recipients::list_bytes).sum();
        if list_bytes == 0 {
            return Ok(Notified { place: Place::At(self.cursor(self.log.head())), outcome });
        }
        self.log.admit(submitter.publisher, None, recipients.clone(), now)?;
        let draft = Draft { keep, ..self.draft(notice, None, list_bytes, now)? };
        let draft = draft.to_recipients(recipients);
        let place = self.submit(submitter, draft, now)?;
        if !matches!((keep, place), (Expiry::Never, _) | (_, Place::Pending(_))) {
            self.find(&mut outcome, NotifyOutcome::Queued);
        }
        Ok(Notified { place, outcome })
    }

    /// Sets the outcome of each recipient that is not denied: delivered if it is connected, else
    /// `away`.
    fn find(&self, outcome: &mut [(&str, NotifyOutcome)], away: NotifyOutcome) {
        for (name, outcome) in outcome.iter_mut().filter(|entry| entry.1 != NotifyOutcome::Denied) {
            *outcome = match self.directory.liveness(name) {
                Liveness::Live => NotifyOutcome::Delivered,
                Liveness::Behind | Liveness::Away | Liveness::Unknown => away,
            };
        }
    }

    /// Submits an event for the subscribers of `topic`.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted.
    pub fn publish(
        &self,
        submitter: &mut Submitter,
        notice: Notice<'_>,
        topic: &str,
        echo: Echo,
        now: Duration,
    ) -> Result<Place, SubmitError> {
        self.log.admit(submitter.publisher, Some(topic), [], now)?;
        let keep = self.keep(notice.ttl, now);
        let to_sender = match echo {
            Echo::Yes => ToSender::Sent,
            Echo::No => ToSender::LeftOut,
        };
        let draft = Draft { keep, to_sender, ..self.draft(notice, Some(topic), 0, now)? };
        self.submit(submitter, draft, now)
    }

    fn submit(
        &self,
        submitter: &mut Submitter,
        draft: Draft,
        now: Duration,
    ) -> Result<Place, SubmitError> {
        let token = submitter.token()?;
        let draft = Draft { publisher: submitter.publisher, ..draft };
        let bytes = draft.text.len();
        submitter.submitted_bytes = bytes;
        let submitted =
            self.source.submit(&self.log, &mut submitter.appender, draft, token, now)?;
        Ok(match submitted {
            Submitted::Done(sequence) => Place::At(self.cursor(sequence)),
            Submitted::Pending => {
                self.pending.fetch_add(1, Ordering::Relaxed);
                Place::Pending(submitter.begin(token, bytes))
            }
        })
    }

    /// Ends a submission whose outcome the submitter has received. Returns how many are still
    /// pending, of all submitters.
    pub fn end_submission(
        &self,
        submitter: &mut Submitter,
        submission: PendingSubmission,
    ) -> usize {
        submitter.end(submission);
        self.pending.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// Submissions of all submitters whose outcome is not known yet.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Forgets a command whose event got no place in the log: if sent again, it is a new command.
    pub fn forget(&self, awaited: &Arc<Awaited>) {
        let is_it =
            |answer: &Answer| matches!(answer, Answer::Awaited(one) if Arc::ptr_eq(one, awaited));
        self.receipts.forget_if(awaited.client(), awaited.id(), is_it);
    }

    /// Completes the receipt of an event that has been appended. As in [`Broker::notify`], the
    /// directory is then asked which recipients are connected.
    pub fn place(&self, receipt: &mut Receipt, sequence: Sequence) {
        receipt.place(self.cursor(sequence), |name| self.directory.liveness(name));
    }

    /// The place after which a client that connects without a cursor reads its own events. `since`
    /// is the directory's answer, `gone` the last event that had left the log before that answer.
    ///
    /// The place is before the beginning of the log, and so reported as a gap, only if the client
    /// may have lost an event. Events that leave the log later, or that the core has not read, are
    /// reported as a gap in any case.
    pub fn own_start(
        &self,
        client: &str,
        since: Since,
        gone: Sequence,
        position: Sequence,
    ) -> Sequence {
        let left = match since {
            Since::Live => return position,
            // Events that have left the log are reported as a gap when it reads on.
            Since::Stalled(sequence) => return sequence.min(position),
            Since::Left(sequence) => sequence,
            Since::Unknown => 0,
        };
        let gone = gone.min(position);
        if left >= gone || self.directory.may_miss(client, left) { left } else { gone }
    }

    /// The place just before the first event after `after` that is kept for a client, and how many
    /// events were looked up. Without such an event up to `through`, the place is the later one of
    /// `through` and `after`.
    pub fn kept_after(
        &self,
        client: &str,
        after: Sequence,
        through: Sequence,
        now: Duration,
    ) -> (Sequence, u64) {
        let interest =
            Interest { key: Key::Recipient(client), after, live_after: Some(Sequence::MAX) };
        self.before_first(interest, through, now)
    }

    /// As [`Broker::kept_after`], for any interest.
    pub fn before_first(
        &self,
        interest: Interest<'_>,
        through: Sequence,
        now: Duration,
    ) -> (Sequence, u64) {
        let after = interest.after;
        let mut found = through.max(after);
        let replayed = self.log.replay(&[interest], through, now, |event| {
            found = event.sequence() - 1;
            ControlFlow::Break(())
        });
        // Some events have left the log meanwhile; a client that reads on from `after` is sent a
        // gap.
        replayed.map_or((after, 0), |replayed| (found, replayed.touched))
    }

    /// The events that wait for a client that has no connection and has had everything up to
    /// `left`: the events that it would get if it connected now without a cursor.
    pub fn waiting(&self, client: &str, left: Sequence, now: Duration) -> Waiting {
        let mut events = 0;
        let mut after = left;
        loop {
            let interest =
                Interest { key: Key::Recipient(client), after, live_after: Some(Sequence::MAX) };
            let counted = self.log.replay(&[interest], self.log.head(), now, |_| {
                events += 1;
                if events < WAITING_COUNTED_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            match counted {
                Ok(_) => break,
                Err(gap) => after = gap.to,
            }
        }
        Waiting { events, is_gap: self.directory.may_miss(client, left) }
    }

    /// Drops what has expired by now.
    pub fn expire(&self, now: Duration) {
        self.log.expire(now);
        let away = self.directory.forget_before(self.log.first());
        if away > AWAY_MAX {
            // Forgetting a client without kept events changes nothing for it.
            let keeps = |client: &str| self.log.holds(Key::Recipient(client));
            self.directory.forget_unless(Sequence::MAX, keeps);
        }
        self.receipts.expire(now);
    }

    fn keep(&self, ttl: Option<Ttl>, now: Duration) -> Expiry {
        match ttl {
            Some(Ttl::Unkept) => Expiry::Never,
            Some(Ttl::For(time)) if time < self.age_max => Expiry::Until(now + time),
            Some(Ttl::For(_)) | None => Expiry::Window,
        }
    }

    /// Encodes an event with `room` spare bytes, so that it stays in one allocation.
    fn draft(
        &self,
        notice: Notice<'_>,
        topic: Option<&str>,
        room: usize,
        now: Duration,
    ) -> Result<Draft, OutOfMemory> {
        let Notice { from, event, data, .. } = notice;
        let draft = write::event(EventParts { from, topic, name: event, data }, room)?;
        let time_ms = self.started_ms.load(Ordering::Relaxed) + now.as_millis() as u64;
        Ok(Draft { time_ms, ..draft })
    }
}

fn topic_retention(topic: &HistoryTopic) -> (Patterns, TopicRetention) {
    let retention = TopicRetention {
        events_max: topic.events_max.unwrap_or(u64::MAX),
        age_max: topic.age_max.unwrap_or(Duration::MAX),
    };
    (Patterns::new([&*topic.pattern]), retention)
}
