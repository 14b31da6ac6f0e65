//! The syntax of `Sec-WebSocket-Extensions` (RFC 6455 §9.1): a list of
//! extensions, each a token with parameters, over one header line or several.
//!
//! Never knows a particular extension, and never allocates: a header is checked once as a whole,
//! and then read in place.

use httparse::Header;

use crate::token::{is_token_byte, is_white_space, lines};

const FIELD: &str = "Sec-WebSocket-Extensions";

/// The field breaks the grammar of RFC 6455 §9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The extensions of a handshake, in the sender's order of preference.
///
/// Construction has checked the whole field, so iteration cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'h> {
    headers: &'h [Header<'h>],
}

impl<'h> Extensions<'h> {
    /// Checks every `Sec-WebSocket-Extensions` line among `headers`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if any of them breaks the grammar. An empty list element does, because RFC
    /// 6455 §9.1 requires at least one extension.
    pub fn parse(headers: &'h [Header<'h>]) -> Result<Self, Malformed> {
        for line in lines(headers, FIELD) {
            let mut rest = line;
            loop {
                let (_, after) = split_extension(rest)?;
                match after {
                    Some(after) => rest = after,
                    None => break,
                }
            }
        }
        Ok(Self { headers })
    }

    /// The extensions in order; several lines count as one list.
    pub fn iter(&self) -> impl Iterator<Item = Extension<'h>> + use<'h> {
        lines(self.headers, FIELD).flat_map(|line| {
            let mut rest = Some(line);
            std::iter::from_fn(move || {
                // `parse` has accepted the line, so this stops only at its end.
                let (extension, after) = split_extension(rest?).ok()?;
                rest = after;
                Some(extension)
            })
        })
    }
}

/// One extension with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'h> {
    name: &'h str,
    // From the first semicolon on; `split_extension` has accepted it.
    parameters: &'h [u8],
}

impl<'h> Extension<'h> {
    /// Reads one extension with its parameters, as in `a; b=1; c="2"`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `text` is not exactly one extension.
    ///
    /// ```
    /// use ringway_frame::extension::Extension;
    /// let bits = Extension::parse(b"permessage-deflate; server_max_window_bits=\"10\"").unwrap();
    /// assert!(bits.parameters().next().unwrap().value.unwrap().is("10"));
    /// ```
    pub fn parse(text: &'h [u8]) -> Result<Self, Malformed> {
        match split_extension(text)? {
            (extension, None) => Ok(extension),
            (_, Some(_)) => Err(Malformed),
        }
    }

    /// The extension's token.
    pub fn name(&self) -> &'h str {
        self.name
    }

    /// Its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'h>> + use<'h> {
        let mut lexer = Lexer { rest: self.parameters };
        // `split_extension` has accepted these bytes, so this stops only at their end.
        std::iter::from_fn(move || lexer.parameter().ok().flatten())
    }
}

/// One parameter of an extension.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'h> {
    /// The parameter's token.
    pub name: &'h str,
    /// The value after the equals sign, if there is one.
    pub value: Option<Value<'h>>,
}

/// A parameter's value, still with the backslashes of a quoted string.
#[derive(Clone, Copy, Debug)]
pub struct Value<'h> {
    raw: &'h [u8],
}

impl<'h> Value<'h> {
    /// The value's bytes with backslash escapes undone; together they are a token.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'h> {
        let mut raw = self.raw.iter().copied();
        // A backslash is not a token byte: in `raw` it is always an escape.
        std::iter::from_fn(move || match raw.next() {
            Some(b'\\') => raw.next(),
            byte => byte,
        })
    }

    /// Whether the value equals `text`.
    pub fn is(&self, text: &str) -> bool {
        self.bytes().eq(text.bytes())
    }
}

/// Splits off the first extension of a list: returns the extension, and the list after the comma if
/// there is one.
fn split_extension(list: &[u8]) -> Result<(Extension<'_>, Option<&[u8]>), Malformed> {
    let mut lexer = Lexer { rest: list };
    lexer.skip_white_space();
    let name = lexer.token()?;
    lexer.skip_white_space();
    let start = lexer.rest;
    while lexer.parameter()?.is_some() {}
    let parameters = &start[..start.len() - lexer.rest.len()];
    let extension = Extension { name, parameters };
    match lexer.rest {
        [] => Ok((extension, None)),
        [b',', after @ ..] => Ok((extension, Some(after))),
        _ => Err(Malformed),
    }
}

struct Lexer<'h> {
    rest: &'h [u8],
}

impl<'h> Lexer<'h> {
    fn skip_white_space(&mut self) {
        while let [first, rest @ ..] = self.rest
            && is_white_space(*first)
        {
            self.rest = rest;
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'h str, Malformed> {
        let end = self.rest.iter().position(|&byte| !is_token_byte(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if token.is_empty() {
            return Err(Malformed);
        }
        self.rest = rest;
        // Token bytes are ASCII.
        std::str::from_utf8(token).map_err(|_| Malformed)
    }

    /// `";" token [ "=" ( token | quoted-string ) ]`, and the space after it; `None` if there is no
    /// semicolon.
    fn parameter(&mut self) -> Result<Option<Parameter<'h>>, Malformed> {
        if !self.skip(b';') {
            return Ok(None);
        }
        self.skip_white_space();
        let name = self.token()?;
        self.skip_white_space();
        let mut value = None;
        if self.skip(b'=') {
            self.skip_white_space();
            let raw = match self.skip(b'"') {
                true => self.quoted()?,
                false => self.token()?.as_bytes(),
            };
            value = Some(Value { raw });
            self.skip_white_space();
        }
        Ok(Some(Parameter { name, value }))
    }

    /// The content of a quoted string whose opening quote has been read.
    // RFC 6455 §9.1: the value after unescaping must still be a token.
    fn quoted(&mut self) -> Result<&'h [u8], Malformed> {
        let whole = self.rest;
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    let raw = &whole[..whole.len() - self.rest.len()];
                    self.rest = rest;
                    return if raw.is_empty() { Err(Malformed) } else { Ok(raw) };
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(*byte) => {
                    self.rest = rest;
                }
                _ => return Err(Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extensions of these header lines, written in one normal form.
    fn normal(values: &[&str]) -> Result<String, Malformed> {
        let headers: Vec<_> = values
            .iter()
            .map(|value| Header { name: "sec-websocket-extensions", value: value.as_bytes() })
            .collect();
        let extensions = Extensions::parse(&headers)?;
        let written = extensions.iter().map(|extension| {
            let mut text = extension.name().to_owned();
            for parameter in extension.parameters() {
                text += ";";
                text += parameter.name;
                if let Some(value) = parameter.value {
                    text += "=";
                    text += &String::from_utf8(value.bytes().collect()).unwrap();
                }
            }
            text
        });
        Ok(written.collect::<Vec<_>>().join(","))
    }

    // RFC 6455 §9.1: its own examples, white space, quoting, several lines.
    #[test]
    fn lists_are_read_in_order() {
        let table: [(&[&str], &str); 11] = [
            (&[], ""),
            (&["foo"], "foo"),
            (&["foo; bar=baz"], "foo;bar=baz"),
            (&["deflate-stream"], "deflate-stream"),
            (
                &["mux; max-channels=4; flow-control, deflate-stream"],
                "mux;max-channels=4;flow-control,deflate-stream",
            ),
            (&["private-extension"], "private-extension"),
            (&["foo", "bar; baz=2"], "foo,bar;baz=2"),
            (&["foo, bar; baz=2"], "foo,bar;baz=2"),
            (&["\ta ;\tb = 1\t; c , d "], "a;b=1;c,d"),
            (&["a; b=\"1\""], "a;b=1"),
            (&["a; b=\"\\1\\2\" ;c=\"x\\y\""], "a;b=12;c=xy"),
        ];
        for (values, expected) in table {
            assert_eq!(normal(values).as_deref(), Ok(expected), "{values:?}");
        }
    }

    // RFC 6455 §9.1: at least one extension; a quoted value must still be a token.
    #[test]
    fn anything_else_is_malformed() {
        let table = [
            "",
            " ",
            ",",
            "a,",
            ",a",
            "a,,b",
            ";",
            "a;",
            "a;;b",
            "a; b=",
            "a; =b",
            "a; b=c d",
            "a b",
            "a=1",
            "a; b=\"\"",
            "a; b=\"c",
            "a; b=\"c\\",
            "a; b=\"c\\\"",
            "a; b=\"c d\"",
            "a; b=\"c,d\"",
            "a; b=\"\\\"\"",
            "a; b=\"\\\\\"",
            "a; b=\"c\"d",
            "a; b=c\"",
            "\u{e4}",
            "a; b='c d'",
            "a; b=\"c\u{e4}\"",
            "\"a\"",
            "a; \"b\"",
        ];
        for value in table {
            assert_eq!(normal(&[value]), Err(Malformed), "{value:?}");
            assert_eq!(normal(&["good", value]), Err(Malformed), "{value:?}");
        }
    }

    #[test]
    fn one_extension_is_not_a_list() {
        assert!(Extension::parse(b"a; b=1").is_ok());
        assert!(Extension::parse(b"a, b").is_err());
    }

    #[test]
    fn a_value_is_compared_without_its_escapes() {
        let extension = Extension::parse(b"a; b=\"1\\5\"").unwrap();
        let value = extension.parameters().next().unwrap().value.unwrap();
        assert!(value.is("15"));
        assert!(!value.is("1"));
        assert!(!value.is("155"));
    }
}
