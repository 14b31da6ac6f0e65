//! A server with several addresses, of which some refuse connections.

#![forbid(unsafe_code)]

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use ringway_loadtest::{
    args::{CommonArgs, IoArg},
    engine::coordinator::{Coordinator, Observer},
    measure::timeline::Seen,
    mode::idle::{Idle, IdlePlan},
    prepare,
    wire::{failure::Reason, handshake::Approach, message::Form, target::Target},
};

struct Nobody;

impl Observer for Nobody {
    fn opening(&mut self, _seen: &Seen, _of: u32) {}

    fn running(&mut self, _seen: &Seen, _elapsed: Duration) {}
}

/// What is counted while eight connections are opened to a server with these addresses.
fn open(addresses: Vec<SocketAddr>, io: IoArg) -> Option<Seen> {
    let url = "http://127.0.0.1:9/";
    let mut args = CommonArgs::of(url);
    (args.connections, args.threads, args.io) = (8, Some(1), io);
    let mut plan = prepare::plan(&args, Form::Plain, 0, Duration::from_secs(1)).ok()?;
    let target = Target::parse(url).unwrap().at(addresses);
    // These connections are open as soon as they are connected.
    plan.approach = Approach::new(target, Form::Plain).with_requests();
    let mut coordinator = Coordinator::start(plan, |share, plan| {
        Idle::new(IdlePlan::default(), plan.share(share.index).1)
    })
    .unwrap();
    let seen = coordinator.await_ready(&mut Nobody).unwrap();
    coordinator.end();
    Some(seen)
}

#[test]
fn after_a_refused_address_the_next_is_tried() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, closed) = (free(), [free(), free()].map(|one| one.local_addr().unwrap()));
    let address = server.local_addr().unwrap();
    for io in [IoArg::Epoll, IoArg::Uring] {
        let addresses = vec![closed[0], closed[1], address];
        // This host may not support io_uring.
        let Some(seen) = open(addresses, io) else { continue };
        assert_eq!((seen.opened, seen.errors.len()), (8, 0), "{io:?} {:?}", seen.errors);
        let seen = open(closed.to_vec(), io).unwrap();
        let refused = Reason::named("connect_refused");
        assert_eq!((seen.opened, seen.errors.get(&refused)), (0, Some(&8)), "{io:?}");
    }
}
