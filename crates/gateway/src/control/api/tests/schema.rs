//! The part of JSON Schema (2020-12) that the description uses. An unknown keyword panics, so that
//! nothing is left unchecked.

use ringway_hub::Cursor;
use serde_json::Value;

/// Panics if `value` does not match `schema`, which may refer to the rest of `document`.
#[track_caller]
pub fn check(value: &Value, schema: &Value, document: &Value) {
    if let Err(fault) = fault_in(value, schema, document) {
        panic!("{fault}\nin {value:#}");
    }
}

/// The target of a reference, or the value itself.
#[track_caller]
pub fn resolve<'d>(value: &'d Value, document: &'d Value) -> &'d Value {
    let Some(reference) = value.get("$ref") else { return value };
    let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("nothing at {reference}"))
}

fn fault_in(value: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let fits = match &**keyword {
            "$ref" => {
                fault_in(value, resolve(schema, document), document)?;
                !wanted.as_str().unwrap().ends_with("/Cursor")
                    || value.as_str().unwrap().parse::<Cursor>().is_ok()
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|one| is_of_type(value, one)),
                one => is_of_type(value, one),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "anyOf" => count(value, wanted, document) > 0,
            "oneOf" => count(value, wanted, document) == 1,
            "required" => {
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                wanted.as_array().unwrap().iter().all(has)
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |value| fault_in(value, schema, document))?;
                }
                true
            }
            "additionalProperties" if *wanted == Value::Bool(false) => {
                let mut members = value.as_object().into_iter().flatten();
                members.all(|(name, _)| schema["properties"].get(name).is_some())
            }
            "additionalProperties" => {
                let mut members = value.as_object().into_iter().flatten();
                members.try_for_each(|(_, value)| fault_in(value, wanted, document))?;
                true
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                items.try_for_each(|value| fault_in(value, wanted, document))?;
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= number(wanted)),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= number(wanted)),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= number(wanted)),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= number(wanted)),
            "minimum" => value.as_u64().is_none_or(|value| value >= number(wanted)),
            "maximum" => value.as_u64().is_none_or(|value| value <= number(wanted)),
            "description" | "examples" | "format" | "pattern" | "default" => true,
            other => panic!("no such keyword is known here: {other}"),
        };
        if !fits {
            return Err(format!("{keyword}: {wanted} does not hold for {value}"));
        }
    }
    Ok(())
}

fn count(value: &Value, schemas: &Value, document: &Value) -> usize {
    let schemas = schemas.as_array().unwrap().iter();
    schemas.filter(|schema| fault_in(value, schema, document).is_ok()).count()
}

fn number(wanted: &Value) -> u64 {
    wanted.as_u64().unwrap()
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("no such type is known here: {other}"),
    }
}
