//! The effect of `[socket]` on the connections of a running gateway, read back from its own
//! sockets.
//!
//! pidfd_getfd(2) duplicates a descriptor of the gateway into the test: its parent may do that.

use std::{fs, net::SocketAddr, os::fd::RawFd, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use socket2::Socket;

use crate::support::{
    Client, Engine, Gateway, Launch, Request,
    frames::{BINARY, FIN, frame},
    on_each_engine,
};

on_each_engine!(
    connections_have_the_configured_options,
    connections_have_the_default_options,
    auto_leaves_the_options_to_the_kernel,
    an_option_that_the_kernel_lowers_prevents_the_start,
    a_deferred_client_is_served_when_it_sends_data,
    a_low_water_mark_loses_nothing,
);

/// The gateway's end of the connection; `None` if a container forbids reading it.
fn served(gateway: &Gateway, client: SocketAddr) -> Option<Socket> {
    let pid = Pid::from_raw(gateway.pid().cast_signed()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap();
    for entry in descriptors.map(Result::unwrap) {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if !target.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let number: RawFd = entry.file_name().to_string_lossy().parse().unwrap();
        let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Ok(descriptor) => Socket::from(descriptor),
            Err(Errno::PERM | Errno::NOSYS) => {
                eprintln!("pidfd_getfd(2) is forbidden here: nothing is seen");
                return None;
            }
            Err(errno) => panic!("descriptor {number}: {errno}"),
        };
        if socket.peer_addr().is_ok_and(|peer| peer.as_socket() == Some(client)) {
            return Some(socket);
        }
    }
    panic!("the gateway has no connection with {client}");
}

fn connections_have_the_configured_options(engine: Engine) {
    let gateway = Gateway::start_with(
        engine,
        &[
            "socket.nodelay=false",
            "socket.notsent_lowat_bytes=16KiB",
            "socket.keepalive_idle=41s",
            "socket.keepalive_interval=7s",
            "socket.keepalive_probes=3",
            "socket.user_timeout=12345ms",
            "socket.receive_buffer_bytes=20000",
            "socket.send_buffer_bytes=30000",
        ],
    );
    let client = Client::upgrade(&gateway);
    let Some(socket) = served(&gateway, client.stream().local_addr().unwrap()) else { return };
    assert!(!socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16_384);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(41));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(12_345)));
    // socket(7): the kernel reports twice the requested size.
    assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
    assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
}

fn connections_have_the_default_options(engine: Engine) {
    let gateway = Gateway::start(engine);
    let client = Client::upgrade(&gateway);
    let Some(socket) = served(&gateway, client.stream().local_addr().unwrap()) else { return };
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32 << 10);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
}

fn auto_leaves_the_options_to_the_kernel(engine: Engine) {
    let settings =
        ["socket.keepalive_idle=0s", "socket.user_timeout=auto", "socket.notsent_lowat_bytes=auto"];
    let gateway = Gateway::start_with(engine, &settings);
    let client = Client::upgrade(&gateway);
    let Some(socket) = served(&gateway, client.stream().local_addr().unwrap()) else { return };
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 0);
    assert!(!socket.keepalive().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), None);
}

fn an_option_that_the_kernel_lowers_prevents_the_start(engine: Engine) {
    let most: u32 =
        fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap().trim().parse().unwrap();
    let wanted = 64 << 20;
    if most >= wanted {
        return eprintln!("net.core.wmem_max allows all that may be configured");
    }
    let setting = format!("socket.send_buffer_bytes={wanted}");
    let output = Launch::on(engine).set(&[&setting]).output();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let told = format!(
        "socket.send_buffer_bytes: the kernel lowers SO_SNDBUF from {wanted} to {most} bytes; \
         lower it to that, or raise the sysctl net.core.wmem_max"
    );
    assert!(text.contains(&told), "{text}");
}

fn a_deferred_client_is_served_when_it_sends_data(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["socket.defer_accept=30s"]);
    let mut client = Client::connect(&gateway);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(gateway.metric("ringway_connections"), 0, "it has not spoken");
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    gateway.holds(1);
}

/// The kernel refuses bytes long before its buffer is full; all of them arrive all the same.
fn a_low_water_mark_loses_nothing(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["socket.notsent_lowat_bytes=1KiB"]);
    let mut client = Client::upgrade(&gateway);
    let message: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
    client.sends(frame(FIN | BINARY, &message));
    thread::sleep(Duration::from_millis(50));
    client.receives_binary(&message);
}
