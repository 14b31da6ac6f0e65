//! The rules of `[[route]]`: paths and URLs; each route has servers, and no path is there twice. Their
//! keys are in the table with all others.

use toml::{Value, de::DeValue};

use crate::{
    config::{
        error::Faults,
        source::{Assigned, Values},
        upstream_url::UpstreamUrl,
        value,
    },
    limits,
};

const PATH: &str = "route.path";

/// Reports routes without servers, paths that are there twice, and too many routes.
pub(super) fn check(tables: &[Values], faults: &mut Faults) {
    for (place, table) in tables.iter().enumerate() {
        let Assigned { value: path, origin } = table.get(PATH).expect("it is its needed key");
        let text = value::quoted(path.as_str().expect("a path is a text"));
        if place as u64 == limits::ROUTES_MAX {
            let message = format!("route: there are more than {} sections", limits::ROUTES_MAX);
            return faults.add(origin.clone(), message);
        }
        if !table.contains_key("route.upstream") {
            let message = format!("{PATH} = {text} has no upstream; add the URLs of its servers");
            faults.add(origin.clone(), message);
        }
        let mut before = tables.iter().take(place);
        if before.any(|other| other.get(PATH).is_some_and(|other| other.value == *path)) {
            faults.add(origin.clone(), format!("{PATH} = {text} is there twice"));
        }
    }
}

/// The beginning of the paths of a route.
pub(super) fn path(example: &str, written: &DeValue<'_>) -> Result<Value, String> {
    // RFC 3986 §3.3: other characters are escaped in a request.
    let is_path = |text: &str| {
        text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
    };
    match written.as_str() {
        Some(text) if is_path(text) => Ok(Value::String(text.to_owned())),
        _ => Err(format!(
            "is not the beginning of a path; write one such as {}, with its special characters \
             escaped and without a query",
            value::quoted(example)
        )),
    }
}

/// The URLs of a route's servers.
pub(super) fn upstreams(example: &str, written: &DeValue<'_>) -> Result<Value, String> {
    let shape = format!("is not a list of URLs; write [{}]", value::quoted(example));
    let texts = value::texts(written, &shape)?;
    if texts.is_empty() {
        return Err(format!("is empty; write one or more, such as {}", value::quoted(example)));
    }
    if texts.len() as u64 > limits::UPSTREAMS_MAX {
        return Err(format!("has more than {} servers", limits::UPSTREAMS_MAX));
    }
    let url = |text: &str| match UpstreamUrl::parse(text) {
        Some(url) => Ok(Value::String(url.to_string())),
        None => Err(format!(
            "has {}, which is not the URL of a server; write one such as {}",
            value::quoted(text),
            value::quoted(example)
        )),
    };
    texts.into_iter().map(url).collect::<Result<_, _>>().map(Value::Array)
}
