//! The contract of `Driver`, as cases that every driver on real sockets must pass.
//!
//! A case is written once, generic over the driver. It never asserts how fast something is,
//! only that it does not hang, spin, lose or reorder.

mod accepting;
mod connecting;
mod ending;
mod harness;
mod receiving;
mod resetting;
mod sending;
mod waking;

/// All cases for one driver.
macro_rules! contract {
    ($engine:ident, $driver:ty) => {
        mod $engine {
            contract! { @cases $driver;
                accepting::a_client_is_accepted_with_its_address,
                accepting::each_listener_has_its_index,
                accepting::cores_take_turns_at_a_shared_socket,
                accepting::a_burst_of_clients_is_accepted,
                accepting::one_client_too_many_is_refused_and_the_next_is_not,
                accepting::a_full_table_never_spins,
                accepting::stop_accepting_keeps_connections,
                accepting::events_are_counted,
                connecting::a_connection_is_made_and_echoes,
                connecting::a_peer_that_sends_first_is_received_after_connected,
                connecting::a_slow_server_gets_every_byte,
                connecting::a_refused_attempt_fails_once,
                connecting::an_attempt_that_is_reset_at_once_fails,
                connecting::a_cancelled_attempt_is_answered_once,
                connecting::a_cancel_races_with_the_outcome,
                connecting::a_stale_token_is_ignored,
                connecting::a_close_right_after_connected_is_reported_once,
                connecting::an_attempt_waits_until_it_is_answered,
                connecting::an_attempt_without_a_slot_fails_at_once,
                connecting::a_failed_attempt_frees_its_slot,
                connecting::an_attempt_from_a_foreign_source_fails_at_once,
                connecting::connections_come_from_the_source_given,
                connecting::a_thousand_attempts_of_one_turn_succeed,
                connecting::attempts_without_an_answer_are_bounded,
                receiving::few_buffers_lose_nothing,
                receiving::a_client_that_sends_much_pauses_and_ends_like_others,
                receiving::a_client_that_sends_much_is_received_in_places,
                receiving::clients_that_are_put_off_take_turns,
                receiving::a_client_that_sends_much_is_closed_at_any_time,
                receiving::a_driver_may_be_dropped_at_any_time,
                receiving::bytes_are_echoed,
                receiving::the_end_of_stream_follows_the_last_bytes,
                receiving::a_long_tail_arrives_before_the_end_of_stream,
                receiving::a_lingering_end_never_spins,
                receiving::a_reset_fails_once,
                receiving::a_pause_loses_nothing,
                receiving::a_pause_and_resume_in_one_turn_change_nothing,
                receiving::an_end_during_a_pause_is_reported_after_it,
                receiving::a_reset_during_a_pause_is_reported,
                resetting::clients_that_reset_before_the_accept_leave_nothing,
                resetting::clients_that_reset_during_the_accept_leave_nothing,
                resetting::bytes_and_a_reset_of_one_turn_are_both_reported,
                resetting::bytes_and_a_reset_during_a_pause_are_both_reported,
                resetting::bytes_and_a_reset_around_a_cancel_are_both_reported,
                resetting::bytes_and_a_reset_without_buffers_are_both_reported,
                resetting::bytes_and_a_reset_at_a_bound_are_both_reported,
                resetting::a_peer_that_sends_and_resets_at_once_fails,
                resetting::bytes_and_a_reset_with_a_backlog_are_reported,
                resetting::bytes_and_a_reset_after_our_fin_are_both_reported,
                resetting::bytes_without_a_reset_are_no_failure,
                sending::every_kind_of_send_arrives,
                sending::shared_pieces_are_kept_once_and_arrive_in_order,
                sending::a_slow_reader_gets_every_byte_in_order,
                sending::a_backlog_is_reported_in_the_turn_of_its_send,
                sending::sends_in_the_middle_of_a_turn_keep_their_order,
                sending::sends_queue_after_a_backlog,
                sending::a_backlog_forms_and_drains_again_and_again,
                sending::progress_is_what_the_peer_has_acknowledged,
                sending::progress_of_an_ended_or_void_connection_is_not_reported,
                sending::shutdown_follows_the_backlog,
                sending::nothing_is_sent_after_shutdown,
                sending::a_peer_that_leaves_its_backlog_fails_the_connection,
                sending::a_finished_peer_still_reads,
                ending::a_closed_peer_notices_at_once,
                ending::the_last_send_arrives_before_the_close,
                ending::a_close_drops_the_backlog,
                ending::a_reset_drops_what_the_kernel_has,
                ending::a_reset_of_a_quiet_connection_sends_rst,
                ending::a_close_with_bytes_unread_is_noticed,
                ending::closing_twice_is_reported_once,
                ending::an_ended_or_broken_connection_closes,
                ending::a_stale_id_is_ignored,
                ending::slots_are_reused,
                waking::a_wait_ends_with_its_timeout,
                waking::a_wake_up_ends_a_wait,
                waking::a_wake_up_before_a_wait_is_not_lost,
                waking::no_wake_up_is_lost_between_threads,
                waking::no_wake_up_is_lost_between_cores,
                waking::waking_a_core_that_is_gone_is_harmless,
            }
        }
    };
    (@cases $driver:ty; $($topic:ident::$case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                if <$driver as crate::harness::Subject>::is_offered() {
                    crate::$topic::$case::<$driver>();
                } else {
                    eprintln!("skipped: this kernel does not offer the driver");
                }
            }
        )*
    };
}

contract!(epoll, ringway_acceptor::epoll::EpollDriver);
contract!(uring, ringway_acceptor::uring::UringDriver);
