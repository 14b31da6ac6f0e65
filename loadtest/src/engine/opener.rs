//! Opening connections: how fast, how many at a time, and how long a handshake may take.
//!
//! It begins them; what their sockets then bring is the fleet's to hand over.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use ringway_acceptor::{Connect, Connector};

use super::{
    links::{Deadline, Links, State},
    plan::{Cut, Plan},
    workload::Ended,
};
use crate::wire::{
    failure::Reason,
    opening::{Opening, Terms},
    tls::Session,
};

/// Connections begun in one turn, so that others are heard in between.
const TURN_BEGUN_MAX: usize = 16;

/// The slowest ramp: a connection in a year.
const PACE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Opens a thread's connections.
pub(super) struct Opener<'p> {
    plan: &'p Plan,
    terms: Terms<'p>,
    connector: Connector,
    /// Which to open when, the earliest first; the second number keeps the order of wishes.
    due: BinaryHeap<Reverse<(Duration, u64, u32)>>,
    wishes: u64,
    /// The time between two openings, if that is bounded, and when the next one may begin.
    pace: Option<Duration>,
    next_at: Duration,
    under_way: HashMap<u32, UnderWay>,
    deadlines: VecDeque<Deadline>,
}

struct UnderWay {
    since: Duration,
    /// `None` until the socket is connected.
    opening: Option<Opening>,
}

/// Whether bytes may go out, encrypted if that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secured {
    Yes,
    No,
}

impl<'p> Opener<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let threads = f64::from(plan.threads);
        let connector = Connector::new(plan.approach.target().address());
        Self {
            plan,
            terms: Terms::of(&plan.approach),
            connector: match plan.cut {
                Cut::Fin => connector,
                Cut::Reset => connector.with_reset_at_close(),
            },
            due: BinaryHeap::new(),
            wishes: 0,
            pace: plan.ramp.map(|rate| {
                Duration::try_from_secs_f64(threads / rate).unwrap_or(PACE_MAX).min(PACE_MAX)
            }),
            next_at: Duration::ZERO,
            under_way: HashMap::new(),
            deadlines: VecDeque::new(),
        }
    }

    /// Begins what is due; the links that failed at once are appended to `failed`. Returns when
    /// there is more to do, if that is known.
    pub(super) fn advance<D: Connect>(
        &mut self,
        driver: &mut D,
        links: &mut Links,
        by_slot: &mut Vec<u32>,
        failed: &mut Vec<u32>,
    ) -> Option<Duration> {
        let now = links.now();
        for wish in links.wishes.drain(..) {
            self.due.push(Reverse((wish.at, self.wishes, wish.link)));
            self.wishes += 1;
        }
        let mut begun = 0;
        while let Some(&Reverse((at, _, link))) = self.due.peek() {
            if at.max(self.next_at) > now || self.under_way.len() >= links.under_way_max {
                break;
            }
            if begun == TURN_BEGUN_MAX {
                return Some(now);
            }
            self.due.pop();
            if links.list[link as usize].state != State::Closed {
                continue;
            }
            begun += 1;
            if let Some(pace) = self.pace {
                // What was missed is not caught up with: a ramp does not become a burst.
                self.next_at = self.next_at.max(now.saturating_sub(pace)) + pace;
            }
            if let Err(reason) = self.begin(link, driver, links, by_slot) {
                links.seen.fail(reason);
                failed.push(link);
            }
        }
        self.expire(links);
        let begins_at = match self.due.peek() {
            Some(Reverse((at, _, _))) if self.under_way.len() < links.under_way_max => {
                Some((*at).max(self.next_at))
            }
            _ => None,
        };
        let expires_at = self.deadlines.front().map(|deadline| deadline.at);
        begins_at.into_iter().chain(expires_at).min()
    }

    /// Nothing more is to be opened.
    pub(super) fn forget_wishes(&mut self) {
        self.due.clear();
    }

    fn begin<D: Connect>(
        &mut self,
        link: u32,
        driver: &mut D,
        links: &mut Links,
        by_slot: &mut Vec<u32>,
    ) -> Result<(), Reason> {
        let since = links.clock().now();
        let source = self.plan.source(links.number(link));
        let socket = self.connector.begin(source).map_err(|error| Reason::of_connect(&error))?;
        links.last_begun_at = since;
        let connection = driver.connect(socket).map_err(|_| Reason::named("no_slot_left"))?;
        let slot = connection.slot() as usize;
        if by_slot.len() <= slot {
            by_slot.resize(slot + 1, u32::MAX);
        }
        by_slot[slot] = link;
        let entry = &mut links.list[link as usize];
        entry.connection = connection;
        entry.state = State::Opening;
        links.held += 1;
        self.under_way.insert(link, UnderWay { since, opening: None });
        let at = links.now() + self.plan.handshake_time_max;
        self.deadlines.push_back(Deadline { at, link, connection });
        Ok(())
    }

    /// A socket is connected: the request goes out.
    pub(super) fn connected(&mut self, link: u32, links: &mut Links) {
        let Some(under_way) = self.under_way.get_mut(&link) else { return };
        let mut request = Vec::new();
        match self.terms.begin(links.number(link), &mut request) {
            Ok(opening) => {
                under_way.opening = Some(opening);
                if self.secure(link, links) == Secured::Yes {
                    links.send_raw(link, |out| out.extend_from_slice(&request));
                }
            }
            Err(_) => {
                links.seen.fail(Reason::named("request_invalid"));
                links.leave(link, Ended::Unopened);
            }
        }
    }

    /// Begins TLS on a connected socket, if that is asked for.
    pub(super) fn secure(&self, link: u32, links: &mut Links) -> Secured {
        let Some(security) = &self.plan.security else { return Secured::Yes };
        match Session::new(security) {
            Ok(session) => {
                links.sessions[link as usize] = Some(Box::new(session));
                Secured::Yes
            }
            Err(reason) => {
                links.seen.fail(reason);
                links.leave(link, Ended::Unopened);
                Secured::No
            }
        }
    }

    /// The handshake that a link is in, and the terms to judge it by.
    pub(super) fn opening(&mut self, link: u32) -> Option<(&Terms<'p>, &mut Opening)> {
        let opening = self.under_way.get_mut(&link)?.opening.as_mut()?;
        Some((&self.terms, opening))
    }

    /// A handshake is over, well or not; when its connection was begun.
    pub(super) fn finish(&mut self, link: u32) -> Option<Duration> {
        self.under_way.remove(&link).map(|under_way| under_way.since)
    }

    /// Gives up handshakes that take too long.
    fn expire(&mut self, links: &mut Links) {
        while let Some(&Deadline { at, link, connection }) = self.deadlines.front() {
            let entry = &links.list[link as usize];
            let is_current = entry.connection == connection && entry.state == State::Opening;
            if is_current && at > links.now() {
                break;
            }
            self.deadlines.pop_front();
            if is_current {
                let connected = self.under_way.get(&link).is_some_and(|one| one.opening.is_some());
                links.seen.fail(match connected {
                    true => Reason::HANDSHAKE_TIMED_OUT,
                    false => Reason::named("connect_timed_out"),
                });
                links.leave(link, Ended::Unopened);
            }
        }
    }
}
