//! Each command in each of its forms, and the code of each fault.

use std::{borrow::Cow, time::Duration};

use crate::{
    broker::{Echo, Ttl},
    session::{command::Command, command_error::ErrorCode},
    subprotocol::native::tests::{accepted, code, fault},
};

#[test]
fn a_notify_is_read_in_its_full_and_short_forms() {
    let full = r#" { "type":"notify", "id":"7", "to":["ann","bob","ann"], "event":"chat",
        "data": {"a": [1, 2.50e+01]} , "ttl": 60 } "#;
    assert_eq!(
        accepted(full),
        Command::Notify {
            id: "7".into(),
            to: vec!["ann".into(), "bob".into(), "ann".into()],
            event: Some("chat".into()),
            data: r#"{"a": [1, 2.50e+01]}"#,
            ttl: Some(Ttl::For(Duration::from_secs(60))),
        }
    );
    let short = r#"{"data":null,"to":["ann"],"id":"7","type":"notify"}"#;
    assert_eq!(
        accepted(short),
        Command::Notify {
            id: "7".into(),
            to: vec!["ann".into()],
            event: None,
            data: "null",
            ttl: None,
        }
    );
}

#[test]
fn publish_subscribe_unsubscribe_and_ping() {
    let publish = |rest: &'static str, echo, ttl| {
        let text = format!(r#"{{"type":"publish","id":"8","topic":"news","data":"x"{rest}}}"#);
        let expected = Command::Publish {
            id: "8".into(),
            topic: "news".into(),
            event: None,
            data: r#""x""#,
            echo,
            ttl,
        };
        assert_eq!(accepted(&text), expected, "{rest}");
    };
    publish("", Echo::Yes, None);
    publish(r#","echo":true,"ttl":0"#, Echo::Yes, Some(Ttl::Unkept));
    publish(r#","echo":false,"ttl":1"#, Echo::No, Some(Ttl::For(Duration::from_secs(1))));
    publish(r#","echo":null,"ttl":null,"event":null"#, Echo::Yes, None);
    assert_eq!(
        accepted(r#"{"type":"subscribe","id":"9","topic":"news"}"#),
        Command::Subscribe {
            id: "9".into(),
            topic: "news".into(),
            since: None,
            last: None,
            connection: None
        }
    );
    assert_eq!(
        accepted(
            r#"{"type":"subscribe","id":"9","topic":"news","since":"any text","last":50,"connection":"c"}"#
        ),
        Command::Subscribe {
            id: "9".into(),
            topic: "news".into(),
            since: Some("any text".into()),
            last: Some(50),
            connection: Some("c".into()),
        }
    );
    assert_eq!(
        accepted(r#"{"type":"unsubscribe","id":"10","topic":"news"}"#),
        Command::Unsubscribe { id: "10".into(), topic: "news".into(), connection: None }
    );
    let ping = |id: Option<&'static str>| Command::Ping { id: id.map(Into::into) };
    assert_eq!(accepted(r#"{"type":"ping","to":"passed over"}"#), ping(None));
    assert_eq!(accepted(r#"{"type":"ping","id":"17"}"#), ping(Some("17")));
    assert_eq!(code(r#"{"type":"ping","id":17}"#), ErrorCode::WrongType);
}

#[test]
fn strings_without_escapes_are_borrowed_and_others_are_unescaped() {
    let text = r#"{"\u0074ype":"subscr\u0069be","id":"\u00e9","topic":"a\/\"b\ud83d\udc4d"}"#;
    let Command::Subscribe { id, topic, .. } = accepted(text) else { panic!("a subscription") };
    assert_eq!((&*id, &*topic), ("é", "a/\"b👍"));

    let text = r#"{"type":"subscribe","id":"é","topic":"news"}"#;
    let Command::Subscribe { id, topic, .. } = accepted(text) else { panic!("a subscription") };
    assert!(matches!((id, topic), (Cow::Borrowed("é"), Cow::Borrowed("news"))));
}

#[test]
fn data_is_passed_on_byte_for_byte() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for data in [
        "0",
        "-0.0",
        "1e999999",
        "123456789012345678901234567890.000",
        r#""\ud800""#,
        r#""\u0000\/""#,
        "{ \"a\" :\r\n\t1 , \"a\" : 2 }",
        "\"\u{2028}</script>\u{7f}\"",
        &deep,
    ] {
        let text = format!(r#"{{"type":"notify","id":"1","to":["a"],"data":  {data}  }}"#);
        let Command::Notify { data: read, .. } = accepted(&text) else { panic!("a notify") };
        assert!(read == data, "{data:.40}");
    }
}

#[test]
fn a_missing_field_is_named() {
    for (text, field) in [
        (r#"{}"#, "type"),
        (r#"{"type":"notify","to":["a"],"data":1}"#, "id"),
        (r#"{"type":"notify","id":"1","data":1}"#, "to"),
        (r#"{"type":"notify","id":"1","to":["a"]}"#, "data"),
        (r#"{"type":"publish","id":"1","data":1}"#, "topic"),
        (r#"{"type":"publish","id":"1","topic":"t"}"#, "data"),
        (r#"{"type":"subscribe","id":"1"}"#, "topic"),
        (r#"{"type":"unsubscribe","topic":"t"}"#, "id"),
    ] {
        let error = fault(text);
        assert_eq!(error.code, ErrorCode::MissingField, "{text}");
        assert_eq!(error.message, format!("\"{field}\" is missing"), "{text}");
    }
}

#[test]
fn a_field_that_no_command_has_names_the_nearest_one() {
    for (field, hint) in [
        ("topik", "did you mean \"topic\"?"),
        ("Topic", "did you mean \"topic\"?"),
        ("evnt", "did you mean \"event\"?"),
        ("later", "the known fields are type, id, to"),
        (&"topic".repeat(100), "the known fields are type, id, to"),
        // Only the application may state the sender of an event.
        ("from", "\"from\" is not a field of this command"),
        ("idempotency_key", "\"idempotency_key\" is not a field of this command"),
    ] {
        let text = format!(r#"{{"type":"publish","id":"8","topic":"t","data":1,"{field}":1}}"#);
        let error = fault(&text);
        assert_eq!((error.code, error.id.as_deref()), (ErrorCode::UnknownField, Some("8")));
        assert!(error.message.contains(hint), "{field}: {}", error.message);
    }
    assert!(fault(r#"{"typ":"ping"}"#).message.ends_with("did you mean \"type\"?"));
}

#[test]
fn reserved_names_are_refused() {
    for name in ["@a", "$a", "*", "a.*", "a.>"] {
        for text in [
            format!(r#"{{"type":"publish","id":"1","topic":"{name}","data":1}}"#),
            format!(r#"{{"type":"publish","id":"1","topic":"t","event":"{name}","data":1}}"#),
            format!(r#"{{"type":"subscribe","id":"1","topic":"{name}"}}"#),
            format!(r#"{{"type":"notify","id":"1","to":["a","{name}"],"data":1}}"#),
        ] {
            assert_eq!(code(&text), ErrorCode::BadName, "{text}");
        }
        accepted(&format!(r#"{{"type":"ping","id":"{name}"}}"#));
    }
}

#[test]
fn a_field_of_the_wrong_type_names_the_right_one() {
    for (field, must) in [
        (r#""id":1"#, r#""id" must be a string"#),
        (r#""id":null"#, r#""id" must be a string"#),
        (r#""to":"ann""#, r#""to" must be a list of strings"#),
        (r#""to":null"#, r#""to" must be a list of strings"#),
        (r#""to":{"0":"ann"}"#, r#""to" must be a list of strings"#),
        (r#""to":["ann",1]"#, r#""to" must be a list of strings"#),
        (r#""to":["ann",null]"#, r#""to" must be a list of strings"#),
        (r#""to":[["ann"]]"#, r#""to" must be a list of strings"#),
        (r#""to":[]"#, r#""to" must be a list of at least one recipient"#),
        (r#""event":{}"#, r#""event" must be a string"#),
        (r#""ttl":-1"#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
        (r#""ttl":-0"#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
        (r#""ttl":1.0"#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
        (r#""ttl":1e3"#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
        (r#""ttl":"60""#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
        (r#""ttl":4294967296"#, r#""ttl" must be a whole number of seconds from 0 to 4294967295"#),
    ] {
        let whole = r#"{"type":"notify","id":"1","to":["a"],"event":"e","data":1,"ttl":1}"#;
        assert!(matches!(accepted(whole), Command::Notify { .. }));
        let name = field.split_inclusive(':').next().expect("a name");
        let (before, after) = whole.split_once(name).expect("it is there");
        let end = after.find(",\"").or(after.find('}')).expect("it ends");
        let text = format!("{before}{field}{}", &after[end..]);
        let error = fault(&text);
        assert_eq!((error.code, &*error.message), (ErrorCode::WrongType, must), "{text}");
        assert_eq!(error.id.is_some(), !field.starts_with("\"id\""), "{text}");
    }
    assert_eq!(code(r#"{"type":7,"id":"1"}"#), ErrorCode::WrongType);
    for (field, must) in [
        (r#""echo":0"#, "true or false"),
        (r#""since":42"#, "a string"),
        (r#""connection":[]"#, "a string"),
    ] {
        let kind = if field.contains("echo") { "publish" } else { "subscribe" };
        let text = format!(r#"{{"type":"{kind}","id":"1","topic":"t","data":1,{field}}}"#);
        let error = fault(&text);
        assert_eq!(error.code, ErrorCode::WrongType, "{text}");
        assert!(error.message.ends_with(must), "{}", error.message);
    }
}

#[test]
fn an_error_carries_the_id_if_there_is_one() {
    for (text, id) in [
        (r#"{"type":"notfy","id":"a\nb"}"#, None),
        (r#"{"type":"notfy","id":"\u0061"}"#, Some("a")),
        (r#"{"id":"7"}"#, Some("7")),
        (r#"{"type":"publish","topic":"","id":"7","data":1}"#, Some("7")),
        (r#"{"type":"publish","topic":"t","id":"","data":1}"#, None),
        (r#"{"id":"7","type":"publish"#, None),
    ] {
        assert_eq!(fault(text).id.as_deref(), id, "{text}");
    }
    let error = fault(r#"{"type":"notfy"}"#);
    assert_eq!(error.code, ErrorCode::UnknownType);
    assert_eq!(
        error.message,
        "\"type\" is one of notify, publish, subscribe, unsubscribe, refresh, auth, ping"
    );
}

#[test]
fn the_length_and_number_of_names_are_bounded() {
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    let notify = |id: &str, to: &str, event: &str| {
        format!(r#"{{"type":"notify","id":"{id}","to":{to},"event":"{event}","data":1}}"#)
    };
    accepted(&notify(&longest, &format!("[\"{longest}\"]"), &longest));
    for (text, message) in [
        (notify("", "[\"a\"]", "e"), "\"id\" is empty"),
        (notify(&too_long, "[\"a\"]", "e"), "\"id\" is longer than 128 bytes"),
        (notify("1", "[\"a\",\"\"]", "e"), "a recipient in \"to\" is empty"),
        (notify("1", "[\"a\\u0085\"]", "e"), "a recipient in \"to\" has a control character in it"),
        (notify("1", "[\"a\"]", "\\n"), "\"event\" has a control character in it"),
    ] {
        let error = fault(&text);
        assert_eq!((error.code, &*error.message), (ErrorCode::BadName, message), "{text}");
    }
    accepted(&notify("1", "[\"a\",\"b\",\"c\"]", "e"));
    let four = notify("1", "[\"a\",\"b\",\"c\",\"d\"]", "e");
    let error = fault(&four);
    assert_eq!(error.code, ErrorCode::TooManyRecipients);
    let limit = "at most 3 recipients (clients.recipients_max)";
    assert_eq!(error.message, format!("\"to\" has too many recipients: {limit}"));
}
