//! The gateway in a simulated world: the real shard, virtual clients, a network with faults.
//!
//! Every test runs many seeds. No socket is opened, nothing sleeps, and a seed always runs the
//! same way.

#![forbid(unsafe_code)]

mod behaviour;
mod connection;
mod decoder;
mod hub;
mod ledger;
mod playback;
mod relay;
mod scenario;
mod script;
mod seeds;
mod world;

use decoder::Said;
use hub::Tally;
use scenario::Scenario;
use seeds::each_seed;
use world::World;

#[test]
fn every_client_gets_the_answers_it_is_owed() {
    let mut satisfied = 0;
    each_seed("every_client_gets_the_answers_it_is_owed", 2000, |seed| {
        satisfied += World::new(Scenario::everyone(seed)).run().satisfied;
    });
    assert!(satisfied > 0, "nobody came to an end in good order");
}

#[test]
fn slow_readers_cost_bounded_memory() {
    let mut overruns = 0;
    each_seed("slow_readers_cost_bounded_memory", 300, |seed| {
        overruns += World::new(Scenario::slow_readers(seed)).run().overruns;
    });
    assert!(overruns > 0, "nobody's reading was paused");
}

#[test]
fn a_drain_at_any_moment_tells_every_client_and_ends_in_time() {
    let mut told = 0;
    each_seed("a_drain_at_any_moment_tells_every_client_and_ends_in_time", 1500, |seed| {
        let world = World::new(Scenario::drain(seed));
        let (_, farewells) = world
            .run_and_ask(|client| matches!(client.farewell(), Some(Said::Close(Some(1001), _))));
        told += farewells.iter().filter(|told| **told).count();
    });
    assert!(told > 0, "nobody was told to leave");
}

#[test]
fn a_client_over_the_limit_is_told_so() {
    let mut refused = 0;
    each_seed("a_client_over_the_limit_is_told_so", 600, |seed| {
        let world = World::new(Scenario::crowd(seed));
        let (_, farewells) = world
            .run_and_ask(|client| matches!(client.farewell(), Some(Said::Response(429 | 503))));
        refused += farewells.iter().filter(|refused| **refused).count();
    });
    assert!(refused > 0, "every client was admitted");
}

#[test]
fn a_slow_handshake_is_timed_out() {
    let mut timed_out = 0;
    each_seed("a_slow_handshake_is_timed_out", 300, |seed| {
        let world = World::new(Scenario::slow_handshakes(seed));
        let (_, farewells) =
            world.run_and_ask(|client| client.farewell() == Some(&Said::Response(408)));
        timed_out += farewells.iter().filter(|timed_out| **timed_out).count();
    });
    assert!(timed_out > 0, "no handshake was timed out");
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    each_seed("a_seed_runs_the_same_way_twice", 60, |seed| {
        for scenario in [Scenario::everyone, Scenario::drain, Scenario::crowd] {
            let run = || World::new(scenario(seed)).run();
            assert_eq!(run(), run());
        }
        assert_ne!(
            World::new(Scenario::everyone(seed)).run().trace,
            World::new(Scenario::everyone(seed + 1)).run().trace,
        );
    });
}

/// So many seeds make everything happen.
const ENOUGH: usize = 500;

#[test]
fn every_transport_sends_each_client_the_events_for_it() {
    let mut sum = Tally::default();
    let seeds = each_seed("every_transport_sends_each_client_the_events_for_it", 700, |seed| {
        sum += hub::World::new(hub::Scenario::everything(seed)).run();
    });
    assert!(seeds < ENOUGH || sum.is_rich(), "too little has happened: {sum:#?}");
}

#[test]
fn on_a_perfect_network_nothing_is_late_and_nothing_is_lost() {
    each_seed("on_a_perfect_network_nothing_is_late_and_nothing_is_lost", 200, |seed| {
        let tally = hub::World::new(hub::Scenario::calm(seed)).run();
        assert_eq!((tally.lagged, tally.too_slow), (0, 0), "there was room for everything");
    });
}

#[test]
fn a_client_without_a_cursor_gets_what_no_socket_took() {
    each_seed("a_client_without_a_cursor_gets_what_no_socket_took", 500, |seed| {
        hub::World::new(hub::Scenario::forgetful(seed)).run();
    });
}

#[test]
fn a_flood_of_events_is_delivered_in_turns() {
    each_seed("a_flood_of_events_is_delivered_in_turns", 40, |seed| {
        hub::World::new(hub::Scenario::flood(seed)).run();
    });
}

#[test]
fn a_seed_of_the_hub_runs_the_same_way_twice() {
    each_seed("a_seed_of_the_hub_runs_the_same_way_twice", 20, |seed| {
        for scenario in [hub::Scenario::everything, hub::Scenario::calm] {
            let run = || hub::World::new(scenario(seed)).run();
            assert_eq!(run(), run());
        }
    });
}
