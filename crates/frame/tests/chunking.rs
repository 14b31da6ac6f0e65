//! Properties: what is emitted is parsed back, in both roles and however the bytes are cut.
//!
//! Frames that no correct emitter writes are in `refusals`.

mod vocabulary;

use proptest::prelude::*;
use ringway_frame::{
    CloseCode, Fragment, Header, Opcode, Parsed, emit_close, emit_fragment, emit_frame, emit_ping,
    emit_pong,
};
use vocabulary::*;

/// Something to send, and what the peer must read.
#[derive(Clone, Debug)]
enum Sent {
    Whole(Event),
    /// The cuts of a data message, with a ping after each fragment.
    Fragmented(Event, Vec<usize>),
}

fn data() -> impl Strategy<Value = Event> {
    let bytes = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        2 => prop::collection::vec(any::<u8>(), 120..135),
        1 => prop::collection::vec(any::<u8>(), 65_530..65_540),
    ];
    prop_oneof![
        bytes.prop_map(Event::Binary),
        any::<String>().prop_map(Event::Text),
        "[a-zé€😀]{0,150}".prop_map(Event::Text),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let control = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        data().prop_map(Sent::Whole),
        (data(), prop::collection::vec(any::<usize>(), 1..5))
            .prop_map(|(data, cuts)| Sent::Fragmented(data, cuts)),
        control().prop_map(|payload| Sent::Whole(Event::Ping(payload))),
        control().prop_map(|payload| Sent::Whole(Event::Pong(payload))),
    ]
}

fn emit(sent: &Sent, mask: Option<[u8; 4]>, out: &mut Vec<u8>, expected: &mut Vec<Event>) {
    match sent {
        Sent::Whole(event) => {
            match event {
                Event::Text(text) => emit_frame(out, mask, Opcode::Text, text.as_bytes()),
                Event::Binary(bytes) => emit_frame(out, mask, Opcode::Binary, bytes),
                Event::Ping(payload) => emit_ping(out, mask, payload),
                Event::Pong(payload) => emit_pong(out, mask, payload),
                Event::Close(..) | Event::Fault(_) => unreachable!("not generated"),
            }
            expected.push(event.clone());
        }
        Sent::Fragmented(event, cuts) => {
            let (opcode, mut rest) = match event {
                Event::Text(text) => (Opcode::Text, text.as_bytes()),
                Event::Binary(bytes) => (Opcode::Binary, &bytes[..]),
                _ => unreachable!("only data is fragmented"),
            };
            let mut fragment = Fragment::First(opcode);
            for cut in cuts {
                let (front, after) = rest.split_at(cut % (rest.len() + 1));
                emit_fragment(out, mask, fragment, front);
                emit_ping(out, mask, b"between");
                expected.push(Event::Ping(b"between".to_vec()));
                (fragment, rest) = (Fragment::Middle, after);
            }
            emit_fragment(out, mask, Fragment::Last, rest);
            expected.push(event.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn emitted_frames_are_read_back_however_they_are_cut(
        sent in prop::collection::vec(sent(), 0..8),
        key in any::<[u8; 4]>(),
        sizes in prop::collection::vec(prop_oneof![1..20usize, 1..5000usize], 1..10),
        reason in any::<String>(),
    ) {
        let (mut masked, mut plain, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for item in &sent {
            emit(item, Some(key), &mut masked, &mut expected);
            emit(item, None, &mut plain, &mut Vec::new());
        }
        emit_close(&mut masked, Some(key), CloseCode::GOING_AWAY, &reason);
        emit_close(&mut plain, None, CloseCode::GOING_AWAY, &reason);
        let reason = &reason[..reason.floor_char_boundary(123)];
        expected.push(Event::Close(Some(1001), reason.to_owned()));

        for sizes in [&sizes[..], &[usize::MAX]] {
            let mut server = Peer::server();
            server.receives_in_chunks(&masked, sizes);
            prop_assert_eq!(&server.events, &expected);
            let mut client = Peer::client();
            client.receives_in_chunks(&plain, sizes);
            prop_assert_eq!(&client.events, &expected);
            let mut placed = Peer::server().in_places();
            placed.receives_in_chunks(&masked, sizes);
            prop_assert_eq!(&placed.events, &expected);
        }
    }

    #[test]
    fn any_bytes_give_the_same_result_however_they_are_cut(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        mask in any::<bool>(),
        sizes in prop::collection::vec(1..20usize, 1..10),
    ) {
        // Mostly a plausible first header, because otherwise the first byte would end every run.
        if mask && bytes.len() > 1 {
            bytes[0] &= 0x8B;
            bytes[1] |= 0x80;
        }
        for peer in [Peer::server, Peer::client] {
            let (mut whole, mut cut, mut drops) = (peer(), peer(), peer());
            let mut placed = peer().in_places();
            whole.receives(&bytes);
            cut.receives_in_chunks(&bytes, &sizes);
            drops.receives_in_chunks(&bytes, &[1]);
            placed.receives_in_chunks(&bytes, &sizes);
            prop_assert_eq!(&whole.events, &cut.events);
            prop_assert_eq!(&whole.events, &drops.events);
            prop_assert_eq!(&whole.events, &placed.events);
        }
    }

    // RFC 6455 §5.2.
    #[test]
    fn a_header_is_parsed_as_it_was_emitted(
        fin in any::<bool>(),
        rsv in 0..8u8,
        opcode in prop::sample::select(vec![0u8, 1, 2, 8, 9, 10]),
        mask in any::<Option<[u8; 4]>>(),
        length in prop_oneof![
            0..=125u64,
            126..=127u64,
            65_530..=65_540u64,
            0..=(u64::MAX >> 1),
            Just(u64::MAX >> 1),
        ],
    ) {
        let opcode = Opcode::of(opcode).unwrap();
        let control = opcode.is_control();
        let rsv = ringway_frame::Rsv::of(rsv << 4);
        let (fin, mut length) = (fin || control, if control { length % 126 } else { length });
        if opcode == Opcode::Close && length == 1 {
            length = 2;
        }
        let header = Header { fin, rsv, opcode, mask, length };
        let mut bytes = [0xEE; 20];
        let emitted = header.emit(&mut bytes);
        prop_assert_eq!(emitted, header.bytes());
        prop_assert_eq!(Header::parse(&bytes), Ok(Parsed::Whole { header, bytes: emitted }));
        prop_assert_eq!(bytes[emitted..].iter().find(|&&byte| byte != 0xEE), None);
        for cut in 0..emitted {
            prop_assert_eq!(Header::parse(&bytes[..cut]), Ok(Parsed::Incomplete));
        }
    }
}
