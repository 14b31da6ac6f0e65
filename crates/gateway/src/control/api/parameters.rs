//! The parameters of a request: names in the path, and the query.
//!
//! An unknown or repeated parameter is an error. Only the operator's routes ignore the query,
//! because probes add parameters of their own.

use std::borrow::Cow;

use axum::extract::{Path, rejection::PathRejection};
use ringway_hub::name;

use crate::{
    config::spelling,
    control::api::problem::{Kind, Problem},
};

use ringway_http::query;

/// The name in the path.
///
/// # Errors
/// The path holds no valid name.
pub fn name_in(
    path: Result<Path<String>, PathRejection>,
    what: &'static str,
) -> Result<String, Problem> {
    let fault = |reason: &str| Problem::new(Kind::BadName, format!("the {what} {reason}"));
    // The route has one place for a name, so this is the only possible error.
    let Ok(Path(name)) = path else { return Err(fault("is not UTF-8")) };
    match name::check(&name) {
        Ok(()) => Ok(name),
        Err(reason) => Err(fault(reason.reason())),
    }
}

/// The values of these parameters, in the same order.
///
/// # Errors
/// A parameter is unknown or repeated, or something is not UTF-8.
pub fn of_query<'q, const COUNT: usize>(
    query: Option<&'q str>,
    names: [&'static str; COUNT],
) -> Result<[Option<Cow<'q, str>>; COUNT], Problem> {
    let mut values = [const { None }; COUNT];
    for pair in query::pairs(query.unwrap_or_default()) {
        let (name, value) =
            pair.map_err(|_| Problem::new(Kind::BadParameter, "the query is not UTF-8"))?;
        let place = names.iter().position(|known| *known == name);
        let place = place.ok_or_else(|| unknown(&name, &names))?;
        if values[place].replace(value).is_some() {
            let detail = format!("{} is given more than once", names[place]);
            return Err(Problem::new(Kind::BadParameter, detail));
        }
    }
    Ok(values)
}

/// Refuses any parameter, for a route without parameters.
///
/// # Errors
/// There is a parameter.
pub fn none_in(query: Option<&str>) -> Result<(), Problem> {
    of_query(query, []).map(|[]: [_; 0]| ())
}

/// The problem for a parameter that is not in `names`.
fn unknown(name: &str, names: &[&'static str]) -> Problem {
    let detail = match spelling::nearest(name, names.iter().copied()) {
        Some(near) => format!("unknown parameter; did you mean {near}?"),
        None if names.is_empty() => "unknown parameter; this route takes none".to_owned(),
        None => format!("unknown parameter; the known parameters are {}", names.join(", ")),
    };
    Problem::new(Kind::BadParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_in_any_order_but_not_repeated() {
        let values = of_query(Some("b=%C3%A4+1&c="), ["a", "b", "c"]);
        let [a, b, c] = values.unwrap();
        assert_eq!((a, b.as_deref(), c.as_deref()), (None, Some("ä 1"), Some("")));
        assert_eq!(of_query(None, ["a"]), Ok([None]));
        for query in ["a=1&a=1", "a=%ff", "unknown=1", "A=1"] {
            assert_eq!(of_query(Some(query), ["a"]).unwrap_err().kind, Kind::BadParameter);
        }
    }

    #[test]
    fn the_nearest_parameter_is_named() {
        let detail = |query, names| of_query::<2>(Some(query), names).unwrap_err().detail;
        let names = ["since", "limit"];
        assert_eq!(detail("limt=1", names), "unknown parameter; did you mean limit?");
        assert_eq!(
            detail("x=1", names),
            "unknown parameter; the known parameters are since, limit"
        );
        assert_eq!(none_in(Some("a=1")).unwrap_err().kind, Kind::BadParameter);
        assert_eq!(none_in(None), Ok(()));
    }
}
