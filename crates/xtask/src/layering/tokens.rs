//! The tokens of a source file, except items that only exist in tests. Never judges them.

use super::SourceFile;

/// A word, a mark, or `::`.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// Words that begin an item. Such an item ends at `;` or `}`, and a comma never ends it.
const ITEM_WORDS: [&str; 16] = [
    "pub",
    "fn",
    "struct",
    "enum",
    "union",
    "impl",
    "trait",
    "mod",
    "const",
    "static",
    "type",
    "use",
    "unsafe",
    "async",
    "extern",
    "macro_rules",
];

/// All tokens, except the items under `#[cfg(test)]` or `#[test]`.
pub fn shipped(file: &SourceFile) -> Vec<Token<'_>> {
    let tokens = joined(file);
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_test_only(&tokens[at..]) {
            let inner = text(&tokens, at + 1) == "!";
            // `#![cfg(test)]` applies to the whole file.
            at = if inner { tokens.len() } else { item_end(&tokens, at) };
        } else {
            kept.push(*token);
            at += 1;
        }
    }
    kept
}

/// The text at a place; empty after the end.
pub fn text<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

/// The tokens, with each `::` as one token.
fn joined(file: &SourceFile) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    for (line, text) in file.tokens() {
        match tokens.last_mut() {
            Some(last) if text == ":" && last.text == ":" => last.text = "::",
            _ => tokens.push(Token { line, text }),
        }
    }
    tokens
}

/// Whether an attribute begins here that limits its item to test builds.
fn is_test_only(tokens: &[Token<'_>]) -> bool {
    let at = match (text(tokens, 0), text(tokens, 1), text(tokens, 2)) {
        ("#", "[", _) => 2,
        ("#", "!", "[") => 3,
        _ => return false,
    };
    match (text(tokens, at), text(tokens, at + 1)) {
        ("test", "]") => true,
        ("cfg", "(") => condition(&tokens[at + 2..]).0 == Some(false),
        _ => false,
    }
}

/// The value of a condition when `test` is not set, if that alone decides it, and its length.
fn condition(tokens: &[Token<'_>]) -> (Option<bool>, usize) {
    let name = text(tokens, 0);
    if text(tokens, 1) != "(" {
        // Either a flag or `key = "value"`, whose value is blank.
        let length = tokens.iter().take_while(|token| !matches!(token.text, "," | ")")).count();
        return ((name == "test").then_some(false), length.max(1));
    }
    let (mut parts, mut at) = (Vec::new(), 2);
    while at < tokens.len() && text(tokens, at) != ")" {
        let (part, length) = condition(&tokens[at..]);
        parts.push(part);
        at += length;
        if text(tokens, at) == "," {
            at += 1;
        }
    }
    let value = match name {
        "not" => parts.first().copied().flatten().map(|value| !value),
        "all" if parts.contains(&Some(false)) => Some(false),
        "all" if parts.iter().all(|part| *part == Some(true)) => Some(true),
        "any" if parts.contains(&Some(true)) => Some(true),
        "any" if parts.iter().all(|part| *part == Some(false)) => Some(false),
        _ => None,
    };
    (value, at + 1)
}

/// The place after the item, field or arm whose first attribute is at `start`.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut at = start;
    while text(tokens, at) == "#" {
        at = group_end(tokens, at + 1);
    }
    let is_item = ITEM_WORDS.contains(&text(tokens, at));
    let is_use = tokens[at.min(tokens.len())..]
        .iter()
        .take_while(|token| !matches!(token.text, "{" | ";"))
        .any(|token| token.text == "use");
    while at < tokens.len() {
        match text(tokens, at) {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "}" | ")" | "]" => return at,
            "{" if !is_use => return group_end(tokens, at),
            "{" | "(" | "[" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The place after the group of brackets that opens at `start`.
fn group_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_only_tests_build_is_left_out() {
        for (source, left) in [
            ("#[cfg(test)] mod tests { use a::{b, c}; } d", "d"),
            ("#[cfg(test)] #[allow(x)] use a::{b, c}; d", "d"),
            ("#[cfg(all(test, not(loom)))] mod tests; d", "d"),
            ("#[cfg(any(test, loom))] mod a;", "# [ cfg ( any ( test , loom ) ) ] mod a ;"),
            ("#[cfg(not(test))] mod a;", "# [ cfg ( not ( test ) ) ] mod a ;"),
            ("#[cfg(feature = \"a\")] mod a;", "# [ cfg ( feature = ) ] mod a ;"),
            ("#[test] fn f<A, B>(a: A) { g() } d", "d"),
            ("struct A { #[cfg(test)] a: u8, b: c::D }", "struct A { b : c :: D }"),
            ("#![cfg(test)] use a;", ""),
            ("#[cfg(test)] const A: [u8; 2] = [1, 2]; d", "d"),
        ] {
            let file = SourceFile::new("a.rs", source);
            let tokens: Vec<&str> = shipped(&file).iter().map(|token| token.text).collect();
            assert_eq!(tokens.join(" "), left, "{source}");
        }
    }
}
