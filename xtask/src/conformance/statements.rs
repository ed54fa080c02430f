//! The tables of numbered statements in `docs/conformance/*.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::clause::Clause;

/// One standard and its statements, in the order of its numbering.
#[derive(Debug)]
pub(crate) struct Standard {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

/// One numbered normative statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) clause: Clause,
    pub(crate) concerns: Concerns,
    /// The statement in our own words.
    pub(crate) text: String,
    /// Why no test can prove it.
    pub(crate) not_testable: Option<String>,
}

/// Who has to obey a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concerns {
    Server,
    Client,
    Both,
    Nobody,
}

impl Concerns {
    pub(crate) fn server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }
}

/// Reads every table of a folder; the folder may be empty, a broken table is an error.
pub(crate) fn load(folder: &Path) -> Result<Vec<Standard>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| read(path).map_err(|error| format!("{}: {error}", path.display()))).collect()
}

fn read(path: &Path) -> Result<Standard, String> {
    parse(&fs::read_to_string(path).map_err(|error| error.to_string())?)
}

fn parse(text: &str) -> Result<Standard, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let name = string(&table, "standard")?;
    let entries = table.get("statement").and_then(Value::as_array).ok_or("there is no [[statement]]")?;
    let mut statements = entries.iter().map(statement).collect::<Result<Vec<_>, _>>()?;
    statements.sort_by_key(|statement| statement.clause.sort_key());
    let mut seen = BTreeSet::new();
    match statements.iter().find(|statement| !seen.insert(&statement.clause)) {
        Some(twice) => Err(format!("{} is there twice", twice.clause)),
        None => Ok(Standard { name, statements }),
    }
}

fn statement(value: &Value) -> Result<Statement, String> {
    let table = value.as_table().ok_or("a statement is not a table")?;
    let id = string(table, "id")?;
    let concerns = match string(table, "concerns")?.as_str() {
        "server" => Concerns::Server,
        "client" => Concerns::Client,
        "both" => Concerns::Both,
        "none" => Concerns::Nobody,
        other => return Err(format!("{id} concerns `{other}`, which is nobody")),
    };
    let text = string(table, "text")?;
    let not_testable = string(table, "not_testable").ok();
    Ok(Statement { clause: Clause::new(&id), concerns, text, not_testable })
}

fn string(table: &Table, key: &str) -> Result<String, String> {
    let value = table.get(key).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| format!("an entry has no text under `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::{Concerns, parse};

    const TABLE: &str = r#"
        standard = "MQTT 9"
        [[statement]]
        id = "MQTT-3.10.0-1"
        concerns = "both"
        text = "Later."
        [[statement]]
        id = "MQTT-3.9.0-1"
        concerns = "client"
        text = "Earlier."
        not_testable = "It is about people."
    "#;

    #[test]
    fn statements_come_in_the_order_of_the_standard() {
        let standard = parse(TABLE).unwrap();
        assert_eq!(standard.name, "MQTT 9");
        assert_eq!(standard.statements[0].clause.as_str(), "MQTT-3.9.0-1");
        assert_eq!(standard.statements[0].not_testable.as_deref(), Some("It is about people."));
        assert_eq!(standard.statements[1].concerns, Concerns::Both);
    }

    #[test]
    fn broken_tables_are_refused() {
        assert!(parse("standard = \"x\"").is_err());
        assert!(parse(&TABLE.replace("client", "nobody else")).is_err());
        assert!(parse(&TABLE.replace("3.10.0", "3.9.0")).unwrap_err().contains("twice"));
    }
}
