//! Tells applications what has happened: takes it from the cores' feed and from the log, queues it for
//! each application that asks for it, and posts it as CloudEvents.
//!
//! No core ever waits for it. It never asks an application anything: `hooks` does.

mod destination;
mod follower;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use self::destination::{Destination, Ended};
use bytes::Bytes;
use serde_json::value::to_raw_value;
use tokio::{
    sync::{mpsc::Receiver, watch},
    task::{JoinHandle, JoinSet},
    time::sleep_until,
};

use crate::{
    broker::Broker,
    config::Hook,
    notifications::{Occurrence, Told, cloud_event::CloudEvent},
};

/// How often the log is looked at, if an application asks for events.
const LOG_INTERVAL: Duration = Duration::from_millis(20);

/// Occurrences that are taken from the feed before what is due is sent.
const RECEIVED_AT_ONCE: usize = 256;

/// Ends the task.
pub struct Stop {
    /// When it must have ended, once it is to end.
    deadline: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Stop {
    /// Waits until the task has ended without [`Stop::finish`], which only a panic causes.
    pub async fn failed(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Sends what is queued until it is all sent, or `patience` is over. The cores have ended.
    pub async fn finish(self, patience: Duration) {
        let _ = self.deadline.send(Some(Instant::now() + patience));
        if !self.task.is_finished() {
            let _ = self.task.await;
        }
    }
}

/// Starts to tell the applications of a configuration what the cores hand over; `None` if none of them is
/// told anything. `told` has an entry for each of `hooks`.
///
/// # Errors
/// An application cannot be told anything at its URL on this system, or a secret cannot be read.
pub fn start(
    hooks: &[Hook],
    told: &[Option<Arc<Told>>],
    broker: &Arc<Broker>,
    feed: Receiver<Occurrence>,
    start: Instant,
) -> anyhow::Result<Option<Stop>> {
    let told = hooks.iter().zip(told).filter_map(|(hook, told)| Some((hook, told.as_ref()?)));
    let destinations = told.map(|(hook, told)| Destination::new(hook, told, broker));
    let destinations: Vec<_> = destinations.collect::<anyhow::Result<_>>()?;
    if destinations.is_empty() {
        return Ok(None);
    }
    let (deadline, is_to_end) = watch::channel(None);
    let notifying = Notifying {
        destinations,
        broker: Arc::clone(broker),
        feed,
        requests: JoinSet::new(),
        start,
        number: 0,
        deadline: is_to_end,
    };
    Ok(Some(Stop { deadline, task: tokio::spawn(notifying.run()) }))
}

struct Notifying {
    destinations: Vec<Destination>,
    broker: Arc<Broker>,
    feed: Receiver<Occurrence>,
    requests: JoinSet<Ended>,
    start: Instant,
    /// Occurrences so far: the second part of their ids.
    number: u64,
    deadline: watch::Receiver<Option<Instant>>,
}

impl Notifying {
    async fn run(mut self) {
        let mut received = Vec::with_capacity(RECEIVED_AT_ONCE);
        loop {
            let now = self.start.elapsed();
            let seconds = wall_clock().as_secs();
            for (place, destination) in self.destinations.iter_mut().enumerate() {
                destination.follow_log(&self.broker, now, &mut self.number);
                while let Some(request) = destination.next_request(place, now, seconds) {
                    self.requests.spawn(request);
                }
                destination.publish_counts();
            }
            let deadline = *self.deadline.borrow();
            let is_done = deadline.is_some() && self.feed.is_empty() && self.is_all_sent();
            if is_done || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return self.report_rest();
            }
            let wake = [self.next_wake(now), deadline].into_iter().flatten().min();
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                _ = self.feed.recv_many(&mut received, RECEIVED_AT_ONCE) => {
                    for occurrence in received.drain(..) {
                        self.queue(&occurrence);
                    }
                }
                Some(Ok(ended)) = self.requests.join_next() => {
                    let now = self.start.elapsed();
                    self.destinations[ended.place].complete(ended, now);
                }
                () = sleep_until(wake.into()) => {}
                Ok(()) = self.deadline.changed(), if deadline.is_none() => {}
            }
        }
    }

    /// Queues what a core has handed over for each application that asks for it.
    fn queue(&mut self, occurrence: &Occurrence) {
        self.number += 1;
        let data = to_raw_value(occurrence).expect("its fields can be JSON");
        let event = CloudEvent {
            id: &format!("{}.{}", self.broker.log.epoch(), self.number),
            kind: occurrence.kind.event_type(),
            time: wall_clock(),
            subject: Some(&occurrence.client),
            data: &data,
        };
        let (body, now) = (Bytes::from(event.to_json()), self.start.elapsed());
        let told = self.destinations.iter_mut().filter(|one| one.kinds.has(occurrence.kind));
        told.for_each(|one| one.push(&occurrence.client, body.clone(), now));
    }

    fn is_all_sent(&self) -> bool {
        self.destinations.iter().all(|one| one.is_done(&self.broker))
    }

    /// When there will be something to do although nothing was received.
    fn next_wake(&self, now: Duration) -> Option<Instant> {
        let log = self.destinations.iter().any(Destination::follows).then(|| now + LOG_INTERVAL);
        let queues = self.destinations.iter().filter_map(|one| one.next_time(now));
        queues.chain(log).min().map(|time| self.start + time)
    }

    /// The gateway ends: what was not sent is lost.
    fn report_rest(&self) {
        for destination in &self.destinations {
            destination.report_rest();
        }
    }
}

/// The wall-clock time, since 1970.
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
