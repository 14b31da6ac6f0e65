//! Converts a checked value in its canonical form to the type of its field. The value was already
//! checked against its key, so this cannot fail.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Value;
use toml::de::DeValue;

use crate::config::{
    ApiScope, Automatic, Cores, HookEvent, HookUrl, TokenAlgorithm,
    api_hosts::ApiHosts,
    balance::Balance,
    error::Origin,
    field_names::FieldNames,
    keys::Key,
    origins::Origins,
    patterns::Patterns,
    source::{Assigned, Values},
    upstream_url::UpstreamUrl,
    value,
};

const CHECKED: &str = "the value was checked against its key; tests read every key and every end";

/// The type of a field.
pub(super) trait FromValue: Sized {
    /// Converts a value.
    fn from_value(value: &Value) -> Self;

    /// The value for a key that no source sets and that has no default.
    fn absent() -> Self {
        panic!("{CHECKED}")
    }
}

/// The field of a key: the value that was set, or the default.
pub(super) fn field<T: FromValue>(key: &Key, values: &Values) -> T {
    assigned(key, values).map_or_else(T::absent, |assigned| T::from_value(&assigned.value))
}

/// The value that was set, or the default if there is one, and where it was written.
pub(super) fn assigned(key: &Key, values: &Values) -> Option<Assigned> {
    if let Some(assigned) = values.get(key.path) {
        return Some(assigned.clone());
    }
    let text = value::default_text(&key.kind)?;
    let written = DeValue::parse(&text).expect("a default is TOML");
    let value = value::check(key, written.get_ref()).expect("a default is in range");
    Some(Assigned { value, origin: Origin::Default })
}

macro_rules! whole_numbers {
    ($($type:ty)+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Self {
                let number = value.as_integer().expect(CHECKED);
                number.try_into().expect(CHECKED)
            }
        }
    )+};
}
whole_numbers!(u8 u16 u32 u64 usize);

/// Types that are read from a text.
macro_rules! texts {
    ($($type:ty)+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Self {
                text(value).parse().expect(CHECKED)
            }
        }
    )+};
}
texts!(Balance Cores HookUrl IpNet SocketAddr String);

fn text(value: &Value) -> &str {
    value.as_str().expect(CHECKED)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect(CHECKED)
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Self {
        value.as_bool().expect(CHECKED)
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Self {
        Self::from_millis(u64::from_value(value))
    }
}

impl<T: FromValue> FromValue for Automatic<T> {
    fn from_value(value: &Value) -> Self {
        match value.as_str() {
            Some(value::AUTO) => Self::Auto,
            _ => Self::Exactly(T::from_value(value)),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Self {
        Some(T::from_value(value))
    }

    fn absent() -> Self {
        None
    }
}

impl FromValue for Vec<IpNet> {
    fn from_value(value: &Value) -> Self {
        list(value).iter().map(IpNet::from_value).collect()
    }
}

impl FromValue for Vec<TokenAlgorithm> {
    fn from_value(value: &Value) -> Self {
        list(value).iter().map(TokenAlgorithm::from_value).collect()
    }
}

impl FromValue for Vec<ApiScope> {
    fn from_value(value: &Value) -> Self {
        list(value).iter().map(ApiScope::from_value).collect()
    }

    /// A key without scopes is refused by its name when all keys are loaded.
    fn absent() -> Self {
        Self::new()
    }
}

impl FromValue for Vec<UpstreamUrl> {
    fn from_value(value: &Value) -> Self {
        list(value).iter().map(|url| UpstreamUrl::parse(text(url)).expect(CHECKED)).collect()
    }

    /// A route without servers is refused by its path when all routes are checked.
    fn absent() -> Self {
        Self::new()
    }
}

impl FromValue for Vec<HookEvent> {
    fn from_value(value: &Value) -> Self {
        list(value).iter().map(HookEvent::from_value).collect()
    }

    /// A hook without events is a fault of all hooks together.
    fn absent() -> Self {
        Self::new()
    }
}

impl FromValue for FieldNames {
    fn from_value(value: &Value) -> Self {
        Self::new(list(value).iter().map(text))
    }
}

impl FromValue for Patterns {
    fn from_value(value: &Value) -> Self {
        Self::new(list(value).iter().map(text))
    }
}

impl FromValue for Origins {
    fn from_value(value: &Value) -> Self {
        Self::parse(list(value).iter().map(text)).expect(CHECKED)
    }
}

impl FromValue for ApiHosts {
    fn from_value(value: &Value) -> Self {
        Self::new(list(value).iter().map(text))
    }
}
