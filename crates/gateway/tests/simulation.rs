//! The gateway in a simulated world: the real shard, virtual clients, a network with faults.
//!
//! Every test runs many seeds. No socket is opened, nothing sleeps, and a seed always tells the
//! same story.

#![forbid(unsafe_code)]

#[path = "simulation/answers.rs"]
mod answers;
#[path = "simulation/hub/mod.rs"]
mod hub;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/manner.rs"]
mod manner;
#[path = "simulation/relay.rs"]
mod relay;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/violation.rs"]
mod violation;
#[path = "simulation/visitor.rs"]
mod visitor;
#[path = "simulation/world.rs"]
mod world;

use answers::Answer;
use hub::{Course, Story};
use scenario::Scenario;
use seeds::each_seed;
use world::World;

#[test]
fn every_client_gets_what_it_is_owed() {
    let mut satisfied = 0;
    each_seed("every_client_gets_what_it_is_owed", 2000, |seed| {
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
fn a_drain_at_any_moment_tells_all_and_ends_in_time() {
    let mut told = 0;
    each_seed("a_drain_at_any_moment_tells_all_and_ends_in_time", 1500, |seed| {
        let going_away = Answer::Close(Some(1001));
        let world = World::new(Scenario::drain(seed));
        let (_, farewells) = world.run_and_ask(|visitor| visitor.farewell() == Some(&going_away));
        told += farewells.iter().filter(|told| **told).count();
    });
    assert!(told > 0, "nobody was told to leave");
}

#[test]
fn whoever_finds_no_seat_is_told_so() {
    let mut refused = 0;
    each_seed("whoever_finds_no_seat_is_told_so", 600, |seed| {
        let world = World::new(Scenario::crowd(seed));
        let (_, farewells) = world
            .run_and_ask(|visitor| matches!(visitor.farewell(), Some(Answer::Response(429 | 503))));
        refused += farewells.iter().filter(|refused| **refused).count();
    });
    assert!(refused > 0, "everybody found a seat");
}

#[test]
fn a_slow_handshake_is_timed_out() {
    let mut timed_out = 0;
    each_seed("a_slow_handshake_is_timed_out", 300, |seed| {
        let world = World::new(Scenario::slow_handshakes(seed));
        let (_, farewells) =
            world.run_and_ask(|visitor| visitor.farewell() == Some(&Answer::Response(408)));
        timed_out += farewells.iter().filter(|timed_out| **timed_out).count();
    });
    assert!(timed_out > 0, "nobody was told a 408");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    each_seed("a_seed_tells_the_same_story_twice", 60, |seed| {
        for scenario in [Scenario::everyone, Scenario::drain, Scenario::crowd] {
            let tell = || World::new(scenario(seed)).run();
            assert_eq!(tell(), tell());
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
fn every_transport_tells_each_client_what_is_for_it() {
    let mut sum = Story::default();
    let seeds = each_seed("every_transport_tells_each_client_what_is_for_it", 700, |seed| {
        sum += hub::World::new(Course::everything(seed)).run();
    });
    assert!(seeds < ENOUGH || sum.is_rich(), "too little has happened: {sum:#?}");
}

#[test]
fn on_a_good_day_nothing_is_late_and_nothing_is_lost() {
    each_seed("on_a_good_day_nothing_is_late_and_nothing_is_lost", 200, |seed| {
        let story = hub::World::new(Course::calm(seed)).run();
        assert_eq!((story.lagged, story.too_slow), (0, 0), "there was room for everything");
    });
}

#[test]
fn whoever_has_no_cursor_gets_what_no_socket_took() {
    each_seed("whoever_has_no_cursor_gets_what_no_socket_took", 500, |seed| {
        hub::World::new(Course::forgetful(seed)).run();
    });
}

#[test]
fn a_log_that_answers_later_loses_nothing_and_doubles_nothing() {
    let mut sum = Story::default();
    let seeds =
        each_seed("a_log_that_answers_later_loses_nothing_and_doubles_nothing", 500, |seed| {
            sum += hub::World::new(Course::late(seed)).run();
        });
    let is_rich = sum.is_rich() && sum.unavailable > 0;
    assert!(seeds < ENOUGH || is_rich, "too little has happened: {sum:#?}");
}

#[test]
fn a_flood_is_served_in_turns() {
    each_seed("a_flood_is_served_in_turns", 40, |seed| {
        hub::World::new(Course::flood(seed)).run();
    });
}

#[test]
fn the_hub_tells_the_same_story_twice() {
    each_seed("the_hub_tells_the_same_story_twice", 20, |seed| {
        for course in [Course::everything, Course::calm] {
            let tell = || hub::World::new(course(seed)).run();
            assert_eq!(tell(), tell());
        }
    });
}
