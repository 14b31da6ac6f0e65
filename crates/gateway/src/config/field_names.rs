//! Names of header fields, in lower case.

use axum::http::HeaderName;

/// Header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames(Vec<String>);

impl FieldNames {
    /// These fields; each is a name ([`is_name`]).
    pub fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self(names.map(str::to_ascii_lowercase).collect())
    }

    /// The name as it is written here, if it is one of them.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|own| own.eq_ignore_ascii_case(name))
    }
}

/// RFC 9110 §5.1: whether this may be the name of a field.
pub fn is_name(text: &str) -> bool {
    text.parse::<HeaderName>().is_ok()
}
