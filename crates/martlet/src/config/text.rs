//! From the text of a value to a [`Value`] of the right kind, or what is wrong with it.

use toml::de::{DeArray, DeInteger, DeValue};

use super::value::{Kind, Refusal, Value, each};

/// A value of a TOML document as a value of this kind.
///
/// # Errors
/// Another type, or a number out of bounds.
pub(crate) fn value_of_kind(kind: &Kind, found: &DeValue<'_>) -> Result<Value, Vec<Refusal>> {
    match (kind, found) {
        (Kind::Boolean, DeValue::Boolean(value)) => Ok(Value::Boolean(*value)),
        (Kind::Integer { min, max }, DeValue::Integer(digits)) => integer(digits)
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| (*min..=*max).contains(number))
            .map(Value::Integer)
            .ok_or_else(|| vec![must_be(kind, &digits.to_string())]),
        (Kind::Choice(names), DeValue::String(text)) if !names.contains(&text.as_ref()) => {
            Err(vec![must_be(kind, &format!("{text:?}"))])
        }
        (Kind::Choice(_) | Kind::Text, DeValue::String(text)) => Ok(Value::Text(text.to_string())),
        (Kind::List, DeValue::Array(elements)) => list(kind, elements),
        _ => Err(vec![must_be(kind, article(found))]),
    }
}

fn integer(digits: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(digits.as_str(), digits.radix()).ok()
}

fn list(kind: &Kind, elements: &DeArray<'_>) -> Result<Value, Vec<Refusal>> {
    let texts = each(elements.iter(), |element| match element.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(must_be(kind, &format!("a list with {}", article(other)))),
    });
    texts.map(Value::List)
}

/// A value of the command line or the environment, where strings need no quotes.
///
/// # Errors
/// No value, another type, or a number out of bounds.
pub(crate) fn parse_unquoted(kind: &Kind, raw: &str) -> Result<Value, Vec<Refusal>> {
    let raw = raw.trim();
    let bare_string = matches!(kind, Kind::Text | Kind::Choice(_)) && !raw.starts_with(['"', '\'']);
    if bare_string {
        return value_of_kind(kind, &DeValue::String(raw.into()));
    }
    match DeValue::parse(raw) {
        Ok(found) => value_of_kind(kind, found.get_ref()),
        Err(_) => Err(vec![must_be(kind, &format!("{raw:?}"))]),
    }
}

fn must_be(kind: &Kind, found: &str) -> Refusal {
    Refusal::new(format!("must be {kind}, not {found}"))
}

fn article(found: &DeValue<'_>) -> &'static str {
    match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
