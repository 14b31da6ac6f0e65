//! More clients than are allowed: they are refused, without harm to connected clients.
//!
//! RFC 9110 §15.6.4 (503), RFC 6585 §4 (429), §10.2.3 (Retry-After). The limit of descriptors is
//! tested in `descriptors`.

use crate::support::{
    Client, Engine, Gateway, Launch, eventually,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    a_client_over_the_limit_is_a_503,
    clients_over_the_limit_do_no_harm,
    a_connection_over_the_limit_of_an_address_is_a_429,
    exempt_networks_have_no_limit_per_address,
    cores_share_the_limit,
    many_clients_leave_descriptors_for_the_private_api,
);

#[track_caller]
fn is_alive(client: &mut Client) {
    client.sends(frame(FIN | TEXT, "still here"));
    client.receives_text("still here");
}

/// Connects and is refused before it has sent a request.
#[track_caller]
fn is_turned_away(gateway: &Gateway, status: u16) {
    let mut client = Client::connect(gateway);
    let response = client.receives_response();
    assert_eq!(response.status, status, "{}", response.head);
    let seconds: u32 = response.field("Retry-After").unwrap().parse().unwrap();
    assert!(seconds > 0);
    assert_eq!(response.field("Connection"), Some("close"));
    client.receives_end();
}

fn a_client_over_the_limit_is_a_503(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_max=3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::upgrade(&gateway)).collect();
    is_turned_away(&gateway, 503);
    is_turned_away(&gateway, 503);
    clients.iter_mut().for_each(is_alive);
    assert_eq!(gateway.metric("ringway_refused_total"), 2);
    // Each client that leaves makes room for another.
    drop(clients.pop());
    gateway.holds(2);
    clients.push(Client::upgrade(&gateway));
    is_turned_away(&gateway, 503);
    clients.iter_mut().for_each(is_alive);
}

/// More simultaneous clients than the gateway keeps to send them the reason.
fn clients_over_the_limit_do_no_harm(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_max=2"]);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::upgrade(&gateway)).collect();
    let crowd: Vec<Client> = (0..300).map(|_| Client::connect(&gateway)).collect();
    clients.iter_mut().for_each(is_alive);
    crowd.into_iter().for_each(|mut client| client.is_cut_off());
    gateway.holds(2);
    assert_eq!(gateway.metric("ringway_refused_total"), 300);
    drop(clients);
    gateway.holds(0);
    is_alive(&mut Client::upgrade(&gateway));
}

fn a_connection_over_the_limit_of_an_address_is_a_429(engine: Engine) {
    let settings =
        ["limits.connections_per_address_max=2", "limits.connections_per_address_exempt=[]"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::upgrade(&gateway)).collect();
    is_turned_away(&gateway, 429);
    clients.iter_mut().for_each(is_alive);
    drop(clients.pop());
    gateway.holds(1);
    is_alive(&mut Client::upgrade(&gateway));
}

/// A proxy on this machine makes all clients come from one address.
fn exempt_networks_have_no_limit_per_address(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_per_address_max=1"]);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::upgrade(&gateway)).collect();
    clients.iter_mut().for_each(is_alive);
}

/// The kernel spreads clients over the cores; the limit applies to the process.
fn cores_share_the_limit(engine: Engine) {
    let gateway = Launch::bare(engine).set(&["limits.connections_max=20"]).start();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::upgrade(&gateway)).collect();
    for _ in 0..10 {
        is_turned_away(&gateway, 503);
    }
    clients.iter_mut().for_each(is_alive);
}

/// A supervisor may kill the gateway if a liveness check gets no answer.
fn many_clients_leave_descriptors_for_the_private_api(engine: Engine) {
    let gateway = Launch::with_descriptors(engine, 200).start();
    let mut clients: Vec<Client> = (0..200 - 128).map(|_| Client::upgrade(&gateway)).collect();
    let crowd: Vec<Client> = (0..300).map(|_| Client::connect(&gateway)).collect();
    eventually("the crowd was dealt with", || gateway.metric("ringway_refused_total") == 300);
    assert_eq!(gateway.api("/healthz").status, 200);
    assert!(gateway.descriptors() < 200, "{}", gateway.descriptors());
    clients.iter_mut().for_each(is_alive);
    drop(crowd);
}
