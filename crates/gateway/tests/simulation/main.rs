//! The gateway in a simulated world: real shards, virtual clients, a network with faults.
//!
//! Every test runs many seeds of a scenario, and the same checkers check every scenario. No socket
//! is opened, nothing sleeps, and a seed always runs the same way.

#![forbid(unsafe_code)]

mod behaviour;
mod checkers;
mod connection;
mod core;
mod decoder;
mod hub;
mod identities;
mod playback;
mod relay;
mod scenario;
mod script;
mod sealing;
mod seeds;
mod tally;
mod world;

use scenario::Scenario;
use seeds::each_seed;
use tally::{Count, Tally};
use world::World;

/// Runs `count` seeds of a scenario. Returns the counts of events, and the number of seeds.
fn run(test: &str, count: u64, scenario: impl Fn(u64) -> Scenario) -> (Tally, u64) {
    let mut sum = Tally::default();
    let seeds = each_seed(test, count, |seed| sum += World::new(scenario(seed)).run());
    (sum, seeds)
}

#[test]
fn every_client_gets_the_answers_it_is_owed() {
    let test = "every_client_gets_the_answers_it_is_owed";
    let (tally, _) = run(test, 2_000, Scenario::everyone);
    assert!(tally.of(Count::Satisfied) > 0, "no client got all that it was owed");
    assert!(tally.of(Count::Placed) > 0, "no bytes were received where a message is assembled");
}

#[test]
fn a_client_behind_a_layer_of_records_gets_the_answers_it_is_owed() {
    let test = "a_client_behind_a_layer_of_records_gets_the_answers_it_is_owed";
    let (tally, _) = run(test, 1_000, Scenario::everyone_sealed);
    assert!(tally.of(Count::Satisfied) > 0, "no client got all that it was owed");
}

#[test]
fn a_client_that_is_paused_for_sending_too_fast_loses_nothing() {
    let test = "a_client_that_is_paused_for_sending_too_fast_loses_nothing";
    let (tally, seeds) = run(test, 500, Scenario::fast_senders);
    assert_eq!(tally.of(Count::TooFast), 0, "a pause ends no connection");
    let counts = [Count::Satisfied, Count::Paused].map(|count| tally.of(count));
    assert!(seeds < 500 || counts.iter().all(|count| *count > 100), "{tally:#?}");
}

#[test]
fn a_client_that_sends_too_fast_is_closed_if_the_settings_say_so() {
    let test = "a_client_that_sends_too_fast_is_closed_if_the_settings_say_so";
    let (tally, seeds) = run(test, 500, Scenario::fast_senders_closed);
    assert_eq!(tally.of(Count::Paused), 0, "nothing is paused");
    let counts = [Count::Satisfied, Count::TooFast].map(|count| tally.of(count));
    assert!(seeds < 500 || counts.iter().all(|count| *count > 50), "{tally:#?}");
}

#[test]
fn slow_readers_cost_bounded_memory() {
    let (tally, _) = run("slow_readers_cost_bounded_memory", 300, Scenario::slow_readers);
    assert!(tally.of(Count::Overruns) > 0, "no client's input was paused");
}

#[test]
fn a_drain_at_any_moment_closes_every_client_and_ends_in_time() {
    let test = "a_drain_at_any_moment_closes_every_client_and_ends_in_time";
    let (tally, _) = run(test, 1_500, Scenario::drain);
    assert!(tally.of(Count::GoingAway) > 0, "no client was told to leave");
}

#[test]
fn an_old_connection_ends_in_time_and_its_client_gets_what_it_is_owed() {
    let test = "an_old_connection_ends_in_time_and_its_client_gets_what_it_is_owed";
    let (tally, seeds) = run(test, 500, Scenario::aging);
    let counts = [Count::TooOld, Count::Satisfied].map(|count| tally.of(count));
    assert!(seeds < 500 || counts.iter().all(|count| *count > 50), "{tally:#?}");
}

/// The checks are those of all clients of the hub: nothing is lost without a gap, and in order.
#[test]
fn clients_whose_connections_become_old_lose_nothing() {
    let test = "clients_whose_connections_become_old_lose_nothing";
    let (tally, seeds) = run(test, 200, Scenario::aging_hub);
    let wanted = [Count::SentAway, Count::Resumed, Count::EventsReceived];
    let has_all = wanted.iter().all(|count| tally.of(*count) > 100);
    assert!(seeds < 200 || has_all, "too little has happened: {tally:#?}");
}

#[test]
fn a_client_over_the_limit_gets_a_refusal() {
    let (tally, _) = run("a_client_over_the_limit_gets_a_refusal", 600, Scenario::crowd);
    assert!(tally.of(Count::Rejected) > 0, "every client was admitted");
}

#[test]
fn a_slow_handshake_is_timed_out() {
    let (tally, _) = run("a_slow_handshake_is_timed_out", 300, Scenario::slow_handshakes);
    assert!(tally.of(Count::TimedOut) > 0, "no handshake was timed out");
}

#[test]
fn every_transport_sends_each_client_the_events_for_it() {
    let test = "every_transport_sends_each_client_the_events_for_it";
    let (tally, seeds) = run(test, 700, Scenario::everything);
    let has_all = Count::HUB.iter().all(|count| tally.of(*count) > 0);
    assert!(seeds < 500 || has_all, "too little has happened: {tally:#?}");
}

#[test]
fn a_session_ends_with_its_token_and_with_the_revocation_of_its_client() {
    let test = "a_session_ends_with_its_token_and_with_the_revocation_of_its_client";
    let (tally, seeds) = run(test, 200, Scenario::identified);
    let wanted = [Count::TokensRefused, Count::Renewed, Count::SessionsEnded, Count::Revoked];
    let has_all = wanted.iter().all(|count| tally.of(*count) > 50);
    assert!(seeds < 200 || has_all, "too little has happened: {tally:#?}");
}

#[test]
fn clients_of_the_hub_and_of_scripts_share_cores() {
    let (tally, _) = run("clients_of_the_hub_and_of_scripts_share_cores", 300, Scenario::mixed);
    let counts = [Count::Satisfied, Count::EventsReceived].map(|count| tally.of(count));
    assert!(counts.iter().all(|count| *count > 0), "{tally:#?}");
}

#[test]
fn on_a_perfect_network_nothing_is_late_and_nothing_is_lost() {
    let test = "on_a_perfect_network_nothing_is_late_and_nothing_is_lost";
    let (tally, _) = run(test, 200, Scenario::calm);
    let late = [Count::Lagged, Count::TooSlow].map(|count| tally.of(count));
    assert_eq!(late, [0, 0], "there was room for everything");
    assert_eq!(tally.of(Count::EndsUnannounced), 0, "close_notify comes before FIN");
}

#[test]
fn events_that_come_during_a_pass_are_merged_and_wait_for_one_pass_at_most() {
    let test = "events_that_come_during_a_pass_are_merged_and_wait_for_one_pass_at_most";
    let (tally, seeds) = run(test, 100, Scenario::audience);
    assert!(seeds < 20 || tally.of(Count::Merged) > 100, "nothing was merged: {tally:#?}");
}

#[test]
fn a_client_without_a_cursor_gets_the_events_that_no_socket_took() {
    run("a_client_without_a_cursor_gets_the_events_that_no_socket_took", 500, Scenario::forgetful);
}

#[test]
fn a_log_that_answers_late_neither_loses_nor_repeats_events() {
    let test = "a_log_that_answers_late_neither_loses_nor_repeats_events";
    let (tally, seeds) = run(test, 500, Scenario::late_log);
    let wanted = [Count::Unavailable, Count::Repeated, Count::Delivered, Count::Queued];
    let has_all = wanted.iter().all(|count| tally.of(*count) > 1_000);
    assert!(seeds < 500 || has_all, "too little has happened: {tally:#?}");
}

/// The good clients are those of all other scenarios: they lose nothing without a gap, and no
/// command of theirs is performed twice.
#[test]
fn a_client_that_floods_is_refused_and_the_others_lose_nothing() {
    let test = "a_client_that_floods_is_refused_and_the_others_lose_nothing";
    let (tally, seeds) = run(test, 100, Scenario::crowded);
    let wanted = [Count::Crowded, Count::Repeated, Count::Delivered, Count::Queued];
    let has_all = wanted.iter().all(|count| tally.of(*count) > 200);
    assert!(seeds < 100 || has_all, "too little has happened: {tally:#?}");
}

#[test]
fn a_flood_of_events_is_delivered_in_turns() {
    run("a_flood_of_events_is_delivered_in_turns", 40, Scenario::flood);
}

#[test]
fn a_relay_passes_on_a_prefix_under_any_faults() {
    let test = "a_relay_passes_on_a_prefix_under_any_faults";
    let (tally, seeds) = run(test, 1_000, Scenario::relay);
    let has_all = Count::RELAY.iter().all(|count| tally.of(*count) > 50);
    assert!(seeds < 1_000 || has_all, "too little has happened: {tally:#?}");
}

#[test]
fn without_losses_a_relay_passes_on_every_byte() {
    let test = "without_losses_a_relay_passes_on_every_byte";
    let (tally, seeds) = run(test, 300, Scenario::lossless_relay);
    let lost = [
        Count::RelaysReset,
        Count::RelaysRefused,
        Count::RelaysTimedOut,
        Count::RelaysPassedRefusal,
        Count::RelaysCancelled,
    ];
    assert!(lost.iter().all(|count| tally.of(*count) == 0), "{tally:#?}");
    let wanted = [Count::RelaysCompleted, Count::RelaysSentAfterEnd, Count::RelaysHeldBack];
    let has_all = wanted.iter().all(|count| tally.of(*count) > 50);
    assert!(seeds < 300 || has_all, "too little has happened: {tally:#?}");
}

/// A bound that two backlogs already exceed: both sides are reset, and nothing is left.
#[test]
fn a_relay_that_buffers_too_much_ends_both_sides() {
    let (tally, seeds) = run("a_relay_that_buffers_too_much_ends_both_sides", 250, |seed| {
        let mut scenario = Scenario::relay(seed);
        scenario.relays.as_mut().expect("it relays").memory_bytes = 24 << 10;
        scenario
    });
    assert!(seeds < 250 || tally.of(Count::RelaysReset) > 50, "{tally:#?}");
}

/// Two runs of a seed are the same, and another seed runs another way.
fn check_repetition(test: &str, seeds: u64, scenarios: &[fn(u64) -> Scenario]) {
    each_seed(test, seeds, |seed| {
        for scenario in scenarios {
            let run = |seed| World::new(scenario(seed)).run();
            let tally = run(seed);
            assert_eq!(tally, run(seed));
            assert_ne!(tally.trace, run(seed + 1).trace);
        }
    });
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    let scenarios: &[fn(u64) -> Scenario] =
        &[Scenario::everyone, Scenario::drain, Scenario::crowd, Scenario::relay];
    check_repetition("a_seed_runs_the_same_way_twice", 60, scenarios);
}

#[test]
fn a_seed_of_the_hub_runs_the_same_way_twice() {
    let scenarios: &[fn(u64) -> Scenario] = &[Scenario::everything, Scenario::calm];
    check_repetition("a_seed_of_the_hub_runs_the_same_way_twice", 20, scenarios);
}
