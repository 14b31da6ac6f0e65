//! Presence as connections arrive, leave and lag; forgetting; memory.

use std::thread;

use super::*;

#[test]
fn the_last_connection_to_leave_makes_a_client_away() {
    let directory = Directory::default();
    assert_eq!((directory.liveness("ann"), directory.connections("ann")), (Liveness::Unknown, 0));
    let first = directory.arrive("ann");
    let second = directory.arrive("ann");
    assert_eq!((first.since, second.since), (Since::Unknown, Since::Live));
    assert!(Arc::ptr_eq(&first.name, &second.name), "one name for all connections");
    assert_eq!((directory.liveness("ann"), directory.connections("ann")), (Liveness::Live, 2));
    directory.leave("ann", 50);
    assert_eq!(directory.liveness("ann"), Liveness::Live);
    directory.leave("ann", 30);
    assert_eq!((directory.liveness("ann"), directory.connections("ann")), (Liveness::Away, 0));
    // One of the two connections was served up to 50.
    assert_eq!(directory.arrive("ann").since, Since::Left(50));
}

#[test]
fn a_name_is_shared_across_an_absence() {
    let directory = Directory::default();
    let name = directory.arrive("ann").name;
    directory.leave("ann", 1);
    assert!(Arc::ptr_eq(&name, &directory.arrive("ann").name));
}

#[test]
fn a_client_is_behind_when_all_its_connections_are() {
    let directory = Directory::default();
    directory.arrive("ann");
    directory.fall_behind("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Behind);
    directory.arrive("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Live);
    directory.fall_behind("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Behind);
    directory.catch_up("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Live);
    directory.catch_up("ann");
    directory.fall_behind("ann");
    directory.catch_up("ann");
    directory.leave("ann", 1);
    assert_eq!(directory.liveness("ann"), Liveness::Live);
    directory.fall_behind("ann");
    directory.leave("ann", 1);
    assert_eq!(directory.liveness("ann"), Liveness::Away);
    directory.arrive("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Live, "a lag ends with its connection");
}

#[test]
fn reports_about_unknown_clients_change_nothing() {
    let directory = Directory::default();
    directory.leave("ann", 7);
    directory.fall_behind("ann");
    directory.catch_up("ann");
    assert_eq!((directory.liveness("ann"), directory.clients()), (Liveness::Unknown, 0));
    directory.arrive("ann");
    directory.leave("ann", 7);
    directory.leave("ann", 7);
    directory.fall_behind("ann");
    assert_eq!(directory.liveness("ann"), Liveness::Away);
}

#[test]
fn a_client_that_left_before_the_log_begins_is_forgotten() {
    let directory = Directory::default();
    for (name, at) in [("ann", 10), ("bob", 11), ("carl", 12)] {
        directory.arrive(name);
        directory.leave(name, at);
    }
    directory.arrive("dora");
    // The log begins with 12, so a client that has seen 11 has missed nothing.
    directory.forget_before(12);
    let liveness = ["ann", "bob", "carl", "dora"].map(|name| directory.liveness(name));
    assert_eq!(liveness, [Liveness::Unknown, Liveness::Away, Liveness::Away, Liveness::Live]);
    directory.forget_unless(100, |name| name == "carl");
    let liveness = ["bob", "carl", "dora"].map(|name| directory.liveness(name));
    assert_eq!(liveness, [Liveness::Unknown, Liveness::Away, Liveness::Live]);
    directory.forget_before(Sequence::MAX);
    assert_eq!(directory.clients(), 1);
}

#[test]
fn the_byte_count_is_what_is_held() {
    let directory = Directory::default();
    let empty = directory.bytes();
    let name = |number: u32| format!("client-{number:06}");
    for number in 0..100_000 {
        directory.arrive(&name(number));
    }
    let each = (directory.bytes() - empty) / 100_000;
    assert!((33 + 29..=75 + 29).contains(&each), "{each}");
    for number in 0..100_000 {
        directory.leave(&name(number), 5);
    }
    directory.forget_before(100);
    assert_eq!((directory.clients(), directory.bytes()), (0, empty));
}

#[test]
fn many_threads_come_and_go() {
    let directory = Directory::default();
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let directory = &directory;
            scope.spawn(move || {
                for number in 0..20_000_u64 {
                    let name = (number % 100).to_string();
                    directory.arrive(&name);
                    assert_eq!(directory.liveness(&name), Liveness::Live);
                    directory.leave(&name, number * 4 + thread);
                }
            });
        }
    });
    for number in 0..100_u64 {
        let name = number.to_string();
        assert_eq!(directory.connections(&name), 0);
        assert_eq!(directory.arrive(&name).since, Since::Left((19_900 + number) * 4 + 3));
    }
}

/// Connections of one client, which come without a cursor.
struct Seats(Directory);

impl Seats {
    fn arrive(&self, slot: u32, position: u64) -> Since {
        self.0.arrive_now("ann", seat(slot), position).since
    }

    fn leave(&self, slot: u32, at: u64, fate: Fate) -> Option<Handover> {
        self.0.leave_seat("ann", seat(slot), at, fate).handover
    }

    fn end(&self, slot: u32, at: Option<u64>) -> Option<Handover> {
        self.0.end_departure("ann", seat(slot), at)
    }
}

fn seat(slot: u32) -> Seat {
    Seat { core: slot, slot }
}

fn handover(slot: u32, after: u64, through: u64) -> Option<Handover> {
    Some(Handover { seat: seat(slot), after, through })
}

#[test]
fn the_connection_that_began_first_gets_what_the_last_older_one_has_not_taken() {
    let seats = Seats(Directory::default());
    assert_eq!(seats.arrive(0, 3), Since::Unknown);
    assert_eq!(seats.0.shards.iter().map(|shard| lock(shard).besides.bytes()).sum::<usize>(), 0);
    assert_eq!((seats.arrive(1, 7), seats.arrive(2, 5)), (Since::Live, Since::Live));
    assert_eq!(seats.leave(0, 4, Fate::Known), handover(2, 4, 5));
    // It breaks before it is told, and so does the next one.
    assert_eq!(seats.leave(2, 9, Fate::Known), handover(1, 4, 7));
    assert!(!seats.0.take_over("ann", seat(2)));
    assert_eq!(seats.leave(1, 9, Fate::Known), None);
    assert_eq!(seats.arrive(3, 9), Since::Left(4));
    assert_eq!(seats.leave(3, 9, Fate::Known), None);
    assert_eq!(seats.arrive(3, 9), Since::Left(9));
}

#[test]
fn a_loss_is_reported_only_when_it_is_known_what_was_taken() {
    for (at, told) in [(Some(5), None), (Some(4), handover(1, 4, 5)), (None, handover(1, 3, 5))] {
        let seats = Seats(Directory::default());
        seats.arrive(0, 3);
        seats.arrive(1, 5);
        assert_eq!(seats.leave(0, 3, Fate::Awaited), None);
        assert_eq!(seats.end(0, at), told);
        assert_eq!(seats.0.take_over("ann", seat(1)), told.is_some());
        assert_eq!(seats.leave(1, 8, Fate::Known), None);
        assert_eq!(seats.arrive(2, 8), Since::Left(8));
    }
}

#[test]
fn the_position_of_a_later_connection_counts_once_the_earlier_one_reaches_it() {
    for (at, left) in [(4, 4), (5, 9), (6, 9)] {
        for first in [Fate::Known, Fate::Awaited] {
            let seats = Seats(Directory::default());
            seats.arrive(0, 3);
            seats.arrive(1, 5);
            assert_eq!(seats.leave(1, 9, first), None);
            if first == Fate::Awaited {
                assert_eq!(seats.end(1, Some(9)), None);
            }
            assert_eq!(seats.leave(0, at, Fate::Known), None);
            assert_eq!(seats.arrive(2, 9), Since::Left(left));
            assert_eq!(
                seats.0.shards.iter().map(|shard| lock(shard).besides.bytes()).sum::<usize>(),
                0
            );
        }
    }
}

#[test]
fn a_loss_is_not_reported_while_another_connection_may_deliver_it() {
    let seats = Seats(Directory::default());
    seats.arrive(0, 3);
    // One with a cursor has all.
    seats.0.arrive("ann");
    seats.arrive(1, 5);
    assert_eq!(seats.leave(0, 4, Fate::Known), None);
    assert_eq!(seats.leave(9, 6, Fate::Known), None, "the one with a cursor");
    assert_eq!(seats.leave(1, 8, Fate::Known), None);
    assert_eq!(seats.arrive(2, 8), Since::Left(8));
}
