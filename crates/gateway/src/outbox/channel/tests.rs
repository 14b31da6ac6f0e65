//! The channel, and the test layer: it keeps the contract of `RecordLayer`, however its records are
//! split.

use proptest::prelude::*;

use super::{
    xor::{ALERT, BODY_BYTES_MAX, HEAD_BYTES, XorLayer},
    *,
};

/// A client's side and its hello.
fn client() -> (XorLayer, Vec<u8>) {
    let mut hello = Vec::new();
    (XorLayer::client(11, &mut hello), hello)
}

fn sealed(layer: &mut dyn RecordLayer, plain: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    out.extend_from_slice(plain);
    let (start, bytes_max) = ("before".len(), layer.sealed_bytes_max(plain.len()));
    layer.seal(&mut out, start);
    assert!(out.len() - start <= bytes_max);
    out.split_off(start)
}

/// The result of a layer for the bytes that it received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    plain: Vec<u8>,
    out: Vec<u8>,
    has_ended: bool,
    error: Option<ChannelError>,
}

/// Receives `bytes` in pieces of the given sizes, the rest at once.
fn open(layer: &mut dyn RecordLayer, mut bytes: Vec<u8>, sizes: &[usize]) -> Read {
    let mut read = Read::default();
    let mut rest = &mut bytes[..];
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (mut piece, behind) = rest.split_at_mut(size.min(rest.len()));
        rest = behind;
        while !piece.is_empty() {
            let before = piece.len();
            let opened = layer.open(&mut piece, &mut read.out);
            match opened {
                Ok(Opened::Nothing) => {}
                Ok(Opened::InPlace(plain)) => read.plain.extend_from_slice(plain),
                Ok(Opened::Assembled(plain)) => read.plain.extend(plain),
                Ok(Opened::Ended) => read.has_ended = true,
                Err(error) => {
                    read.error = Some(error);
                    return read;
                }
            }
            assert!(piece.len() < before, "each call takes something");
        }
    }
    read
}

#[test]
fn a_plain_channel_keeps_nothing() {
    let mut channel = Channels::default().accept(7);
    assert!(matches!(channel.inward(), Passage::Plain));
    assert!(channel.0.is_none() && channel.end().is_none() && !channel.is_cut());
    channel.deferred_or_default().bytes = vec![1; 10];
    assert!(matches!(channel.outward(), Passage::Plain), "input that waits seals nothing");
    assert!(channel.held_bytes() >= 10);
    assert_eq!(channel.take_deferred().map(|deferred| deferred.bytes.len()), Some(10));
    assert!(channel.0.is_none(), "nothing is kept afterwards");
}

#[test]
fn each_listener_has_its_own_channel() {
    let mut channels = Channels::default();
    channels.set(1, Arc::new(|| Box::new(XorLayer::server(5))));
    for (listener, is_plain) in [(0, true), (1, false), (2, true)] {
        let mut channel = channels.accept(listener);
        assert_eq!(matches!(channel.inward(), Passage::Plain), is_plain, "listener {listener}");
    }
}

#[test]
fn no_data_passes_before_the_handshake_or_after_the_end() {
    let mut channels = Channels::default();
    channels.set(0, Arc::new(|| Box::new(XorLayer::server(5))));
    let mut channel = channels.accept(0);
    assert!(matches!(channel.outward(), Passage::Shut), "before the hello");
    let Passage::Records(layer) = channel.inward() else { panic!("it has a layer") };
    assert_eq!(open(layer, client().1, &[]).error, None);
    assert!(matches!(channel.outward(), Passage::Records(_)));
    channel.deferred_or_default();
    assert!(channel.end().is_some() && channel.end().is_none());
    assert!(
        matches!(channel.inward(), Passage::Shut) && matches!(channel.outward(), Passage::Shut)
    );
    channel.take_deferred();
    assert!(matches!(channel.outward(), Passage::Shut), "it never becomes plain");
}

/// What a gateway's side reads of bytes that a client sends after its hello.
#[test]
fn records_are_opened_or_refused() {
    type Make = fn(&mut XorLayer) -> Vec<u8>;
    let intact: Make = |client| sealed(client, b"abc");
    let two: Make = |client| [sealed(client, b"abc"), sealed(client, b"de")].concat();
    let long: Make = |client| sealed(client, &[7; BODY_BYTES_MAX + 1]);
    let half: Make = |client| sealed(client, b"abc")[..HEAD_BYTES + 1].to_vec();
    let bye: Make = |client| {
        let mut bytes = sealed(client, b"abc");
        client.close(&mut bytes);
        [bytes, b"ignored".to_vec()].concat()
    };
    let damaged: Make = |client| {
        let mut bytes = [sealed(client, b"abc"), sealed(client, b"de")].concat();
        *bytes.last_mut().expect("a body") ^= 0x10;
        bytes
    };
    let reordered: Make = |client| {
        let [first, second] = [sealed(client, b"abc"), sealed(client, b"dex")];
        [second, first].concat()
    };
    let repeated: Make = |client| sealed(client, b"abc").repeat(2);
    let oversized: Make = |_| vec![1, 0xFF, 0xFF, 0];
    let unknown: Make = |_| b"GET / HTTP/1.1".to_vec();
    let record = Some(ChannelError::Record);
    let cases: [(&str, Make, &[u8], Option<ChannelError>); 10] = [
        ("one record", intact, b"abc", None),
        ("two records at once", two, b"abcde", None),
        ("a message of two records", long, &[7; BODY_BYTES_MAX + 1], None),
        ("a part of a record", half, b"", None),
        ("the last record", bye, b"abc", None),
        ("a damaged record behind an intact one", damaged, b"abc", record),
        ("records in another order", reordered, b"", record),
        ("a record twice", repeated, b"abc", record),
        ("a record that is too long", oversized, b"", record),
        ("no record at all", unknown, b"", record),
    ];
    for (name, make, plain, error) in cases {
        let ((mut client, hello), mut server) = (client(), XorLayer::server(5));
        let bytes = [hello, make(&mut client)].concat();
        let read = open(&mut server, bytes, &[]);
        assert_eq!((&*read.plain, read.error), (plain, error), "{name}");
        assert_eq!(read.has_ended, name == "the last record", "{name}");
        let is_cut = name == "a part of a record";
        assert_eq!(server.is_between_records(), !is_cut, "{name}: a cut");
        assert_eq!(server.held_bytes() > 0, is_cut, "{name}: held");
        let mut last = Vec::new();
        server.close(&mut last);
        assert_eq!(last == [ALERT], error.is_some(), "{name}: an alert");
    }
    let read = open(&mut XorLayer::server(5), b"GET / HTTP/1.1".to_vec(), &[]);
    assert_eq!((read.error, &*read.out), (Some(ChannelError::Handshake(Reason::NotTls)), &b""[..]));
}

proptest! {
    #[test]
    fn any_cut_of_the_records_gives_the_same_plain_text(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..8),
        sizes in prop::collection::vec(1_usize..300, 0..20),
        is_closed: bool,
    ) {
        let ((mut client, hello), mut server) = (client(), XorLayer::server(5));
        let mut bytes = hello;
        messages.iter().for_each(|message| bytes.extend(sealed(&mut client, message)));
        if is_closed {
            client.close(&mut bytes);
        }
        let read = open(&mut server, bytes, &sizes);
        prop_assert_eq!(&read.plain, &messages.concat());
        prop_assert_eq!((read.has_ended, read.error), (is_closed, None));
        prop_assert!(server.is_between_records());
        // And back again.
        let mut bytes = read.out;
        bytes.extend(sealed(&mut server, &read.plain));
        let read = open(&mut client, bytes, &sizes);
        prop_assert_eq!(read.plain, messages.concat());
        prop_assert_eq!(read.error, None);
    }
}
