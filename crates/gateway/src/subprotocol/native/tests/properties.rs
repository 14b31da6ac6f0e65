//! For any command: what is written is read back, however it is spelt. For any text: no panic.

use std::fmt::Write;

use proptest::{collection::vec, option, prelude::*};
use ringway_hub::{Audience, Span};
use serde_json::{Value, json};

use crate::{
    broker::{Echo, Ttl},
    encoding::native::{EventParts, event},
    session::command::{Command, CommandLimits},
    subprotocol::native::tests::{LIMITS, read},
};

/// At most 76 bytes.
fn named() -> impl Strategy<Value = String> {
    vec(any::<char>().prop_filter("no control character", |one| !one.is_control()), 1..20)
        .prop_map(String::from_iter)
        .prop_filter("nothing reserved", |name| ringway_hub::name::check(name).is_ok())
}

/// A JSON value, with spaces where JSON allows them.
fn data() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |one| one.is_finite())
            .prop_map(|one| format!("{one:e}")),
        any::<String>().prop_map(|text| spelt(&text, 7)),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[ {}\r\n]", items.join("\t,"))),
            vec((any::<String>(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{} :{value}", spelt(name, 3)))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// A JSON string in which code units at a regular distance are escaped although they need not be.
fn spelt(text: &str, every: usize) -> String {
    let mut json = "\"".to_owned();
    for (position, one) in text.chars().enumerate() {
        if position % every == 0 || one < ' ' || one == '"' || one == '\\' {
            for unit in one.encode_utf16(&mut [0; 2]) {
                write!(json, "\\u{unit:04x}").expect("memory");
            }
        } else {
            json.push(one);
        }
    }
    json + "\""
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_generated_notify_is_read_back(
        (id, to, event_name) in (named(), vec(named(), 1..=3), option::of(named())),
        (data, ttl, every) in (data(), option::of(any::<u32>()), 1usize..9),
    ) {
        let list: Vec<_> = to.iter().map(|one| spelt(one, every)).collect();
        let mut text = format!(
            "{{\"data\": {data}, \"id\":{},\"to\" : [{}]\n,",
            spelt(&id, every),
            list.join(" ,"),
        );
        if let Some(event_name) = &event_name {
            write!(text, "\"event\":{},", spelt(event_name, every)).expect("memory");
        }
        if let Some(seconds) = ttl {
            write!(text, "\"ttl\":{seconds},").expect("memory");
        }
        text.push_str("\"type\":\"notify\"}");
        let expected = Command::Notify {
            id: id.into(),
            to: to.into_iter().map(Into::into).collect(),
            event: event_name.map(Into::into),
            data: &data,
            ttl: ttl.map(Ttl::from_seconds),
        };
        prop_assert_eq!(read(&text, &LIMITS), Ok(expected));
    }

    #[test]
    fn the_output_of_a_library_is_read(
        (id, topic, since) in (named(), named(), option::of(any::<String>())),
        echo in any::<bool>(),
    ) {
        let subscribe = json!({"type": "subscribe", "id": id, "topic": topic, "since": since})
            .to_string();
        prop_assert_eq!(
            read(&subscribe, &LIMITS),
            Ok(Command::Subscribe {
                id: id.as_str().into(),
                topic: topic.as_str().into(),
                since: since.map(Into::into),
                last: None,
                connection: None,
            })
        );
        let publish =
            json!({"type": "publish", "id": id, "topic": topic, "data": [], "echo": echo})
            .to_string();
        prop_assert_eq!(
            read(&publish, &LIMITS),
            Ok(Command::Publish {
                id: id.into(),
                topic: topic.into(),
                event: None,
                data: "[]",
                echo: if echo { Echo::Yes } else { Echo::No },
                ttl: None,
            })
        );
    }

    #[test]
    fn an_event_is_read_by_a_library(
        from in option::of(any::<String>()),
        topic in option::of(any::<String>()),
        event_name in option::of(any::<String>()),
        data in data(),
    ) {
        let parts = EventParts {
            from: from.as_deref(),
            topic: topic.as_deref(),
            name: event_name.as_deref(),
            data: &data,
        };
        let draft = event(parts, 0).expect("memory");
        prop_assert_eq!(draft.text.capacity(), draft.text.len(), "one allocation");
        let out = &draft.text[..draft.fields.encoded];
        let value: Value = serde_json::from_str(out).expect("JSON");
        prop_assert_eq!(value.get("from").and_then(Value::as_str), from.as_deref());
        prop_assert_eq!(value.get("topic").and_then(Value::as_str), topic.as_deref());
        prop_assert_eq!(value.get("event").and_then(Value::as_str), event_name.as_deref());
        let end = format!("\"data\":{data}}}");
        prop_assert!(out.ends_with(&end));
        let field = |span: Option<Span>| span.map(|span| &draft.text[span.start()..span.end()]);
        prop_assert_eq!(field(Some(draft.fields.data)), Some(&*data));
        prop_assert_eq!(field(draft.fields.from), from.as_deref());
        prop_assert_eq!(field(draft.fields.name), event_name.as_deref());
        if let (Audience::Topic(span), Some(topic)) = (draft.fields.audience, &topic) {
            prop_assert_eq!(field(Some(span)), Some(&**topic));
        }
    }

    #[test]
    fn any_text_is_handled_without_a_panic(text in any::<String>()) {
        let _ = read(&text, &LIMITS);
    }

    #[test]
    fn any_pieces_of_json_are_handled_without_a_panic(pieces in vec(prop::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"", "\\u", "d800", "\"type\"", "\"notify\"", "\"to\"",
        "\"id\"", "\"ping\"", "null", "-", "1", "e", ".", " ", "\u{feff}", "\\", "\n", "x",
    ]), 0..40)) {
        let _ = read(&pieces.concat(), &CommandLimits { recipients_max: 1, data_depth_max: 128 });
    }
}
