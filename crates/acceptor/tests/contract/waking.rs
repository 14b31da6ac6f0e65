//! Cases: how a wait ends.
//!
//! No wake-up is lost, and none is needed to meet a timeout.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringway_acceptor::{Operation, Waker};

use crate::harness::{PATIENCE, Rig, Seen, Subject};

pub fn a_wait_ends_with_its_timeout<D: Subject>() {
    let mut rig = Rig::<D>::new();
    for timeout in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(30)] {
        let started = Instant::now();
        rig.turn(timeout);
        assert!(started.elapsed() >= timeout, "slept {:?}", started.elapsed());
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!((rig.seen.len(), rig.driver.counters().turns), (0, 3));
}

pub fn a_wake_up_ends_a_wait<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let waker = rig.driver.waker();
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(30));
            waker.wake();
        });
        let started = Instant::now();
        rig.turn(PATIENCE);
        assert!(started.elapsed() < PATIENCE / 2);
    });
    assert_eq!(rig.seen, [Seen::Woken]);
    assert!(rig.settle() <= 4);
    assert_eq!(rig.seen, [Seen::Woken], "a wake-up is reported once");
}

pub fn a_wake_up_before_a_wait_is_not_lost<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let waker = rig.driver.waker();
    for round in 1..=3 {
        waker.wake();
        waker.wake();
        rig.turn(PATIENCE);
        assert_eq!(rig.seen.len(), round);
    }
}

/// One player: waits until the ball's number has its parity, then returns the ball.
fn play<D: Subject>(
    rig: &mut Rig<D>,
    parity: u32,
    rounds: u32,
    ball: &AtomicU32,
    wake: impl Fn(&mut Rig<D>),
) {
    loop {
        let number = ball.load(Ordering::Relaxed);
        if number % 2 == parity {
            ball.store(number + 1, Ordering::Relaxed);
            wake(rig);
        }
        if number >= rounds {
            // Sends a wake-up that is part of the turn.
            rig.turn(Duration::ZERO);
            return;
        }
        let started = Instant::now();
        rig.turn(PATIENCE);
        assert!(started.elapsed() < PATIENCE / 2, "a wake-up was lost at {number}");
    }
}

/// Two drivers on two threads play.
fn no_wake_up_is_lost<D: Subject>(wake: impl Fn(&mut Rig<D>, &Waker) + Copy + Send + 'static) {
    const ROUNDS: u32 = 20_000;
    let ball = Arc::new(AtomicU32::new(0));
    let (sender, wakers) = std::sync::mpsc::channel();
    let (back, waker_back) = std::sync::mpsc::channel();
    let other_ball = Arc::clone(&ball);
    let other = thread::spawn(move || {
        // A driver belongs to the thread that makes it.
        let mut rig = Rig::<D>::new();
        sender.send(rig.driver.waker()).unwrap();
        let waker = waker_back.recv().unwrap();
        play(&mut rig, 1, ROUNDS, &other_ball, |rig| wake(rig, &waker));
    });
    let mut rig = Rig::<D>::new();
    back.send(rig.driver.waker()).unwrap();
    let waker = wakers.recv().unwrap();
    play(&mut rig, 0, ROUNDS, &ball, |rig| wake(rig, &waker));
    other.join().unwrap();
}

pub fn no_wake_up_is_lost_between_threads<D: Subject>() {
    no_wake_up_is_lost::<D>(|_, waker| waker.wake());
}

pub fn no_wake_up_is_lost_between_cores<D: Subject>() {
    no_wake_up_is_lost::<D>(|rig, waker| rig.push(Operation::Wake(waker.clone())));
}

pub fn waking_a_core_that_is_gone_is_harmless<D: Subject>() {
    let waker = thread::spawn(|| Rig::<D>::new().driver.waker()).join().unwrap();
    let mut rig = Rig::<D>::new();
    rig.push(Operation::Wake(waker));
    assert!(rig.settle() <= 4);
}
