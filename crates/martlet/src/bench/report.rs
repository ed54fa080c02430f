//! The result of a run: one description, shown as text or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use super::histogram::Histogram;
use super::observer::Spent;

/// Figures under headings, and whether all was well.
#[derive(Debug, Default)]
pub(super) struct Report {
    sections: Vec<Section>,
    /// What was wrong, each a sentence.
    pub(super) problems: Vec<String>,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    figures: Vec<(&'static str, Figure)>,
}

/// One figure; its name tells the unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    Count(u64),
    /// Shown with as many decimals as are worth reading.
    Number(f64),
    Text(String),
}

impl From<u64> for Figure {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Figure {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Figure {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Figure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Report {
    /// Begins a section; what is added next belongs to it.
    pub(super) fn section(&mut self, name: &'static str) -> &mut Self {
        self.sections.push(Section { name, figures: Vec::new() });
        self
    }

    /// Adds a figure to the section begun last. The name is a key of JSON, and with spaces what people read.
    pub(super) fn add(&mut self, name: &'static str, figure: impl Into<Figure>) -> &mut Self {
        let section = self.sections.last_mut().expect("a section has been begun");
        section.figures.push((name, figure.into()));
        self
    }

    /// Adds the sections and problems of another.
    pub(super) fn extend(&mut self, other: Self) {
        self.sections.extend(other.sections);
        self.problems.extend(other.problems);
    }

    /// Adds the percentiles of latencies, which are in nanoseconds.
    pub(super) fn add_latency(&mut self, latency: &Histogram) -> &mut Self {
        if latency.total() == 0 {
            return self;
        }
        let us = |ns: u64| ns as f64 / 1e3;
        for (name, share) in [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p99_9_us", 0.999)] {
            self.add(name, us(latency.quantile(share)));
        }
        self.add("max_us", us(latency.max()))
    }

    /// Adds what the broker and this tool have used for `count` things in `seconds`; `each` is the name of the figure of one.
    pub(super) fn add_usage(
        &mut self,
        spent: &Spent,
        seconds: f64,
        count: u64,
        each: &'static str,
    ) -> &mut Self {
        let us_each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        let cores = |cpu: Duration| cpu.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
        if let Some(broker) = spent.broker {
            self.section("broker")
                .add("cpu_s", broker.cpu.as_secs_f64())
                .add("cpu_cores", cores(broker.cpu))
                .add(each, us_each(broker.cpu))
                .add("rss_bytes", broker.rss_bytes_after);
        }
        if let Some(cpu) = spent.tool_cpu {
            self.section("tool").add("cpu_cores", cores(cpu)).add(each, us_each(cpu));
        }
        self
    }

    /// A JSON object with an object for each section, `ok`, and the list of `problems`.
    pub(super) fn to_json(&self) -> String {
        let sections = self.sections.iter().map(|section| {
            let figures = section.figures.iter().map(|(name, figure)| ((*name).to_owned(), figure.to_json()));
            (section.name.to_owned(), Value::Object(figures.collect()))
        });
        let mut object: Map<String, Value> = sections.collect();
        object.insert("ok".to_owned(), self.problems.is_empty().into());
        object.insert("problems".to_owned(), self.problems.clone().into());
        format!("{}\n", Value::Object(object))
    }

    /// The same for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            writeln!(text, "{}", section.name).expect("a string takes everything");
            for (name, figure) in &section.figures {
                writeln!(text, "  {:22} {:>16}", name.replace('_', " "), figure.to_text())
                    .expect("a string takes everything");
            }
        }
        text
    }
}

impl Figure {
    fn to_json(&self) -> Value {
        match self {
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Count(count) => grouped(*count as f64),
            Self::Number(number) if number.abs() >= 1000.0 => grouped(*number),
            Self::Number(number) if number.abs() >= 10.0 => format!("{number:.1}"),
            Self::Number(number) => format!("{number:.3}"),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A number without decimals, its digits in groups of three.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let numbers = [0.0, 999.4, 1000.0, -1_234_567.0].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "-1,234,567"]);
    }

    #[test]
    fn both_forms_show_the_same_figures() {
        let mut report = Report::default();
        report.section("first").add("count", 1234_u64).add("share_of_all", 0.25).add("url", "x".to_owned());
        report.section("second").add_latency(&Histogram::new());
        report.problems.push("one was lost".to_owned());
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["first"]["count"], 1234);
        assert_eq!(json["first"]["share_of_all"], 0.25);
        assert_eq!((&json["ok"], &json["problems"][0]), (&Value::Bool(false), &"one was lost".into()));
        let text = report.to_text();
        assert!(text.contains("first\n  count ") && text.contains(" 1,234\n"), "{text}");
        assert!(text.contains("  share of all ") && text.contains(" 0.250\n"), "{text}");
    }

    #[test]
    fn usage_is_told_for_each_thing() {
        let spent = Spent { broker: None, tool_cpu: Some(Duration::from_secs(2)) };
        let mut report = Report::default();
        report.add_usage(&spent, 4.0, 1_000_000, "cpu_us_per_message");
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(
            (&json["tool"]["cpu_us_per_message"], &json["tool"]["cpu_cores"]),
            (&2.0.into(), &0.5.into())
        );
        assert!(json.get("broker").is_none());
    }
}
