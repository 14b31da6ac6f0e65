//! Checks a written value against its key: its kind and its range. The result is the value in one
//! canonical form (milliseconds, bytes, lists), or a message that says how to write it. It never
//! knows where the value came from.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::Value;
use toml::de::{DeInteger, DeValue};

use crate::{
    config::{
        HookUrl, api_hosts as api_host,
        balance::Balance,
        bound::{Bound, Preset},
        cores::Cores,
        field_names,
        keys::{Key, Kind},
        origins::Origins,
        patterns as permission, routes, spelling,
        units::{self, UnitError},
    },
    limits,
};

/// The word for a value that depends on something else.
pub(super) const AUTO: &str = "auto";

/// The canonical form of a value, or the error.
pub(super) fn check(key: &Key, written: &DeValue<'_>) -> Result<Value, String> {
    canonical(&key.kind, written)
        .map_err(|fault| format!("{} = {} {fault}", key.path, shown(written)))
}

/// The default of a key in TOML; `None` for a key that has none.
pub(super) fn default_text(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Switch(default) => default.to_string(),
        Kind::Word(_, default) | Kind::Address(default) | Kind::Balance(default) => quoted(default),
        Kind::Networks(defaults) | Kind::Patterns(defaults) => format!("[{}]", list(defaults)),
        Kind::Text(_) => quoted(""),
        Kind::Pattern(_)
        | Kind::OptionalText(_)
        | Kind::Words(..)
        | Kind::HookUrl(_)
        | Kind::Path(_)
        | Kind::Upstreams(_) => return None,
        Kind::Origins | Kind::Hosts | Kind::FieldNames(_) => "[]".to_owned(),
        Kind::Cores => quoted(AUTO),
        number => match number.bound()?.default {
            Preset::Auto => quoted(AUTO),
            Preset::Exactly(value) | Preset::Adjustable(value) => number_text(kind, value),
            Preset::Absent(_) => return None,
        },
    })
}

/// An example value for a key that has no default.
pub(super) fn example_text(kind: &Kind) -> Option<String> {
    match (kind, kind.bound().map(|bound| bound.default)) {
        (
            Kind::Pattern(example)
            | Kind::OptionalText(example)
            | Kind::HookUrl(example)
            | Kind::Path(example),
            _,
        ) => Some(quoted(example)),
        (Kind::Words(_, example) | Kind::Upstreams(example), _) => {
            Some(format!("[{}]", quoted(example)))
        }
        (_, Some(Preset::Absent(example))) => Some(number_text(kind, example)),
        _ => None,
    }
}

/// A canonical value in TOML.
pub(super) fn text(kind: &Kind, value: &Value) -> String {
    match value.as_integer() {
        Some(number) => number_text(kind, number as u64),
        None => value.to_string(),
    }
}

fn number_text(kind: &Kind, number: u64) -> String {
    match kind {
        Kind::Duration(_) | Kind::WholeSeconds(_) => quoted(&units::duration_text(number)),
        Kind::Size(_) => quoted(&units::size_text(number)),
        _ => number.to_string(),
    }
}

/// The values that a key accepts, in words.
pub(super) fn range_text(kind: &Kind) -> String {
    let number = |what: &str| {
        let bound = kind.bound().expect("only a number has a range");
        format!("{what} {}", span(kind, bound))
    };
    match kind {
        Kind::Duration(_) | Kind::WholeSeconds(_) => number("a duration"),
        Kind::Size(_) => number("bytes"),
        Kind::Count(_) => number("a whole number"),
        Kind::PowerOfTwo(_) => number("a power of two"),
        Kind::Switch(_) => "true or false".to_owned(),
        Kind::Word(words, _) => format!("one of {}", list(words)),
        Kind::Address(_) => {
            "an IP address and a port, such as \"0.0.0.0:8080\" or \"[::1]:8080\"".to_owned()
        }
        Kind::Networks(_) => "a list of networks, such as \"10.0.0.0/8\"".to_owned(),
        Kind::Patterns(_) => "a list of names, such as \"news\" or \"chat.*\"".to_owned(),
        Kind::Pattern(_) => "a name, or the beginning of names and \"*\"".to_owned(),
        Kind::Text(example) | Kind::OptionalText(example) => {
            format!("a text, such as {}", quoted(example))
        }
        Kind::HookUrl(example) => format!(
            "a URL with http or https, such as {}, or a socket, such as \"unix:/run/app.sock:/ringway\"",
            quoted(example)
        ),
        Kind::FieldNames(example) => {
            format!("a list of header fields, such as {}", quoted(example))
        }
        Kind::Words(words, _) => format!("a list of one or more of {}", list(words)),
        Kind::Balance(_) => Balance::FORMS.to_owned(),
        Kind::Path(example) => format!("the beginning of a path, such as {}", quoted(example)),
        Kind::Upstreams(example) => {
            format!("a list of one or more URLs, such as {}", quoted(example))
        }
        Kind::Origins => "\"*\", or a list of origins, such as \"https://example.org\"".to_owned(),
        Kind::Hosts => "\"*\", or a list of host names, such as \"ringway.internal\"".to_owned(),
        Kind::Cores => "\"auto\", a count, or a list of core numbers in a string".to_owned(),
    }
}

fn canonical(kind: &Kind, written: &DeValue<'_>) -> Result<Value, String> {
    match kind {
        Kind::Duration(bound) => bounded(kind, bound, written, duration_ms),
        Kind::WholeSeconds(bound) => whole_seconds(bounded(kind, bound, written, duration_ms)?),
        Kind::Size(bound) => bounded(kind, bound, written, size_bytes),
        Kind::Count(bound) => bounded(kind, bound, written, count),
        Kind::PowerOfTwo(bound) => power_of_two(bounded(kind, bound, written, count)?),
        Kind::Switch(_) => match written {
            DeValue::Boolean(value) => Ok(Value::Boolean(*value)),
            _ => Err("is not a switch; write true or false, without quotes".to_owned()),
        },
        Kind::Word(words, _) => word(words, written),
        Kind::Address(_) => address(written),
        Kind::Networks(_) => networks(written),
        Kind::Patterns(_) => patterns(written),
        Kind::Pattern(_) => pattern(written),
        Kind::Text(example) | Kind::OptionalText(example) => plain_text(example, written),
        Kind::HookUrl(_) => hook_url(written),
        Kind::Balance(_) => routes::balance(written),
        Kind::FieldNames(_) => field_names(written),
        Kind::Words(words, _) => word_list(words, written),
        Kind::Path(example) => routes::path(example, written),
        Kind::Upstreams(example) => routes::upstreams(example, written),
        Kind::Origins => origins(written),
        Kind::Hosts => hosts(written),
        Kind::Cores => cores(written),
    }
}

/// Why a value is not a number of the required kind.
enum NumberFault {
    /// It is a whole number, but negative or too large to count.
    OutOfRange,
    /// The value has the wrong form; the text says how to write it.
    Misshapen(String),
}

fn bounded(
    kind: &Kind,
    bound: &Bound,
    written: &DeValue<'_>,
    number: fn(&DeValue<'_>) -> Result<u64, NumberFault>,
) -> Result<Value, String> {
    if bound.allows_auto() && written.as_str() == Some(AUTO) {
        return Ok(Value::String(AUTO.to_owned()));
    }
    let out_of_range =
        || format!("is out of range; it may be {} ({})", span(kind, bound), bound.reason);
    match number(written) {
        Ok(value) if bound.allows(value) => {
            i64::try_from(value).map(Value::Integer).map_err(|_| out_of_range())
        }
        Ok(_) | Err(NumberFault::OutOfRange) => Err(out_of_range()),
        Err(NumberFault::Misshapen(mend)) if bound.allows_auto() => {
            Err(format!("{mend}, or \"auto\""))
        }
        Err(NumberFault::Misshapen(mend)) => Err(mend),
    }
}

fn power_of_two(value: Value) -> Result<Value, String> {
    match value.as_integer() {
        Some(number) if !(number as u64).is_power_of_two() => {
            let above = (number as u64).next_power_of_two();
            Err(format!("is not a power of two; write {} or {above}", above / 2))
        }
        _ => Ok(value),
    }
}

fn whole_seconds(value: Value) -> Result<Value, String> {
    match value.as_integer() {
        Some(milliseconds) if milliseconds % 1000 != 0 => {
            let below = milliseconds / 1000;
            Err(format!(
                "is not a whole number of seconds, in which the kernel counts; write \"{below}s\" \
                 or \"{}s\"",
                below + 1
            ))
        }
        _ => Ok(value),
    }
}

/// The ends of a bound: `from 1 to 9, or "auto"`.
fn span(kind: &Kind, bound: &Bound) -> String {
    let auto = if bound.allows_auto() { ", or \"auto\"" } else { "" };
    format!("from {} to {}{auto}", number_text(kind, bound.least), number_text(kind, bound.most))
}

fn duration_ms(written: &DeValue<'_>) -> Result<u64, NumberFault> {
    let shape = || {
        let mend = "is not a duration; write a whole number and a unit (ms, s, m or h), \
                    such as \"10s\"";
        NumberFault::Misshapen(mend.to_owned())
    };
    let no_unit = |number: &str| {
        NumberFault::Misshapen(format!(
            "has no unit; write \"{number}s\" for seconds or \"{number}ms\" for milliseconds"
        ))
    };
    match written {
        DeValue::String(text) => units::parse_duration_ms(text).map_err(|error| match error {
            UnitError::NoUnit => no_unit(text.trim()),
            UnitError::TooLarge => NumberFault::OutOfRange,
            UnitError::NoNumber | UnitError::UnknownUnit => shape(),
        }),
        DeValue::Integer(number) if integer(number).is_some() => Err(no_unit(number.as_str())),
        _ => Err(shape()),
    }
}

fn size_bytes(written: &DeValue<'_>) -> Result<u64, NumberFault> {
    let shape = || {
        let mend = "is not a size; write bytes, or a whole number and a unit \
                    (B, KiB, MiB or GiB), such as \"64KiB\"";
        NumberFault::Misshapen(mend.to_owned())
    };
    match written {
        DeValue::String(text) => units::parse_size_bytes(text).map_err(|error| match error {
            UnitError::TooLarge => NumberFault::OutOfRange,
            _ => shape(),
        }),
        DeValue::Integer(number) => integer(number).ok_or(NumberFault::OutOfRange),
        _ => Err(shape()),
    }
}

fn count(written: &DeValue<'_>) -> Result<u64, NumberFault> {
    match written {
        DeValue::Integer(number) => integer(number).ok_or(NumberFault::OutOfRange),
        _ => {
            let mend = "is not a whole number; write one without quotes";
            Err(NumberFault::Misshapen(mend.to_owned()))
        }
    }
}

/// The integer, unless it is negative or has more than 64 bits.
fn integer(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn word(words: &[&str], written: &DeValue<'_>) -> Result<Value, String> {
    let Some(text) = written.as_str() else {
        return Err(format!("is not a word; write one of {}", list(words)));
    };
    if words.contains(&text) {
        return Ok(Value::String(text.to_owned()));
    }
    let hint = spelling::nearest(text, words.iter().copied())
        .map(|nearest| format!("; did you mean {}?", quoted(nearest)))
        .unwrap_or_default();
    Err(format!("is not one of {}{hint}", list(words)))
}

fn word_list(words: &[&str], written: &DeValue<'_>) -> Result<Value, String> {
    let shape = format!("is not a list of words; write one or more of {}", list(words));
    let texts = texts(written, &shape)?;
    if texts.is_empty() {
        return Err(format!("is empty; write one or more of {}", list(words)));
    }
    let word = |text: &str| match words.contains(&text) {
        true => Ok(Value::String(text.to_owned())),
        false => Err(format!("has {}, which is not one of {}", quoted(text), list(words))),
    };
    texts.into_iter().map(word).collect::<Result<_, _>>().map(Value::Array)
}

fn plain_text(example: &str, written: &DeValue<'_>) -> Result<Value, String> {
    match written.as_str() {
        Some(text) if text.len() as u64 > limits::TEXT_BYTES_MAX => {
            Err(format!("has more than {} bytes", limits::TEXT_BYTES_MAX))
        }
        Some(text) => Ok(Value::String(text.to_owned())),
        None => Err(format!("is not a text; write one such as {}", quoted(example))),
    }
}

fn address(written: &DeValue<'_>) -> Result<Value, String> {
    let address = written.as_str().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    match address {
        Some(address) => Ok(Value::String(address.to_string())),
        None => Err("is not an IP address and a port; write them like \"127.0.0.1:8080\" or \
                     \"[::1]:8080\", without a host name"
            .to_owned()),
    }
}

fn networks(written: &DeValue<'_>) -> Result<Value, String> {
    let shape = "is not a list of networks; write [\"10.0.0.0/8\", \"::1/128\"]";
    let texts = texts(written, shape)?;
    if texts.len() as u64 > limits::NETWORKS_MAX {
        return Err(format!("has more than {} networks; join some", limits::NETWORKS_MAX));
    }
    let network = |text: &str| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) => Ok(Value::String(network.trunc().to_string())),
            Err(_) => Err(format!(
                "has {}, which is not a network; write an address and a prefix length, \
                 such as \"10.0.0.0/8\"",
                quoted(text)
            )),
        }
    };
    texts.into_iter().map(network).collect::<Result<_, _>>().map(Value::Array)
}

fn patterns(written: &DeValue<'_>) -> Result<Value, String> {
    let texts = texts(written, "is not a list of names; write [\"news\", \"chat.*\"]")?;
    if texts.len() as u64 > limits::PATTERNS_MAX {
        let most = limits::PATTERNS_MAX;
        return Err(format!("has more than {most} names; join some that begin alike with \"*\""));
    }
    let pattern = |text: &str| match permission::check(text) {
        Ok(()) => Ok(Value::String(text.to_owned())),
        Err(fault) => {
            Err(format!("has {}, which {}; {PATTERN_FORM}", quoted(text), fault.reason()))
        }
    };
    texts.into_iter().map(pattern).collect::<Result<_, _>>().map(Value::Array)
}

const PATTERN_FORM: &str = "write a name, or the beginning of names and \"*\", such as \"chat.*\"";

fn pattern(written: &DeValue<'_>) -> Result<Value, String> {
    let Some(text) = written.as_str() else {
        return Err(format!("is not a string; {PATTERN_FORM}"));
    };
    match permission::check(text) {
        Ok(()) => Ok(Value::String(text.to_owned())),
        Err(fault) => Err(format!("{}; {PATTERN_FORM}", fault.reason())),
    }
}

fn origins(written: &DeValue<'_>) -> Result<Value, String> {
    let shape = "is not a list of origins; write [\"https://example.org\"], or \"*\" for every one";
    let texts = texts(written, shape)?;
    if texts.len() as u64 > limits::ORIGINS_MAX {
        let most = limits::ORIGINS_MAX;
        return Err(format!("has more than {most} origins; write \"*\" for every one"));
    }
    Origins::parse(texts.iter().copied()).map_err(|fault| format!("has {fault}"))?;
    Ok(texts.into_iter().map(|text| Value::String(text.to_owned())).collect::<Vec<_>>().into())
}

fn hook_url(written: &DeValue<'_>) -> Result<Value, String> {
    let form = "write one such as \"http://127.0.0.1:3000/ringway\" or \
                \"unix:/run/app.sock:/ringway\"";
    let Some(text) = written.as_str() else { return Err(format!("is not a text; {form}")) };
    match text.parse::<HookUrl>() {
        Ok(_) => Ok(Value::String(text.to_owned())),
        Err(fault) => Err(format!("{fault}; {form}")),
    }
}

fn field_names(written: &DeValue<'_>) -> Result<Value, String> {
    let texts = texts(written, "is not a list of header fields; write [\"cookie\"]")?;
    if texts.len() > limits::HOOK_HEADERS_MAX {
        return Err(format!("has more than {} header fields", limits::HOOK_HEADERS_MAX));
    }
    if let Some(wrong) = texts.iter().find(|text| !field_names::is_name(text)) {
        return Err(format!("has {}, which is not the name of a header field", quoted(wrong)));
    }
    Ok(texts.into_iter().map(|text| Value::String(text.to_owned())).collect::<Vec<_>>().into())
}

fn hosts(written: &DeValue<'_>) -> Result<Value, String> {
    let shape = "is not a list of host names; write [\"ringway.internal\"], or \"*\" for every one";
    let texts = texts(written, shape)?;
    if texts.len() as u64 > limits::ORIGINS_MAX {
        return Err(format!("has more than {} host names", limits::ORIGINS_MAX));
    }
    if let Some(wrong) = texts.iter().find(|text| !api_host::is_name(text)) {
        return Err(format!("has {wrong:?}, which is not a host name without a port"));
    }
    Ok(texts.into_iter().map(|text| Value::String(text.to_owned())).collect::<Vec<_>>().into())
}

/// The strings of a list, or of one string that is split at commas.
pub(super) fn texts<'w>(written: &'w DeValue<'_>, shape: &str) -> Result<Vec<&'w str>, String> {
    match written {
        DeValue::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect())
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().ok_or("is not a list of strings".to_owned()))
            .collect(),
        _ => Err(shape.to_owned()),
    }
}

fn cores(written: &DeValue<'_>) -> Result<Value, String> {
    let text = match written {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        _ => {
            return Err("is not a choice of cores; write \"auto\", a count such as 2, or a list \
                        such as \"0,2-3\""
                .to_owned());
        }
    };
    match text.parse::<Cores>() {
        Ok(cores) => Ok(Value::String(cores.to_string())),
        Err(error) => Err(format!("is not a choice of cores: {error}")),
    }
}

/// The value approximately as it was written, short enough for an error line.
fn shown(written: &DeValue<'_>) -> String {
    match written {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

/// The text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn list(texts: &[&str]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}
