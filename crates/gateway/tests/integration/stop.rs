//! How the gateway stops: SIGTERM and its effect on clients, within `drain_time`.
//!
//! RFC 6455 §7.4.1: 1001 means that a server is going down.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Client, Engine, Gateway, Launch, PATIENCE, Request, eventually,
    frames::{BINARY, FIN, TEXT, close, frame, header},
    kill, on_each_engine,
};

on_each_engine!(
    every_client_gets_a_1001,
    an_empty_gateway_stops_at_once,
    clients_that_never_answer_do_not_delay_the_stop,
    clients_that_never_read_do_not_delay_the_stop,
    clients_before_their_upgrade_are_closed,
    a_draining_gateway_is_not_ready,
    a_second_signal_ends_the_process_at_once,
    sigint_stops_like_sigterm,
    other_signals_close_no_connection,
    a_signal_during_the_start_ends_the_process_cleanly,
    a_pause_of_the_process_closes_no_connection,
    a_drain_time_of_0_stops_at_once,
    a_client_that_connects_during_the_drain_is_refused,
);

/// Ends with 0 within `time`.
#[track_caller]
fn ends_cleanly_within(gateway: &mut Gateway, time: Duration) {
    let start = Instant::now();
    let status = gateway.ends();
    assert_eq!(status.code(), Some(0), "{:#?}", gateway.log());
    assert!(start.elapsed() < time, "{:?}: {:#?}", start.elapsed(), gateway.log());
}

fn every_client_gets_a_1001(engine: Engine) {
    let mut gateway = Launch::bare(engine).set(&["server.drain_time=8s"]).start();
    let mut clients: Vec<Client> = (0..200).map(|_| Client::upgrade(&gateway)).collect();
    gateway.signal("TERM");
    for client in &mut clients {
        let reason = client.receives_close(1001);
        assert!(!reason.is_empty());
        client.sends(close(1001, ""));
        client.receives_end();
    }
    drop(clients);
    ends_cleanly_within(&mut gateway, Duration::from_secs(3));
    gateway.logs("all clients have left");
}

fn an_empty_gateway_stops_at_once(engine: Engine) {
    let mut gateway = Launch::bare(engine).set(&["server.drain_time=1m"]).start();
    gateway.signal("TERM");
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}

fn clients_that_never_answer_do_not_delay_the_stop(engine: Engine) {
    let settings = ["server.drain_time=1s", "websocket.close_timeout=1m"];
    let mut gateway = Gateway::start_with(engine, &settings);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::upgrade(&gateway)).collect();
    clients[0].sends(header(FIN | BINARY, 1 << 20));
    gateway.signal("TERM");
    for client in &mut clients {
        client.receives_close(1001);
    }
    ends_cleanly_within(&mut gateway, Duration::from_millis(1500));
    assert!(gateway.logs("some clients had not left in time").contains("clients=5"));
    clients.iter_mut().for_each(Client::is_cut_off);
}

fn clients_that_never_read_do_not_delay_the_stop(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=1s"]);
    let mut client = Client::upgrade(&gateway);
    client.sends_until_it_stalls(&frame(FIN | BINARY, vec![1; 60_000]), 64 << 20);
    gateway.signal("TERM");
    ends_cleanly_within(&mut gateway, Duration::from_millis(1500));
}

fn clients_before_their_upgrade_are_closed(engine: Engine) {
    let settings =
        ["server.drain_time=2s", "limits.handshake_timeout=1m", "limits.keep_alive_timeout=1m"];
    let mut gateway = Gateway::start_with(engine, &settings);
    let mut silent = Client::connect(&gateway);
    let mut begun = Client::connect(&gateway);
    begun.sends("GET /echo HTTP/1.1\r\nHost");
    let mut idle = Client::connect(&gateway);
    assert_eq!(idle.requests(&Request::of("/")).status, 200);
    gateway.holds(3);
    gateway.signal("TERM");
    for client in [&mut silent, &mut begun, &mut idle] {
        client.receives_end();
    }
    drop((silent, begun, idle));
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}

/// A load balancer polls /readyz, which is served until the end.
fn a_draining_gateway_is_not_ready(engine: Engine) {
    let settings = ["server.drain_time=20s", "websocket.close_timeout=30s"];
    let mut gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    assert_eq!(gateway.api("/readyz").status, 200);
    gateway.signal("TERM");
    client.receives_close(1001);
    let response = gateway.api("/readyz");
    assert_eq!((response.status, &*response.body), (503, &b"draining\n"[..]));
    assert_eq!(gateway.api("/healthz").status, 200);
    assert_eq!(gateway.metric("ringway_connections"), 1);
    client.sends(close(1001, ""));
    client.receives_end();
    drop(client);
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}

fn a_second_signal_ends_the_process_at_once(engine: Engine) {
    let settings = ["server.drain_time=1m", "websocket.close_timeout=1m"];
    let mut gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    gateway.signal("TERM");
    client.receives_close(1001);
    thread::sleep(Duration::from_millis(50));
    assert!(gateway.is_running());
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ends().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    client.is_cut_off();
}

fn sigint_stops_like_sigterm(engine: Engine) {
    let mut gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    gateway.signal("INT");
    client.receives_close(1001);
    client.sends(close(1001, ""));
    drop(client);
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}

/// signal(7): the default action of each is to kill the process.
fn other_signals_close_no_connection(engine: Engine) {
    let mut gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    for signal in ["HUP", "USR1", "USR2", "HUP"] {
        gateway.signal(signal);
        gateway.logs(&format!("signal=\"SIG{signal}\""));
        client.sends(frame(FIN | TEXT, "still here"));
        client.receives_text("still here");
    }
    assert!(gateway.is_running());
    Client::upgrade(&gateway);
    gateway.signal("TERM");
    client.receives_close(1001);
    drop(client);
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}

/// The gateway retries an address in use for a while, which makes the start long enough to signal
/// it.
fn a_signal_during_the_start_ends_the_process_cleanly(engine: Engine) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for signal in ["TERM", "INT"] {
        let mut process = Launch::on(engine).flags(&["--listen", &address]).spawn();
        let status = format!("/proc/{}/status", process.pid());
        // proc_pid_status(5): the caught signals, counted from 1. SIGTERM, the last one to be
        // caught, is 15.
        eventually("signals are caught", || {
            let status = fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
        });
        for meaningless in ["HUP", "USR1", "USR2"] {
            kill(process.pid(), meaningless);
        }
        kill(process.pid(), signal);
        assert_eq!(process.ends(PATIENCE).unwrap().unwrap().code(), Some(0));
    }
}

/// signal(7): SIGCONT interrupts calls that are not restarted, epoll_wait(2) and io_uring_enter(2).
fn a_pause_of_the_process_closes_no_connection(engine: Engine) {
    let mut gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    for _ in 0..5 {
        gateway.signal("STOP");
        client.sends(frame(FIN | TEXT, "still here"));
        gateway.signal("CONT");
        client.receives_text("still here");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(gateway.is_running());
    assert_eq!(gateway.api("/healthz").status, 200);
}

/// The gateway waits for no client, but tells all of them.
fn a_drain_time_of_0_stops_at_once(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=0s"]);
    let mut client = Client::upgrade(&gateway);
    gateway.signal("TERM");
    client.receives_close(1001);
    ends_cleanly_within(&mut gateway, Duration::from_secs(1));
}

/// The kernel refuses it, because nothing listens any more.
fn a_client_that_connects_during_the_drain_is_refused(engine: Engine) {
    let mut gateway =
        Launch::bare(engine).set(&["server.drain_time=1m", "websocket.close_timeout=1m"]).start();
    let mut client = Client::upgrade(&gateway);
    gateway.signal("TERM");
    client.receives_close(1001);
    eventually("no core listens", || TcpStream::connect(gateway.address).is_err());
    for _ in 0..20 {
        assert!(TcpStream::connect(gateway.address).is_err());
    }
    client.sends(close(1001, ""));
    drop(client);
    ends_cleanly_within(&mut gateway, Duration::from_secs(2));
}
