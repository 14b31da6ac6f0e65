//! The subscribers of one thread: each event must reach each of them once, in order and unchanged.
//!
//! An event is owed to each subscriber that was open when the measurement began. To a subscriber
//! that opens later it is owed from the first event of a publisher that reaches it. A subscriber
//! that loses its connection in between is owed the events that it misses.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};
use ringway_http::Part;

use super::{
    feed::{Feed, ResponseKind, Transport},
    sides::{Received, SubscribePlan},
    traffic::{Phase, Sequences, Traffic},
};
use crate::{
    engine::{
        table::ConnectionTable,
        workload::{Ended, Next, Then, Workload},
    },
    measure::ledger::{Arrival, ArrivalOrder},
    mode::REOPEN_DELAY,
    wire::{
        delivery::{Deliveries, Found},
        failure::Reason,
        handshake::Approach,
        stamp::Stamp,
        template::greeting,
    },
};

/// An event of a probe must reach a subscriber within this time; otherwise another one is
/// published.
const PROBE_TIME_MAX: Duration = Duration::from_millis(500);

/// No event is owed before the first one that arrives.
const UNOWED: u32 = u32::MAX;

/// The subscribers of one thread.
pub struct Subscribe {
    plan: SubscribePlan,
    traffic: Arc<Traffic>,
    publishers: usize,
    keys: MaskKeys,
    deliveries: Deliveries,
    /// By subscriber; empty unless they receive over HTTP.
    feeds: Vec<Feed>,
    /// The target of their requests.
    approach: Approach,
    /// By subscriber, then by publisher.
    orders: Vec<ArrivalOrder>,
    /// By publisher, the first event of this measurement.
    base: Sequences,
    /// Subscribers that were not connected all the time.
    absences: HashMap<u32, Absence>,
    givings_up: u64,
    /// Deliveries settled since the last turn.
    settled: u64,
    /// When a probe ends, even if some subscribers received none of its events.
    probed_at: Duration,
    received: Received,
}

/// When a subscriber was disconnected.
struct Absence {
    /// The latest events when it disconnected.
    from: Sequences,
    /// The latest events when it returned; earlier ones are not expected.
    until: Option<Sequences>,
}

impl Subscribe {
    /// The workload of `connections` subscribers.
    pub fn new(
        plan: SubscribePlan,
        approach: Approach,
        traffic: Arc<Traffic>,
        connections: u32,
    ) -> Self {
        let publishers = traffic.publishers();
        let feeds = if plan.transport == Transport::WebSocket { 0 } else { connections };
        let mut orders = Vec::new();
        orders.resize_with(connections as usize * publishers, || ArrivalOrder::from(UNOWED));
        Self {
            deliveries: Deliveries::new(&plan.body),
            feeds: std::iter::repeat_with(Feed::default).take(feeds as usize).collect(),
            approach,
            plan,
            publishers,
            keys: MaskKeys::new(),
            orders,
            base: traffic.all_published(),
            absences: HashMap::new(),
            givings_up: traffic.givings_up(),
            settled: 0,
            probed_at: Duration::ZERO,
            received: Received::new(publishers),
            traffic,
        }
    }

    #[inline]
    fn arrive(
        &mut self,
        connection: u32,
        publisher: usize,
        stamp: Stamp,
        connections: &mut ConnectionTable,
        bytes: usize,
    ) {
        let number = stamp.sequence;
        if number < self.base[publisher] {
            self.received.foreign += 1;
            return;
        }
        // The number was never sent.
        if number >= self.traffic.published(publisher) {
            self.received.ledger.corrupted += 1;
            return;
        }
        let order = &mut self.orders[connection as usize * self.publishers + publisher];
        if order.next() == UNOWED {
            let floor = floor(&self.absences, &self.base, connection, publisher);
            self.settled += u64::from(number.saturating_sub(floor));
            *order = ArrivalOrder::from(number);
        }
        let before = order.next();
        match order.arrive(number) {
            Arrival::InOrder if self.absences.is_empty() => {
                self.settled += u64::from(order.next() - before);
            }
            Arrival::InOrder => {
                let floor = floor(&self.absences, &self.base, connection, publisher);
                self.settled += u64::from(order.next().saturating_sub(before.max(floor)));
            }
            Arrival::Late => self.received.ledger.reordered += 1,
            Arrival::Again => {
                self.received.ledger.doubled += 1;
                return;
            }
        }
        self.received.ledger.received += 1;
        let now = connections.now();
        self.received.spread.note(publisher, number - self.base[publisher], now);
        connections.seen.answered(stamp.at, now, bytes);
    }

    /// Gives up the events before `until` for this subscriber.
    fn give_up(&mut self, connection: u32, until: &Sequences, owed: Owed) {
        for (publisher, &until) in until.iter().enumerate() {
            let order = &mut self.orders[connection as usize * self.publishers + publisher];
            let floor = floor(&self.absences, &self.base, connection, publisher);
            let from = if order.next() == UNOWED { floor } else { order.next().max(floor) };
            self.settled += u64::from(until.saturating_sub(from));
            if owed == Owed::Never && order.next() != UNOWED {
                order.give_up_before(until);
            }
        }
    }

    /// Gives up for all subscribers the events that the publishers have given up.
    #[cold]
    fn give_up_all(&mut self, connections: &ConnectionTable) {
        let until = self.traffic.given_up();
        for connection in 0..connections.len() {
            if !connections.is_open(connection) {
                continue;
            }
            self.give_up(connection, &until, Owed::Never);
            let orders = &self.orders[connection as usize * self.publishers..][..self.publishers];
            if orders.iter().any(|order| order.next() == UNOWED) {
                let until = Some(until.clone());
                self.absences.insert(connection, Absence { from: self.base.clone(), until });
            }
        }
    }

    #[inline]
    fn receive(
        &mut self,
        connection: u32,
        stamp: Stamp,
        bytes: usize,
        connections: &mut ConnectionTable,
    ) {
        match self.traffic.publisher(stamp) {
            Some(publisher) => self.arrive(connection, publisher, stamp, connections, bytes),
            None => self.received.foreign += 1,
        }
    }

    /// Over HTTP, sends the next request.
    fn request(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let Some(feed) = self.feeds.get(connection as usize) else { return };
        if connections.is_open(connection) {
            let number = connections.number(connection);
            let request = feed.request(&self.plan.transport, &self.approach, number);
            connections.send(connection, |_, out| out.extend_from_slice(&request));
        }
    }

    /// The response to a poll is complete: the next poll follows at once.
    fn end_poll(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let feed = &mut self.feeds[connection as usize];
        if feed.answer() == ResponseKind::Refusal {
            return connections.cut(connection);
        }
        let body = feed.finish(&self.plan.transport);
        let stamps = self.deliveries.read_all(&body);
        if stamps.is_empty() && !body.is_empty() {
            self.message(connection, DataKind::Text, &body, connections);
        }
        for stamp in &stamps {
            self.receive(connection, *stamp, body.len() / stamps.len(), connections);
        }
        self.request(connection, connections);
    }
}

/// Whether an event that is given up may still be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// When the subscriber returns.
    Later,
    /// Never.
    Never,
}

/// The first event of a publisher that this subscriber is expected to receive.
fn floor(
    absences: &HashMap<u32, Absence>,
    base: &Sequences,
    connection: u32,
    publisher: usize,
) -> u32 {
    let until = absences.get(&connection).and_then(|absence| absence.until.as_ref());
    until.map_or(base[publisher], |until| until[publisher].max(base[publisher]))
}

impl Workload for Subscribe {
    type Outcome = Received;

    fn start(&mut self, start: Duration, _connections: &mut ConnectionTable) {
        self.probed_at = start + PROBE_TIME_MAX;
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        self.request(connection, connections);
        for hello in &self.plan.hello {
            let text = greeting(hello, connections.number(connection));
            let key = Some(self.keys.draw());
            connections
                .send(connection, |_, out| emit_frame(out, key, Opcode::Text, text.as_bytes()));
        }
        let joined = self.traffic.join();
        if joined == self.base {
            // It missed nothing.
            self.absences.remove(&connection);
            return;
        }
        let absence = self
            .absences
            .entry(connection)
            .or_insert_with(|| Absence { from: joined.clone(), until: None });
        self.received.away += missed(&absence.from, &joined);
        absence.until = Some(joined);
    }

    #[inline]
    fn message(
        &mut self,
        connection: u32,
        _kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        match self.deliveries.read(payload) {
            Found::Whole(stamp) => self.receive(connection, stamp, payload.len(), connections),
            Found::Corrupted(stamp) => {
                let is_ours = self.traffic.publisher(stamp).is_some();
                self.received.ledger.corrupted += u64::from(is_ours);
                self.receive(connection, stamp, payload.len(), connections);
            }
            Found::Nothing => self.received.receive_other(payload),
        }
    }

    fn response(&mut self, connection: u32, part: Part<'_>, connections: &mut ConnectionTable) {
        let Some(feed) = self.feeds.get_mut(connection as usize) else { return };
        match part {
            Part::Interim(_) => {}
            Part::Head(head) => {
                if feed.begin(head) == ResponseKind::Refusal {
                    connections
                        .seen
                        .fail(Reason::named(format!("subscribe_status_{}", head.status)));
                }
            }
            Part::Body(body) if feed.answer() == ResponseKind::Refusal => {
                self.received.receive_other(body)
            }
            Part::Body(body) if self.plan.transport == Transport::Stream => {
                let mut feed = std::mem::take(feed);
                feed.read_lines(body, |data| {
                    self.message(connection, DataKind::Text, data, connections)
                });
                self.feeds[connection as usize] = feed;
            }
            Part::Body(body) => feed.keep(body),
            Part::End(_) if self.plan.transport == Transport::Stream => {
                if feed.answer() != ResponseKind::Refusal {
                    connections.seen.fail(Reason::named("stream_ended"));
                }
                connections.cut(connection);
            }
            Part::End(_) => self.end_poll(connection, connections),
        }
    }

    fn ended(&mut self, connection: u32, why: Ended, _connections: &mut ConnectionTable) -> Then {
        if why != Ended::Unopened {
            let from = self.traffic.leave();
            self.give_up(connection, &from, Owed::Later);
            self.absences.insert(connection, Absence { from, until: None });
        }
        let is_between_polls = why == Ended::Closed
            && matches!(self.plan.transport, Transport::Polls { .. })
            && self.feeds[connection as usize].answer() != ResponseKind::Refusal;
        Then::Reopen(if is_between_polls { Duration::ZERO } else { REOPEN_DELAY })
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let givings_up = self.traffic.givings_up();
        if givings_up != self.givings_up {
            self.givings_up = givings_up;
            self.give_up_all(connections);
        }
        if self.settled > 0 {
            self.traffic.settle(std::mem::take(&mut self.settled));
        }
        match self.traffic.phase() {
            Phase::Probing if connections.now() < self.probed_at => Next::At(self.probed_at),
            _ => Next::Idle,
        }
    }

    fn is_drained(&self, connections: &ConnectionTable) -> bool {
        let is_late = self.traffic.phase() == Phase::Probing && connections.now() >= self.probed_at;
        self.traffic.is_over() || is_late && self.traffic.is_ended()
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Received {
        let end = self.traffic.all_published();
        for (index, order) in self.orders.iter_mut().enumerate() {
            let (connection, publisher) = (index / self.publishers, index % self.publishers);
            if order.next() != UNOWED {
                let unheard = end[publisher].saturating_sub(order.next());
                self.received.ledger.lost += order.missing() + u64::from(unheard);
            }
            // Later events belong to no measurement.
            let next = if connections.is_open(connection as u32) { end[publisher] } else { UNOWED };
            *order = ArrivalOrder::from(next);
        }
        for absence in self.absences.values().filter(|absence| absence.until.is_none()) {
            self.received.away += missed(&absence.from, &end);
        }
        self.absences.clear();
        self.base = end;
        self.settled = 0;
        let ledger = &mut self.received.ledger;
        ledger.sent = ledger.received + ledger.lost;
        std::mem::replace(&mut self.received, Received::new(self.publishers))
    }
}

fn missed(from: &Sequences, until: &Sequences) -> u64 {
    from.iter().zip(until).map(|(from, until)| u64::from(until.saturating_sub(*from))).sum()
}
