//! What the log says while the gateway runs, and that it holds nobody up.

use std::{
    io::{Write, pipe},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{Application, Client, Engine, eventually, kill, on_each_engine, ringway};

on_each_engine!(a_log_that_is_not_read_holds_nobody_up);

/// An address that nobody listens on at this moment.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// pipe(7): a write to a full pipe blocks for as long as nobody reads.
fn a_log_that_is_not_read_holds_nobody_up(engine: Engine) {
    let (reader, mut writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let (edge, api) = (free_address(), free_address());
    let mut process = ringway(&["--io", engine.flag(), "--listen", &edge.to_string()])
        .args(["--api-listen", &api.to_string(), "--log", "debug"])
        .stdin(Stdio::null())
        .stderr(writer.try_clone().unwrap())
        .stdout(writer)
        .spawn()
        .unwrap();
    let started = Instant::now();
    eventually("it listens", || TcpStream::connect(api).is_ok());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut application = Application { client: Client::connect_to(api) };
    // More lines than are kept.
    for _ in 0..1_500 {
        drop(TcpStream::connect(edge).unwrap());
    }
    eventually("lines are dropped", || {
        let metrics = String::from_utf8(application.asks("/metrics").body).unwrap();
        !metrics.contains("ringway_log_lines_dropped_total 0\n")
    });
    let mut client = Client::upgrade_at(edge);
    kill(process.id(), "HUP");
    assert_eq!(application.asks("/readyz").status, 200);
    kill(process.id(), "TERM");
    client.receives_close(1001);
    drop((client, application));
    let ending = Instant::now();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(ending.elapsed() < Duration::from_secs(4), "{:?}", ending.elapsed());
    drop(reader);
}
