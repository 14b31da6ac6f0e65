//! What stands in the target of a request beside its route: names in the path, parameters in the
//! query.
//!
//! Parameters that are not known are passed over; one that is given twice is a fault.

use std::borrow::Cow;

use axum::extract::{Path, rejection::PathRejection};
use ringway_hub::name;

use super::problem::{Kind, Problem};
use crate::http::query;

/// The name in the path.
///
/// # Errors
/// It is none.
pub fn name_in(
    path: Result<Path<String>, PathRejection>,
    what: &'static str,
) -> Result<String, Problem> {
    let fault = |reason: &str| Problem::new(Kind::BadName, format!("the {what} {reason}"));
    // The route has one place for a name, so that nothing else can be wrong with it.
    let Ok(Path(name)) = path else { return Err(fault("is not UTF-8")) };
    match name::check(&name) {
        Ok(()) => Ok(name),
        Err(reason) => Err(fault(reason.reason())),
    }
}

/// The values of these parameters, in their order.
///
/// # Errors
/// One is given twice, or something is not UTF-8.
pub fn of_query<'q, const COUNT: usize>(
    query: Option<&'q str>,
    names: [&'static str; COUNT],
) -> Result<[Option<Cow<'q, str>>; COUNT], Problem> {
    let mut values = [const { None }; COUNT];
    for pair in query::pairs(query.unwrap_or_default()) {
        let (name, value) =
            pair.map_err(|_| Problem::new(Kind::BadParameter, "the query is not UTF-8"))?;
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        if values[place].replace(value).is_some() {
            let detail = format!("{} is given more than once", names[place]);
            return Err(Problem::new(Kind::BadParameter, detail));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_order_and_once() {
        let values = of_query(Some("b=%C3%A4+1&c=&unknown=1&unknown=2"), ["a", "b", "c"]);
        let [a, b, c] = values.unwrap();
        assert_eq!((a, b.as_deref(), c.as_deref()), (None, Some("ä 1"), Some("")));
        assert_eq!(of_query(None, ["a"]), Ok([None]));
        for query in ["a=1&a=1", "a=%ff"] {
            assert_eq!(of_query(Some(query), ["a"]).unwrap_err().kind, Kind::BadParameter);
        }
    }
}
