//! A process with a low limit of open files (getrlimit(2), RLIMIT_NOFILE) and more clients than
//! that.
//!
//! It refuses clients, sleeps meanwhile, and accepts again when there is room.

use std::{thread, time::Duration};

use crate::support::{
    Client, Engine, Launch, eventually,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    clients_beyond_the_descriptor_limit_use_no_cpu,
    too_few_descriptors_for_connections_max_prevents_the_start,
);

fn clients_beyond_the_descriptor_limit_use_no_cpu(engine: Engine) {
    let gateway = Launch::with_descriptors(engine, 300).start();
    let line = gateway.logs("is serving");
    assert!(line.contains("open_files_max=300"), "{line}");
    let room: usize = line
        .split_once("connections_max=")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    assert!((100..300).contains(&room), "{line}");

    let mut clients: Vec<Client> = (0..room).map(|_| Client::upgrade(&gateway)).collect();
    let mut crowd: Vec<Client> = (0..400).map(|_| Client::connect(&gateway)).collect();
    thread::sleep(Duration::from_millis(100));
    let before = gateway.processor_time();
    thread::sleep(Duration::from_secs(1));
    let used = gateway.processor_time() - before;
    assert!(used < Duration::from_millis(150), "{used:?} of processor time in a second at rest");
    assert!(gateway.descriptors() <= 300);

    // Connected clients notice nothing, and the others are refused or cut off.
    for client in &mut clients {
        client.sends(frame(FIN | TEXT, "still here"));
        client.receives_text("still here");
    }
    crowd.iter_mut().for_each(Client::is_cut_off);
    drop(crowd);
    clients.truncate(room / 2);
    gateway.holds((room / 2) as u64);
    clients.extend((room / 2..room).map(|_| Client::upgrade(&gateway)));
    clients.clear();
    gateway.holds(0);
    let left = gateway.descriptors();
    assert!(left < 100, "{left} descriptors without a client");
    eventually("the private API answers", || gateway.api("/healthz").status == 200);
}

fn too_few_descriptors_for_connections_max_prevents_the_start(engine: Engine) {
    let launch = Launch::with_descriptors(engine, 300).set(&["limits.connections_max=1000"]);
    let output = launch.output();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("limits.connections_max = 1000"), "{text}");
    assert!(text.contains("ulimit -n"), "{text}");
}
