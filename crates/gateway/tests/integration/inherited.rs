//! Sockets that systemd would open before it starts the gateway: the test opens them and passes
//! them on.
//!
//! Nothing here needs systemd.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    Client, Engine, Launch, PATIENCE, Request,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    clients_that_connected_before_the_start_are_served,
    the_private_listener_may_be_inherited_alone,
    cores_share_a_socket,
    sockets_of_one_address_are_all_served,
    a_restart_refuses_nobody,
    variables_for_another_process_are_ignored,
    unusable_sockets_prevent_the_start,
);

/// A listening socket like that of systemd, and its address.
fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn copy(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

fn is_served(address: SocketAddr, path: &str) {
    assert_eq!(Client::connect_to(address).requests(&Request::of_api(path)).status, 200);
}

fn clients_that_connected_before_the_start_are_served(engine: Engine) {
    let ((clients, clients_at), (api, api_at)) = (socket(), socket());
    let early = [("/", clients_at), ("/readyz", api_at)].map(|(path, address)| {
        let mut client = Client::connect_to(address);
        client.sends(Request::of_api(path).bytes());
        client
    });
    let sockets = [("clients", clients.into()), ("api", api.into())];
    let gateway = Launch::inheriting(engine, sockets, "true").start();
    for mut client in early {
        assert_eq!(client.receives_response().status, 200);
    }
    assert_eq!((gateway.address, gateway.api), (clients_at, api_at));
    is_served(clients_at, "/");
    is_served(api_at, "/readyz");
    Client::upgrade(&gateway);
    let line = gateway.logs("so listener.address and listener.backlog are not used");
    assert!(line.contains(&format!("inherited={clients_at} unused=127.0.0.1:0")), "{line}");
    let line = gateway.logs("so server.api_listen is not used");
    assert!(line.contains(&format!("inherited={api_at} unused=127.0.0.1:0")), "{line}");
}

fn the_private_listener_may_be_inherited_alone(engine: Engine) {
    let (api, api_at) = socket();
    let gateway = Launch::inheriting(engine, [("api", api.into())], "true").start();
    assert_eq!(gateway.api, api_at);
    is_served(api_at, "/readyz");
    // Clients connect to the configured address.
    Client::upgrade(&gateway);
    assert!(gateway.log().iter().all(|line| !line.contains("listener.address")));
}

/// On all cores; the drivers' own tests show that each core gets its share.
fn cores_share_a_socket(engine: Engine) {
    let (clients, address) = socket();
    let gateway = Launch::inheriting(engine, [("clients", clients.into())], "true").start();
    let mut connected: Vec<_> = (0..100).map(|_| Client::upgrade_at(address)).collect();
    gateway.holds(100);
    for client in &mut connected {
        client.sends(frame(FIN | TEXT, "hello"));
        client.receives_text("hello");
    }
}

/// The kernel spreads clients over sockets with SO_REUSEPORT, so the gateway must accept from each.
fn sockets_of_one_address_are_all_served(engine: Engine) {
    let first = reusable("127.0.0.1:0".parse().unwrap());
    let address = first.local_addr().unwrap();
    let second = reusable(address);
    let sockets = [("clients", first.into()), ("clients", second.into())];
    let gateway = Launch::inheriting(engine, sockets, "true").flags(&["--cores", "1"]).start();
    (0..40).for_each(|_| is_served(address, "/"));
    assert_eq!(gateway.address, address);
}

fn reusable(address: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(64).unwrap();
    socket.into()
}

fn a_restart_refuses_nobody(engine: Engine) {
    let ((clients, clients_at), (api, api_at)) = (socket(), socket());
    let start = || {
        let sockets = [("clients", copy(&clients)), ("api", copy(&api))];
        Launch::inheriting(engine, sockets, "true").start()
    };
    let mut gateway = start();
    let (is_over, visits) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && visits.load(Ordering::Relaxed) < 20_000 {
                // This panics if the connection is refused.
                drop(Client::connect_to(clients_at));
                visits.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        is_served(clients_at, "/");
        gateway.signal("TERM");
        assert!(gateway.ends().success());
        let waiting = [("/", clients_at), ("/readyz", api_at)].map(|(path, address)| {
            let mut client = Client::connect_to(address);
            client.sends(Request::of_api(path).bytes());
            client
        });
        let _next = start();
        for mut client in waiting {
            assert_eq!(client.receives_response().status, 200);
        }
        is_served(clients_at, "/");
        while visits.load(Ordering::Relaxed) <= 10 && !visitor.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        is_over.store(true, Ordering::Relaxed);
        visitor.join().unwrap();
    });
}

fn variables_for_another_process_are_ignored(engine: Engine) {
    let (clients, address) = socket();
    clients.set_nonblocking(true).unwrap();
    let sockets = [("clients", copy(&clients))];
    let gateway = Launch::inheriting(engine, sockets, "LISTEN_PID=1").start();
    assert_ne!(gateway.address, address);
    Client::upgrade(&gateway);
    assert_eq!(clients.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

fn unusable_sockets_prevent_the_start(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let tcp = || OwnedFd::from(socket().0);
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let unix = OwnedFd::from(UnixListener::bind(folder.path().join("socket")).unwrap());
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let [public, public_api] =
        [(); 2].map(|()| OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap()));
    for (sockets, script, told) in [
        (
            vec![("web", tcp())],
            "true",
            &["socket 3 has the name \"web\"", "FileDescriptorName="][..],
        ),
        (
            vec![("clients", tcp()), ("ringway.socket", tcp())],
            "true",
            &["socket 4", "clients", "api"],
        ),
        (
            vec![("clients", tcp())],
            "unset LISTEN_FDNAMES",
            &["the name \"\"", "FileDescriptorName="],
        ),
        (vec![("clients", tcp())], "LISTEN_FDNAMES=clients:api", &["1 sockets", "names 2 of them"]),
        (vec![("api", tcp()), ("api", tcp())], "true", &["two inherited", "one ListenStream="]),
        (vec![("clients", udp())], "true", &["socket 3 (clients)", "not a TCP", "ListenStream="]),
        (vec![("api", udp())], "true", &["socket 3 (api)", "not a TCP socket", "ListenStream="]),
        (vec![("clients", unix)], "true", &["socket 3 (clients)", "not a TCP", "ListenStream="]),
        (vec![("clients", tcp())], "exec 3<&-", &["socket 3 (clients)", "not a TCP"]),
        (vec![("clients", silent.into())], "true", &["does not listen", "Accept=no"]),
        (
            vec![("clients", public)],
            "true",
            &["inherited socket on 0.0.0.0:", "server.allow_anonymous_on_public_address"],
        ),
        (
            vec![("api", public_api)],
            "true",
            &["inherited socket on 0.0.0.0:", "asks for no key", "[[server.api_key]]"],
        ),
    ] {
        let mut server = Launch::inheriting(engine, sockets, script).spawn();
        let status = server.ends(PATIENCE).unwrap().expect("it ends");
        assert!(server.output().wait_for_end(PATIENCE));
        let text = server.output().lines().join("\n");
        assert_eq!(status.code(), Some(1), "{text}");
        for part in told {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}
