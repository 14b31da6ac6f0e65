//! Opening connections: how fast, how many at a time, and how long a handshake may take.
//!
//! It begins them; what their sockets then bring is the fleet's to hand over.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    io,
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
    /// One for each address of the server.
    connectors: Vec<Connector>,
    /// The address that was connected to last, which is tried first.
    preferred: usize,
    /// Links whose last try failed at one address, and that try the next.
    tries: HashMap<u32, Try>,
    /// Which to open when, the earliest first; the second number keeps the order of wishes.
    due: BinaryHeap<Reverse<(Duration, u64, u32)>>,
    wishes: u64,
    /// The time between two openings, if that is bounded, and when the next one may begin.
    pace: Option<Duration>,
    next_at: Duration,
    under_way: HashMap<u32, UnderWay>,
    deadlines: VecDeque<Deadline>,
}

/// A connection's way through the addresses of its server.
#[derive(Debug, Clone, Copy)]
struct Try {
    /// When the first address was tried.
    since: Duration,
    /// Which one that was.
    first: usize,
    /// How many have failed.
    failed: usize,
}

struct UnderWay {
    at: Try,
    /// `None` until the socket is connected.
    opening: Option<Opening>,
}

/// Whether bytes may go out, encrypted if that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secured {
    Yes,
    No,
}

/// Whether another address of the server is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    Yes,
    No,
}

/// Another address would take a descriptor, too.
fn is_for_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl<'p> Opener<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let threads = f64::from(plan.threads);
        let connectors = plan.approach.target().addresses().iter().map(|address| {
            let connector = Connector::new(*address);
            match plan.cut {
                Cut::Fin => connector,
                Cut::Reset => connector.with_reset_at_close(),
            }
        });
        Self {
            plan,
            terms: Terms::of(&plan.approach),
            connectors: connectors.collect(),
            preferred: 0,
            tries: HashMap::new(),
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
        self.tries.clear();
    }

    /// A link's connect(2) has failed: whether the server has another address to try.
    pub(super) fn next_address(&mut self, link: u32) -> Fallback {
        let Some(UnderWay { at, opening: None }) = self.under_way.get(&link) else {
            return Fallback::No;
        };
        if at.failed + 1 >= self.connectors.len() {
            return Fallback::No;
        }
        self.tries.insert(link, Try { failed: at.failed + 1, ..*at });
        Fallback::Yes
    }

    /// Whether a link that has no connection goes on with another address.
    pub(super) fn is_trying(&self, link: u32) -> bool {
        self.tries.contains_key(&link)
    }

    /// A socket is connected: others are likely to be at the same address.
    pub(super) fn prefer_address_of(&mut self, link: u32) {
        if let Some(UnderWay { at, .. }) = self.under_way.get(&link) {
            self.preferred = (at.first + at.failed) % self.connectors.len();
        }
    }

    fn begin<D: Connect>(
        &mut self,
        link: u32,
        driver: &mut D,
        links: &mut Links,
        by_slot: &mut Vec<u32>,
    ) -> Result<(), Reason> {
        let now = links.clock().now();
        let source = self.plan.source(links.number(link));
        let mut at = self.tries.remove(&link).unwrap_or(Try {
            since: now,
            first: self.preferred,
            failed: 0,
        });
        let count = self.connectors.len();
        let socket = loop {
            match self.connectors[(at.first + at.failed) % count].begin(source) {
                Ok(socket) => break socket,
                Err(error) if at.failed + 1 >= count || is_for_want_of_descriptors(&error) => {
                    return Err(Reason::of_connect(&error));
                }
                Err(_) => at.failed += 1,
            }
        };
        links.last_begun_at = now;
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
        self.under_way.insert(link, UnderWay { at, opening: None });
        let at = links.now() + self.plan.handshake_time_max;
        self.deadlines.push_back(Deadline { at, link, connection });
        Ok(())
    }

    /// A socket is connected: the request goes out.
    pub(super) fn connected(&mut self, link: u32, links: &mut Links) {
        let Some(under_way) = self.under_way.get_mut(&link) else { return };
        let mut request = Vec::new();
        let cursor = self.plan.cursor.as_deref().zip(links.cursor(link));
        match self.terms.begin(links.number(link), cursor, &mut request) {
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
        self.under_way.remove(&link).map(|under_way| under_way.at.since)
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
                if connected {
                    links.seen.fail(Reason::HANDSHAKE_TIMED_OUT);
                } else if self.next_address(link) == Fallback::No {
                    links.seen.fail(Reason::named("connect_timed_out"));
                }
                links.leave(link, Ended::Unopened);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::{
        args::{CommonArgs, IoArg},
        engine::conductor::{Conductor, Observer},
        measure::timeline::Seen,
        mode::idle::{Idle, IdlePlan},
        prepare,
        wire::{message::Form, opening::Approach, target::Target},
    };

    struct Nobody;

    impl Observer for Nobody {
        fn opening(&mut self, _seen: &Seen, _of: u32) {}

        fn running(&mut self, _seen: &Seen, _elapsed: Duration) {}
    }

    /// What is seen while eight connections are opened to a server with these addresses.
    fn open(addresses: Vec<SocketAddr>, io: IoArg) -> Option<Seen> {
        let url = "http://127.0.0.1:9/";
        let mut args = CommonArgs::of(url);
        (args.connections, args.threads, args.io) = (8, Some(1), io);
        let mut plan = prepare::plan(&args, Form::Plain, 0, Duration::from_secs(1)).ok()?;
        let target = Target::parse(url).unwrap().at(addresses);
        // Open as soon as they are connected.
        plan.approach = Approach::new(target, Form::Plain).with_requests();
        let mut conductor = Conductor::start(plan, |share, plan| {
            Idle::new(IdlePlan::default(), plan.share(share.index).1)
        })
        .unwrap();
        let seen = conductor.await_ready(&mut Nobody).unwrap();
        conductor.end();
        Some(seen)
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (server, closed) = (free(), [free(), free()].map(|one| one.local_addr().unwrap()));
        let address = server.local_addr().unwrap();
        for io in [IoArg::Epoll, IoArg::Uring] {
            let addresses = vec![closed[0], closed[1], address];
            // This host may have no io_uring.
            let Some(seen) = open(addresses, io) else { continue };
            assert_eq!((seen.opened, seen.errors.len()), (8, 0), "{io:?} {:?}", seen.errors);
            let seen = open(closed.to_vec(), io).unwrap();
            let refused = Reason::named("connect_refused");
            assert_eq!((seen.opened, seen.errors.get(&refused)), (0, Some(&8)), "{io:?}");
        }
    }
}
