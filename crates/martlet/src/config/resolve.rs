//! From texts to a [`Configuration`]: every source in turn, all problems at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems, SourceText, nearest};
use super::settings::{Configuration, ListenerEntry};
use super::table::{LISTENER_ROWS, ROWS, Row, SECTIONS};
use super::text;
use super::value::Refusal;
use super::{authentication, listeners, plugins};

/// A configuration in the making. Each source overrides those before it, so they are read in this order:
/// file, environment, `--set`, dedicated options.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    configuration: Configuration,
    /// Where the value of an option was given last.
    places: BTreeMap<&'static str, Place>,
    listeners: Vec<(ListenerEntry, Place)>,
    problems: Vec<Problem>,
}

/// A key and its value, as a TOML document has them.
type Entry<'t, 'i> = (&'t Spanned<Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

impl Draft {
    /// Reads a whole file.
    pub(crate) fn read_file(&mut self, source: SourceText<'_>) {
        let (document, errors) = DeTable::parse_recoverable(source.text);
        for error in errors {
            self.report_syntax(source, &error);
        }
        for entry in document.get_ref() {
            self.read_top_level(source, entry);
        }
    }

    fn report_syntax(&mut self, source: SourceText<'_>, error: &toml::de::Error) {
        let Some(span) = error.span() else {
            return self
                .report(Place::WholeFile { name: source.name.to_owned() }, error.message().to_owned());
        };
        let culprit = source.text.get(span.clone()).filter(|_| error.message() == "duplicate key");
        let culprit = culprit.map_or_else(String::new, |text| format!(" `{text}`"));
        self.report(source.place(&span), error.message().to_owned() + &culprit);
    }

    /// A file that could not be read.
    pub(crate) fn unreadable_file(&mut self, name: &str, error: &std::io::Error) {
        self.report(Place::WholeFile { name: name.to_owned() }, format!("cannot be read: {error}"));
    }

    /// Takes every option for which `variable` finds a value: `limits.linger_ms` is `MARTLET_LIMITS_LINGER_MS`.
    /// Other variables are left alone, since container systems set some of that prefix themselves.
    pub(crate) fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        for row in ROWS {
            let name = environment_name(row.key);
            if let Some(raw) = variable(&name) {
                self.store_unquoted(row, &raw, Place::Environment(name));
            }
        }
    }

    /// One `--set key=value`.
    pub(crate) fn set(&mut self, argument: &str) {
        let place = Place::Argument(format!("--set {argument}"));
        let Some((key, raw)) = argument.split_once('=') else {
            return self.report(place, "must be KEY=VALUE".to_owned());
        };
        match ROWS.iter().find(|row| row.key == key.trim()) {
            Some(row) => self.store_unquoted(row, raw, place),
            None => self.report(place, unknown_key(key.trim())),
        }
    }

    /// A dedicated command-line option that stands for the option `key`.
    pub(crate) fn set_from_flag(&mut self, flag: &str, key: &str, raw: &str) {
        let row = ROWS.iter().find(|row| row.key == key).expect("flags stand for options that exist");
        self.store_unquoted(row, raw, Place::Argument(flag.to_owned()));
    }

    /// The `--listen URL` of the command line; if there are any, those of the file do not count.
    pub(crate) fn replace_listeners(&mut self, urls: &[String]) {
        if urls.is_empty() {
            return;
        }
        self.listeners.clear();
        for url in urls {
            let place = Place::Argument(format!("--listen {url}"));
            match mqtt_transport::Url::parse(url) {
                Ok(url) => self.listeners.push((ListenerEntry::new(url), place)),
                Err(error) => self.report(place, error.problem().to_string()),
            }
        }
    }

    /// Checks what concerns several options, and hands the typed configuration out.
    ///
    /// # Errors
    /// Everything that was wrong in any source.
    pub(crate) fn finish(mut self) -> Result<Configuration, Problems> {
        self.check_versions();
        let anonymous = self.configuration.allow_anonymous;
        let access = &self.configuration.access;
        let (entries, problems) = listeners::resolve(self.listeners, anonymous, access);
        self.problems.extend(authentication::global(access, anonymous, &self.places));
        self.problems.extend(problems);
        self.problems.extend(plugins::problem(&self.configuration.plugins, &self.places));
        self.configuration.listeners = entries;
        if self.problems.is_empty() { Ok(self.configuration) } else { Err(Problems::sorted(self.problems)) }
    }

    fn check_versions(&mut self) {
        let policy = &self.configuration.settings.policy;
        if policy.version_min > policy.version_max {
            let given = ["protocol.version_min", "protocol.version_max"];
            let place = given.iter().find_map(|key| self.places.get(key)).expect("the defaults are in order");
            self.report(
                place.clone(),
                "`protocol.version_min` is above `protocol.version_max`: no version is left".to_owned(),
            );
        }
    }

    fn read_top_level(&mut self, source: SourceText<'_>, (key, value): Entry<'_, '_>) {
        let name = key.get_ref().as_ref();
        if name == "listener" {
            return self.read_listeners(source, value);
        }
        if let Some(row) = ROWS.iter().find(|row| row.key == name) {
            return self.store(source, row, value);
        }
        if !SECTIONS.iter().any(|(section, _)| *section == name) {
            return self.report(source.place(&key.span()), unknown_key(name));
        }
        match value.get_ref() {
            DeValue::Table(section) => self.read_section(source, name, section),
            _ => self.report(
                source.place(&value.span()),
                format!("`{name}` is a section: write [{name}] with its options below"),
            ),
        }
    }

    fn read_section(&mut self, source: SourceText<'_>, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let full = format!("{section}.{}", key.get_ref());
            match ROWS.iter().find(|row| row.key == full) {
                Some(row) => self.store(source, row, value),
                None => self.report(source.place(&key.span()), unknown_key(&full)),
            }
        }
    }

    fn store(&mut self, source: SourceText<'_>, row: &Row<Configuration>, value: &Spanned<DeValue<'_>>) {
        match store(source, row, value, &mut self.configuration) {
            Ok(()) => drop(self.places.insert(row.key, source.place(&value.span()))),
            Err(problems) => self.report_all(problems),
        }
    }

    fn store_unquoted(&mut self, row: &Row<Configuration>, raw: &str, place: Place) {
        let value = text::parse_unquoted(&row.kind, raw);
        match value.and_then(|value| (row.store)(&mut self.configuration, value)) {
            Ok(()) => drop(self.places.insert(row.key, place)),
            Err(refusals) => {
                for refusal in refusals {
                    self.report(place.clone(), named(row.key, &refusal.message));
                }
            }
        }
    }

    fn read_listeners(&mut self, source: SourceText<'_>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(blocks) = value.get_ref() else { return self.report_no_blocks(source, value) };
        for block in blocks.iter() {
            match block.get_ref() {
                DeValue::Table(table) => self.read_listener(source, block, table),
                _ => return self.report_no_blocks(source, value),
            }
        }
    }

    fn report_no_blocks(&mut self, source: SourceText<'_>, value: &Spanned<DeValue<'_>>) {
        let message = "listeners are written as blocks that start with [[listener]]".to_owned();
        self.report(source.place(&value.span()), message);
    }

    fn read_listener(&mut self, source: SourceText<'_>, block: &Spanned<DeValue<'_>>, table: &DeTable<'_>) {
        let mut entry = ListenerEntry::default();
        let mut place = None;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(row) = LISTENER_ROWS.iter().find(|row| row.key == name) else {
                self.report(source.place(&key.span()), unknown_listener_key(name));
                continue;
            };
            if name == "url" {
                place = Some(source.place(&value.span()));
            }
            if let Err(problems) = store(source, row, value, &mut entry) {
                self.report_all(problems);
                // Without its address there is nothing more to say about this block.
                if name == "url" {
                    return;
                }
            }
        }
        match place {
            Some(place) => self.listeners.push((entry, place)),
            None => self.report(source.place(&block.span()), "a listener needs a `url`".to_owned()),
        }
    }

    fn report_all(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            self.report(problem.place, problem.message);
        }
    }

    /// One problem per place of a file: what was no TOML is not also reported for its value.
    fn report(&mut self, place: Place, message: String) {
        let known = |problem: &Problem| problem.place == place;
        if !(matches!(place, Place::File { .. }) && self.problems.iter().any(known)) {
            self.problems.push(Problem { place, message });
        }
    }
}

/// Reads a value of a file into `target`.
fn store<T>(
    source: SourceText<'_>,
    row: &Row<T>,
    value: &Spanned<DeValue<'_>>,
    target: &mut T,
) -> Result<(), Vec<Problem>> {
    let typed = text::value_of_kind(&row.kind, value.get_ref());
    let problem = |refusal: Refusal| Problem {
        place: source.place(&element_span(value, refusal.element)),
        message: named(row.key, &refusal.message),
    };
    let stored = typed.and_then(|typed| (row.store)(target, typed));
    stored.map_err(|refusals| refusals.into_iter().map(problem).collect())
}

/// Where the element of a list stands, or the whole value.
fn element_span(value: &Spanned<DeValue<'_>>, element: Option<usize>) -> Range<usize> {
    match (value.get_ref(), element) {
        (DeValue::Array(elements), Some(at)) => elements[at].span(),
        _ => value.span(),
    }
}

fn named(key: &str, message: &str) -> String {
    format!("`{key}` {message}")
}

/// The environment variable for an option.
pub(crate) fn environment_name(key: &str) -> String {
    format!("MARTLET_{}", key.replace('.', "_").to_uppercase())
}

fn unknown_key(key: &str) -> String {
    if key == "listener" || key.starts_with("listener.") {
        return "listeners cannot be set this way: use [[listener]] in the file, or --listen".to_owned();
    }
    let meant = match key.rsplit_once('.') {
        None => nearest(key, top_level_names()),
        Some((_, name)) => nearest(key, ROWS.iter().map(|row| row.key))
            .or_else(|| ROWS.iter().find(|row| row.split_key().1 == name).map(|row| row.key)),
    };
    with_suggestion(format!("unknown option `{key}`"), meant)
}

/// What may stand at the top level: its own options, the sections, and the listeners.
fn top_level_names() -> impl Iterator<Item = &'static str> {
    let options = ROWS.iter().map(|row| row.key).filter(|key| !key.contains('.'));
    let sections = SECTIONS.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
    options.chain(sections).chain(["listener"])
}

fn unknown_listener_key(name: &str) -> String {
    let meant = nearest(name, LISTENER_ROWS.iter().map(|row| row.key));
    with_suggestion(format!("unknown option `{name}` of a listener"), meant)
}

fn with_suggestion(message: String, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message,
    }
}
