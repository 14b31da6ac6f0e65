//! Messages that no honest client sends: each has an error of its own, and none costs more than its
//! length.

use crate::{
    session::command_error::{CommandError, ErrorCode},
    subprotocol::native::tests::{code, fault},
};

#[test]
fn invalid_json_is_reported_with_its_position() {
    for text in [
        "",
        " ",
        "ping",
        "{",
        r#"{"type":"ping""#,
        r#"{"type":"ping",}"#,
        r#"{"type":"ping"} x"#,
        r#"{"type":"ping"}{"type":"ping"}"#,
        r#"{'type':'ping'}"#,
        r#"{type:"ping"}"#,
        r#"{"type":"ping","x":01}"#,
        r#"{"type":"ping","x":+1}"#,
        r#"{"type":"ping","x":.5}"#,
        r#"{"type":"ping","x":NaN}"#,
        r#"{"type":"ping","x":tru}"#,
        r#"{"type":"ping","x":"\x"}"#,
        r#"{"type":"ping","x":"\u12g4"}"#,
        "{\"type\":\"ping\",\"x\":\"\n\"}",
        "{\"type\":\"ping\",\"\n\":1}",
        "{\"type\":\"ping\"}\0",
        "{\"type\":\"ping\",\u{a0}\"x\":1}",
        "[1,]",
        "\"\\q\"",
        "/* */{\"type\":\"ping\"}",
    ] {
        let CommandError { code, id, message, .. } = fault(text);
        assert_eq!((code, id), (ErrorCode::NotJson, None), "{text}");
        assert!(message.starts_with("not JSON: "), "{text}: {message}");
        assert!(message.contains(" at line 1 ") || text.contains('\n'), "{text}: {message}");
    }
    let marked = fault("\u{feff}{\"type\":\"ping\"}");
    assert_eq!(marked.code, ErrorCode::NotJson);
    assert!(marked.message.contains("byte order mark"), "{}", marked.message);
}

#[test]
fn json_that_is_not_an_object_has_the_wrong_type() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["[]", "[{\"type\":\"ping\"}]", "null", "true", " 1e9999 ", "\"\\ud800\"", &deep] {
        let error = fault(text);
        assert_eq!(error.code, ErrorCode::WrongType, "{text:.40}");
        assert_eq!(error.message, "a message is one JSON object");
    }
}

#[test]
fn deep_nesting_uses_no_stack() {
    let depth = 100_000;
    let open = "[".repeat(depth);
    assert_eq!(code(&open), ErrorCode::NotJson);
    let braces = r#"{"a":"#.repeat(depth);
    assert_eq!(code(&braces), ErrorCode::NotJson);
    assert_eq!(code(&format!(r#"{{"type":{open}{}}}"#, "]".repeat(depth))), ErrorCode::WrongType);
    let to = format!(r#"{{"type":"notify","id":"1","data":1,"to":{open}{}}}"#, "]".repeat(depth));
    assert_eq!(code(&to), ErrorCode::WrongType);
    let objects = format!("{braces}1{}", "}".repeat(depth));
    for field in ["id", "event", "ttl"] {
        let text =
            format!(r#"{{"type":"notify","to":["a"],"data":1,"id":"1","{field}":{objects}}}"#);
        assert_eq!(code(&text), ErrorCode::WrongType, "{field}");
    }
}

#[test]
fn a_field_given_twice_is_ambiguous() {
    let error = fault(r#"{"type":"ping","to":1,"id":"7","to":1,"to":1}"#);
    assert_eq!((error.code, error.id.as_deref()), (ErrorCode::WrongType, Some("7")));
    assert_eq!(error.message, "\"to\" is given more than once");
    // Spelt differently, it is the same field.
    let error = fault(r#"{"type":"ping","id":"7","\u0069d":"8","id":"9"}"#);
    assert_eq!((error.code, error.id), (ErrorCode::WrongType, None));
    assert_eq!(code(r#"{"type":"ping","x":1,"x":2}"#), ErrorCode::UnknownField);
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for half in ["\\ud800", "\\udc00", "a\\ud83dz", "\\ud83d\\u0041"] {
        for field in ["id", "topic", "event"] {
            let text = r#"{"type":"publish","id":"1","topic":"t","event":"e","data":1}"#;
            let whole = match field {
                "id" => text.replace(r#""id":"1""#, &format!(r#""id":"{half}""#)),
                "topic" => text.replace(r#""topic":"t""#, &format!(r#""topic":"{half}""#)),
                _ => text.replace(r#""event":"e""#, &format!(r#""event":"{half}""#)),
            };
            let error = fault(&whole);
            assert_eq!(error.code, ErrorCode::WrongType, "{whole}");
            assert_eq!(error.message, format!("\"{field}\" must be a string"));
        }
        let to = format!(r#"{{"type":"notify","id":"1","to":["{half}"],"data":1}}"#);
        assert_eq!(code(&to), ErrorCode::WrongType);
        // A key that cannot be decoded is an unknown field.
        let text = format!(r#"{{"type":"ping","{half}":1}}"#);
        assert_eq!(code(&text), ErrorCode::UnknownField);
    }
}

#[test]
fn a_nul_is_a_control_character_even_if_escaped() {
    let text = r#"{"type":"subscribe","id":"1","topic":"a\u0000"}"#;
    assert_eq!(code(text), ErrorCode::BadName);
    let raw = "{\"type\":\"subscribe\",\"id\":\"1\",\"topic\":\"a\0\"}";
    assert_eq!(code(raw), ErrorCode::NotJson);
    let delete = "{\"type\":\"subscribe\",\"id\":\"1\",\"topic\":\"a\u{7f}\"}";
    assert_eq!(code(delete), ErrorCode::BadName);
}

#[test]
fn too_many_recipients_are_refused_early() {
    let names = "\"a\",".repeat(200_000);
    let text = format!(r#"{{"type":"notify","id":"1","to":[{names}"a"],"data":1}}"#);
    assert_eq!(code(&text), ErrorCode::TooManyRecipients);
}

#[test]
fn an_error_quotes_nothing_of_the_message() {
    for text in [
        "{\"type\":\"<script>\"}",
        "<script>",
        "{\"<script>\"",
        "{\"type\":\"ping\",\"<script>\":1}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"topic\":\"<script>\\n\"}",
    ] {
        assert!(!fault(text).message.contains("script"), "{text}");
    }
}
