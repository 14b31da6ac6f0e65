//! Options that apply to one of several servers: `NAME=VALUE`.

use std::str::FromStr;

/// A value for the server of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T = String> {
    /// The server's name.
    pub name: String,
    /// The value for it.
    pub value: T,
}

/// A name is also a tag in a histogram log and a column of a table.
const NAME_CHARS_MAX: usize = 40;

impl<T: FromStr> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
        let is_plain = |char: char| char.is_alphanumeric() || "-_.+".contains(char);
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_plain) {
            return Err(format!(
                "`{name}` is not a name: write NAME=VALUE, with letters, digits and -_.+ in the name"
            ));
        }
        let value = value.parse().map_err(|_| format!("`{value}` is not a valid value"))?;
        Ok(Self { name: name.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_equals_sign() {
        let named: Named = "new-1.4=ws://a/?b=c".parse().unwrap();
        assert_eq!((&named.name[..], &named.value[..]), ("new-1.4", "ws://a/?b=c"));
        assert_eq!("a=7".parse(), Ok(Named { name: "a".to_owned(), value: 7u32 }));
        for bad in ["ws://a/", "=ws://a/", "ws://a/?b=c", "a b=c"] {
            assert!(bad.parse::<Named>().is_err(), "{bad}");
        }
        assert!("a=b".parse::<Named<u32>>().is_err());
    }
}
