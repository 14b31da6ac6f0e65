//! Reads blocks as a browser would: with the rules of this file, and with a real JavaScript engine
//! if Node is installed.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::encoding::iframe::*;

#[test]
fn a_callback_is_one_identifier() {
    let longest = "a".repeat(64);
    for good in ["f", "_", "ringway", "a1_b2", "A", &longest] {
        let callback = Callback::parse(good).unwrap_or_else(|| panic!("{good}"));
        assert_eq!(callback.to_string(), good);
    }
    let too_long = "a".repeat(65);
    for bad in [
        "",
        ".",
        "a.",
        ".a",
        "a.b",
        "parent.eval",
        "1a",
        "a b",
        "a(",
        "a;",
        "a[0]",
        "a-b",
        "$",
        "é",
        "a\n",
        "a\0",
        "a/*",
        "<script>",
        "a'",
        &too_long,
    ] {
        assert_eq!(Callback::parse(bad), None, "{bad:?}");
    }
    let default = Callback::default();
    assert_eq!(Callback::parse(&default.to_string()), Some(default));
}

/// The characters that are escaped, and their neighbours.
const PIECES: &[&str] = &[
    "<",
    ">",
    "&",
    "\u{2028}",
    "\u{2029}",
    "\u{e2}",
    "\u{2000}",
    "\\",
    "\"",
    "'",
    "`",
    "${",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{7f}",
    "u003c",
    "</script>",
    "<!--",
    "__proto__",
];

/// The text that a block passes to `JSON.parse`; the block's end is found as a browser finds it.
fn handed_over(block: &[u8]) -> String {
    let text = std::str::from_utf8(block).expect("UTF-8");
    let inside = text.strip_prefix("<script>deliver(").expect("a call");
    let (literal, end) = inside.split_once('<').expect("an end");
    assert_eq!(end, "/script>\n", "the first tag ends the block");
    let literal = literal.strip_suffix(')').expect("the call's end");
    let is_harmless =
        |letter: char| !letter.is_control() && !"<>&\u{2028}\u{2029}".contains(letter);
    assert!(literal.chars().all(is_harmless), "{literal:?}");
    // JSON has all the escapes that are written.
    serde_json::from_str(literal).expect("a string")
}

fn written(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    script(&mut out, text);
    out
}

/// Texts that a careless encoding would change, end early or reject.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "]]>",
        "-->",
        "&lt;/script&gt;",
        "\u{2028}\u{2029}\u{202a}\u{20ac}\u{2027}",
        "\\</script>",
        "\n\r\0\"')",
        "\u{feff}\u{fffe}\u{10ffff}",
    ]
    .iter()
    .map(|text| json!({"data": text, *text: [text]}).to_string())
    .collect();
    texts.extend(
        [
            r#"{"__proto__":{"admin":true}}"#,
            r#"{"__proto__":{"admin":true},"__proto__":{"admin":false}}"#,
            r#"{"data":{"__proto__":null,"constructor":1,"toString":"x"}}"#,
            r#"{"a":1,"a":2}"#,
            r#""\ud800 \udc00""#,
            r#"{"n":[1e400,-0.0,123456789012345678901234567890,1E-400]}"#,
            "{\n\"a\" :\r\n1 ,\t\"b\":\r2}",
        ]
        .map(str::to_owned),
    );
    texts.push(format!("{}{}", "[".repeat(6000), "]".repeat(6000)));
    texts
}

#[test]
fn the_text_is_passed_on_unchanged() {
    for text in hostile() {
        assert_eq!(handed_over(&written(&text)), text);
    }
}

/// Reads pairs of a document and the expected text, runs the scripts of the document as a page
/// would, and compares the result with `JSON.parse` of the text.
const JUDGE: &str = r#"
const vm = require("node:vm");
const assert = require("node:assert");
const pairs = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const same = (a, b, depth = 0) => {
  if (typeof a !== "object" || a === null) return Object.is(a, b);
  while (Array.isArray(a) && a.length === 1) {
    if (!Array.isArray(b) || b.length !== 1) return false;
    [[a], [b]] = [a, b];
  }
  if (typeof a !== "object" || a === null) return Object.is(a, b);
  const [keys, others] = [a, b].map((one) => Reflect.ownKeys(one).sort());
  return keys.join("\0") === others.join("\0") && keys.every((key) =>
    same(Object.getOwnPropertyDescriptor(a, key).value, Object.getOwnPropertyDescriptor(b, key).value));
};
for (const { document, text, posted } of pairs) {
  const got = [];
  const parent = posted
    ? { postMessage: (object, origin) => got.push(object) && assert.strictEqual(origin, posted) }
    : { ringway: (object) => got.push(object) };
  const page = vm.createContext({ parent });
  page.self = page;
  for (const [, source] of document.matchAll(/<script>([^]*?)<\/script>/g)) {
    vm.runInContext(source, page);
  }
  assert.strictEqual(got.length, 1, text.slice(0, 200));
  assert(same(got[0], JSON.parse(text)), text.slice(0, 200));
}
// A document that is not embedded passes nothing on.
const top = vm.createContext({ ringway: () => assert.fail("called") });
top.self = top.parent = top;
for (const [, source] of pairs[0].document.matchAll(/<script>([^]*?)<\/script>/g)) {
  vm.runInContext(source, top);
}
console.log(`judged ${pairs.length}`);
"#;

#[test]
fn a_script_gets_the_same_value_as_json_parse() {
    let origin = "https://shop.example:8443";
    let mut pairs = Vec::new();
    for text in hostile() {
        for (receiver, posted) in
            [(Receiver::default(), None), (Receiver::Origin(origin.into()), Some(origin))]
        {
            let mut document = Vec::new();
            prologue(&mut document, &receiver);
            script(&mut document, &text);
            let document = String::from_utf8(document).expect("UTF-8");
            pairs.push(json!({"document": document, "text": text, "posted": posted}));
        }
    }
    let mut command = Command::new("node");
    command.args(["-e", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = match command.spawn() {
        Ok(node) => node,
        Err(error) => return eprintln!("SKIPPED: node cannot be run: {error}"),
    };
    let count = pairs.len();
    let mut input = node.stdin.take().expect("it is piped");
    input.write_all(Value::from(pairs).to_string().as_bytes()).expect("node reads");
    drop(input);
    let output = node.wait_with_output().expect("node ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), format!("judged {count}"), "{}", output.status);
}

#[test]
fn a_document_begins_with_an_invisible_kilobyte() {
    let mut out = b"head".to_vec();
    prologue(&mut out, &Receiver::default());
    assert_eq!(out.len(), 4 + 1024);
    assert!(out.is_ascii() && out.ends_with(b" \n"));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("{if(parent!==self)parent.ringway(JSON.parse(text))}"), "{text}");
    let mut out = Vec::new();
    let long = format!("https://{}", "a".repeat(2000));
    prologue(&mut out, &Receiver::Origin(long.into()));
    assert!(out.len() > 2000 && out.ends_with(b"</script>\n"));
}

proptest! {
    #[test]
    fn every_text_keeps_its_meaning(
        text in any::<String>(),
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..9),
    ) {
        let raw = pieces.concat() + &text;
        prop_assert_eq!(handed_over(&written(&raw)), raw);
    }
}
