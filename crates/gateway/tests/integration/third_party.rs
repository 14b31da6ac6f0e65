//! A third-party client: tokio-tungstenite agrees with the gateway on RFC 6455.
//!
//! It follows the protocol; protocol errors are tested in `faults`.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{Engine, Gateway, on_each_engine};

on_each_engine!(
    a_third_party_client_exchanges_messages_and_closes,
    a_third_party_client_gets_the_1001_of_a_stop,
    a_third_party_client_gets_the_1009_of_a_large_message,
    a_third_party_client_gets_the_404_of_an_unknown_path,
);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(crate::support::PATIENCE, test).await };
    runtime.block_on(limited).expect("not in time");
}

async fn connect(gateway: &Gateway) -> Socket {
    let address = format!("ws://{}/echo", gateway.address);
    connect_async(address).await.unwrap().0
}

async fn receives_close(socket: &mut Socket, code: CloseCode) {
    match socket.next().await.unwrap().unwrap() {
        Message::Close(Some(CloseFrame { code: received, .. })) => assert_eq!(received, code),
        other => panic!("{other:?} instead of a close with {code}"),
    }
}

fn a_third_party_client_exchanges_messages_and_closes(engine: Engine) {
    let gateway = Gateway::start(engine);
    run(async {
        let mut socket = connect(&gateway).await;
        for message in [
            Message::text("κόσμε"),
            Message::text(""),
            Message::binary(vec![0xff; 1000]),
            Message::binary(vec![7; 300_000]),
        ] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.send(Message::Ping("p".into())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("p".into()));
        let normal = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        socket.close(Some(normal)).await.unwrap();
        receives_close(&mut socket, CloseCode::Normal).await;
        assert!(socket.next().await.is_none(), "a clean end");
    });
    gateway.holds(0);
}

/// RFC 6455 §7.4.1: 1001.
fn a_third_party_client_gets_the_1001_of_a_stop(engine: Engine) {
    let mut gateway = Gateway::start(engine);
    run(async {
        let mut socket = connect(&gateway).await;
        gateway.signal("TERM");
        receives_close(&mut socket, CloseCode::Away).await;
        assert!(socket.next().await.is_none(), "a clean end");
    });
    assert_eq!(gateway.ends().code(), Some(0));
}

/// RFC 6455 §7.4.1: 1009.
fn a_third_party_client_gets_the_1009_of_a_large_message(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.echo_message_bytes_max=1000"]);
    run(async {
        let mut socket = connect(&gateway).await;
        socket.send(Message::text("a".repeat(1001))).await.unwrap();
        receives_close(&mut socket, CloseCode::Size).await;
    });
}

fn a_third_party_client_gets_the_404_of_an_unknown_path(engine: Engine) {
    let gateway = Gateway::start(engine);
    run(async {
        let address = format!("ws://{}/none", gateway.address);
        match connect_async(address).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 404),
            other => panic!("{other:?}"),
        }
    });
}
