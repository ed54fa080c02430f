//! The table as text: an effective configuration, an example to start from, and the reference page.

use std::fmt::Write as _;

use super::resolve::environment_name;
use super::settings::{Configuration, ListenerEntry, default_listeners};
use super::table::{LISTENER_DOC, LISTENER_ROWS, ROWS, Row, SECTIONS, Unit};
use super::value::Value;

/// The configuration as a file that says the same again, with comments.
pub(crate) fn effective(configuration: &Configuration) -> String {
    let mut out = String::from("# The effective configuration of Martlet.\n");
    for (section, about) in SECTIONS {
        section_head(&mut out, section, about);
        for row in rows_of(section) {
            option(&mut out, row, &(row.show)(configuration), "");
        }
    }
    for entry in &configuration.listeners {
        listener(&mut out, entry, "");
    }
    out
}

/// Every option with its default, switched off, to be copied and changed.
pub(crate) fn example() -> String {
    let defaults = Configuration::default();
    let mut out = String::from(EXAMPLE_HEAD);
    for (section, about) in SECTIONS {
        section_head(&mut out, section, about);
        for row in rows_of(section) {
            option(&mut out, row, &(row.show)(&defaults), "#");
        }
    }
    out.push('\n');
    comment(&mut out, LISTENER_DOC);
    for entry in default_listeners() {
        listener(&mut out, &ListenerEntry { allow_anonymous: Some(true), ..entry }, "#");
    }
    out
}

const EXAMPLE_HEAD: &str = "\
# Configuration of Martlet, with every option at its default.
#
# Copy this file to martlet.toml, remove the # before the options to change, and start the broker with
#     martlet serve --config martlet.toml
# `martlet check-config martlet.toml` reports everything that is wrong in a file, with line and column.
#
# Written by `martlet config-reference --example`.
";

fn rows_of(section: &str) -> impl Iterator<Item = &'static Row<Configuration>> {
    ROWS.iter().filter(move |row| row.split_key().0 == section)
}

fn section_head(out: &mut String, section: &str, about: &str) {
    out.push('\n');
    comment(out, about);
    if !section.is_empty() {
        writeln!(out, "[{section}]").expect(INFALLIBLE);
    }
}

fn listener(out: &mut String, entry: &ListenerEntry, off: &str) {
    writeln!(out, "\n{off}[[listener]]").expect(INFALLIBLE);
    let default = ListenerEntry::default();
    let differs = |row: &&Row<ListenerEntry>| row.key == "url" || (row.show)(entry) != (row.show)(&default);
    for row in LISTENER_ROWS.iter().filter(differs) {
        assignment(out, row.key, &(row.show)(entry), off);
    }
}

fn option(out: &mut String, row: &Row<Configuration>, value: &Value, off: &str) {
    out.push('\n');
    comment(out, row.doc);
    comment(out, &format!("{}.", type_of(row)));
    assignment(out, row.split_key().1, value, off);
}

/// A value that was not given is written as a comment, so that the line is still there to be changed.
fn assignment(out: &mut String, name: &str, value: &Value, off: &str) {
    match toml_text(value) {
        Some(text) => writeln!(out, "{off}{name} = {text}"),
        None => writeln!(out, "#{name} ="),
    }
    .expect(INFALLIBLE);
}

fn toml_text(value: &Value) -> Option<String> {
    let toml = match value {
        Value::Absent => return None,
        Value::Boolean(value) => toml::Value::Boolean(*value),
        Value::Integer(value) => toml::Value::Integer(i64::try_from(*value).expect("TOML can hold it")),
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::List(texts) => texts.iter().cloned().map(toml::Value::String).collect::<Vec<_>>().into(),
    };
    Some(toml.to_string())
}

fn comment(out: &mut String, text: &str) {
    for line in wrap(text, 98) {
        writeln!(out, "# {line}").expect(INFALLIBLE);
    }
}

/// Breaks a text between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

fn type_of<T>(row: &Row<T>) -> String {
    let kind = capitalized(&row.kind.to_string());
    if row.unit == Unit::None { kind } else { format!("{kind}, in {}", row.unit.name()) }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// The page `docs/configuration.md`.
pub(crate) fn reference() -> String {
    let defaults = Configuration::default();
    let mut out = String::from(REFERENCE_HEAD);
    for (section, about) in SECTIONS {
        let title = if section.is_empty() { "Top level".to_owned() } else { format!("`[{section}]`") };
        write!(out, "\n## {title}\n\n{about}\n").expect(INFALLIBLE);
        for row in rows_of(section) {
            option_entry(&mut out, row, &(row.show)(&defaults));
            writeln!(out, "- Environment: `{}`", environment_name(row.key)).expect(INFALLIBLE);
        }
    }
    write!(out, "\n## `[[listener]]`\n\n{LISTENER_DOC}\n").expect(INFALLIBLE);
    for row in LISTENER_ROWS {
        let default = (row.show)(&ListenerEntry::default());
        option_entry(&mut out, row, if row.key == "url" { &Value::Absent } else { &default });
    }
    out
}

fn option_entry<T>(out: &mut String, row: &Row<T>, default: &Value) {
    let default = toml_text(default).map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
    let reload = if row.reloadable { "\n- Reloadable" } else { "" };
    let (key, doc, kind) = (row.key, row.doc, type_of(row));
    write!(out, "\n### `{key}`\n\n{doc}\n\n- Type: {kind}\n- Default: {default}{reload}\n")
        .expect(INFALLIBLE);
}

const REFERENCE_HEAD: &str = include_str!("reference_head.md");

const INFALLIBLE: &str = "writing to a string cannot fail";
