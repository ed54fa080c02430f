//! The names of numbered statements, as they are cited in code, comments and test names.

use std::fmt;

/// A statement's name in the form of the tables: `MQTT-4.7.2-1` in MQTT 5, `MQTT3-4.7.2-1` in MQTT 3.1.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clause(String);

impl Clause {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Sorts 3.10 after 3.9.
    pub(crate) fn sort_key(&self) -> (bool, Vec<u32>) {
        let (prefix, numbers) = self.0.split_once('-').unwrap_or(("", &self.0));
        let numbers = numbers.split(['.', '-']).map(|number| number.parse().unwrap_or(u32::MAX));
        (prefix != "MQTT3", numbers.collect())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every statement that a text names, in order, with or without square brackets around it.
pub(crate) fn cited(text: &str) -> impl Iterator<Item = Clause> + '_ {
    text.match_indices("MQTT").filter_map(|(at, _)| clause_at(&text[at..]).map(Clause::new))
}

/// The name that a text starts with: a prefix, a dotted section, a hyphen and a number.
fn clause_at(text: &str) -> Option<&str> {
    let prefix = ["MQTT3-", "MQTT-"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let rest = &text[prefix.len()..];
    let section = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let is_section = rest[..section].contains('.') && !rest[..section].starts_with('.');
    if !is_section || !rest[section..].starts_with('-') {
        return None;
    }
    let number = rest[section + 1..].bytes().take_while(u8::is_ascii_digit).count();
    (number > 0).then(|| &text[..prefix.len() + section + 1 + number])
}

/// The statement that a function's name starts with: `mqtt_4_7_2_1_rest` is `MQTT-4.7.2-1`, `mqtt3_…` is of MQTT 3.1.1.
pub(crate) fn in_function_name(name: &str) -> Option<Clause> {
    let mut parts = name.split('_');
    let prefix = match parts.next()? {
        "mqtt" => "MQTT",
        "mqtt3" => "MQTT3",
        _ => return None,
    };
    let numbers: Vec<&str> = parts.by_ref().take(4).collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match numbers.as_slice() {
        [a, b, c, d] if numbers.iter().all(is_number) => Some(Clause(format!("{prefix}-{a}.{b}.{c}-{d}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Clause, cited, in_function_name};

    fn names(clauses: impl IntoIterator<Item = Clause>) -> Vec<String> {
        clauses.into_iter().map(|clause| clause.to_string()).collect()
    }

    #[test]
    fn clauses_are_found_in_brackets_and_in_plain_strings() {
        let text =
            "return; // [MQTT-3.3.1-8], [MQTT3-4.7.2-1]; see \"MQTT-4.13.1-1\" and MQTT-SN, MQTT-5, MQTT-1.2";
        assert_eq!(names(cited(text)), ["MQTT-3.3.1-8", "MQTT3-4.7.2-1", "MQTT-4.13.1-1"]);
    }

    #[test]
    fn a_function_name_carries_a_clause_of_either_standard() {
        let check = |name, expected: Option<&str>| {
            assert_eq!(in_function_name(name), expected.map(Clause::new), "{name}");
        };
        check("mqtt_4_7_2_1_wildcards_skip_dollar", Some("MQTT-4.7.2-1"));
        check("mqtt3_3_1_0_1_first_packet", Some("MQTT3-3.1.0-1"));
        check("mqtt_3_1_2_24_5_times", Some("MQTT-3.1.2-24"));
        check("mqtt_3_1_clients_resume", None);
        check("mqtt_clients_resume", None);
        check("plain", None);
    }

    #[test]
    fn clauses_sort_by_number_with_the_older_standard_first() {
        let mut clauses = ["MQTT-3.10.1-1", "MQTT-3.9.1-2", "MQTT3-4.1.0-1"].map(Clause::new);
        clauses.sort_by_key(Clause::sort_key);
        assert_eq!(names(clauses), ["MQTT3-4.1.0-1", "MQTT-3.9.1-2", "MQTT-3.10.1-1"]);
    }
}
