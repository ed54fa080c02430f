//! The figures of all measurements, and the file that keeps them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::scenarios::Kind;

/// Everything that a report is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Results {
    /// Facts about the run, each a name and a text, in the order in which they are shown.
    pub(super) facts: Vec<(String, String)>,
    /// Who was measured with which version, in the order of the tables.
    pub(super) peers: Vec<(String, String)>,
    /// Who was not there.
    pub(super) missing: Vec<String>,
    pub(super) samples: Vec<Sample>,
    pub(super) stresser: Vec<StresserSample>,
}

/// One measurement of one peer in one scenario.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Key of the scenario.
    pub(super) scenario: String,
    pub(super) peer: String,
    pub(super) outcome: Result<Figures, String>,
}

/// What a measurement found. All are numbers, so that they are kept and summed up alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Messages delivered, or connections opened, per second.
    pub(super) per_s: f64,
    /// Processor time of the broker for each of them.
    pub(super) cpu_us: f64,
    /// Latency of a message, or time to open a connection.
    pub(super) p99_us: f64,
    /// Resident memory for each idle connection; 0 where there is none.
    pub(super) rss_bytes: f64,
    pub(super) lost: f64,
    pub(super) received: f64,
    /// Duplicated, out of order, damaged.
    pub(super) wrong: f64,
    /// How often a publisher had to go on after a silence.
    pub(super) stalls: f64,
    pub(super) broker_cores: f64,
    pub(super) tool_cores: f64,
    /// What the rest of the machine used meanwhile.
    pub(super) others_cores: f64,
    /// Messages stored for each sync of the disk; 0 where nobody counts them.
    pub(super) per_sync: f64,
}

/// One run of mqtt-stresser: messages per second of single clients.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StresserSample {
    pub(super) clients: u64,
    pub(super) peer: String,
    pub(super) outcome: Result<StresserFigures, String>,
}

/// What mqtt-stresser prints: fastest, median and slowest client.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StresserFigures {
    pub(super) publish: [f64; 3],
    pub(super) receive: [f64; 3],
}

/// Median and bounds of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl Figures {
    /// Reads the report of `martlet bench --json`.
    pub(super) fn from_report(report: &Value, kind: Kind) -> Option<Self> {
        let number = |section: &str, name: &str| report[section][name].as_f64();
        let or_zero = |section: &str, name: &str| number(section, name).unwrap_or_default();
        match kind {
            Kind::Load | Kind::Paced => Some(Self {
                per_s: number("measured", "delivered_per_s")?,
                cpu_us: number("broker", "cpu_us_per_message")?,
                p99_us: or_zero("latency", "p99_us"),
                rss_bytes: 0.0,
                lost: number("check", "lost")?,
                received: number("check", "received")?,
                wrong: ["duplicated", "out_of_order", "damaged"]
                    .map(|name| or_zero("check", name))
                    .iter()
                    .sum(),
                stalls: or_zero("check", "stalls"),
                broker_cores: or_zero("broker", "cpu_cores"),
                tool_cores: or_zero("tool", "cpu_cores"),
                others_cores: 0.0,
                per_sync: 0.0,
            }),
            Kind::Connections => Some(Self {
                per_s: number("connecting", "per_s")?,
                cpu_us: number("connecting", "cpu_us_each")?,
                p99_us: number("connecting", "p99_us")?,
                rss_bytes: number("idle", "rss_bytes_each")?,
                ..Self::default()
            }),
        }
    }

    fn named(&self) -> [(&'static str, f64); 12] {
        [
            ("per_s", self.per_s),
            ("cpu_us", self.cpu_us),
            ("p99_us", self.p99_us),
            ("rss_bytes", self.rss_bytes),
            ("lost", self.lost),
            ("received", self.received),
            ("wrong", self.wrong),
            ("stalls", self.stalls),
            ("broker_cores", self.broker_cores),
            ("tool_cores", self.tool_cores),
            ("others_cores", self.others_cores),
            ("per_sync", self.per_sync),
        ]
    }

    fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value[name].as_f64();
        Some(Self {
            per_s: number("per_s")?,
            cpu_us: number("cpu_us")?,
            p99_us: number("p99_us")?,
            rss_bytes: number("rss_bytes")?,
            lost: number("lost")?,
            received: number("received")?,
            wrong: number("wrong")?,
            stalls: number("stalls")?,
            broker_cores: number("broker_cores")?,
            tool_cores: number("tool_cores")?,
            others_cores: number("others_cores")?,
            per_sync: number("per_sync").unwrap_or_default(),
        })
    }
}

impl Results {
    /// The figures of a peer in a scenario, of all runs that succeeded.
    pub(super) fn figures(&self, scenario: &str, peer: &str) -> Vec<Figures> {
        let samples = self.samples.iter().filter(|sample| sample.scenario == scenario && sample.peer == peer);
        samples.filter_map(|sample| sample.outcome.clone().ok()).collect()
    }

    /// Why a peer has no figures in a scenario, if it was tried.
    pub(super) fn failure(&self, scenario: &str, peer: &str) -> Option<&str> {
        let mut samples =
            self.samples.iter().filter(|sample| sample.scenario == scenario && sample.peer == peer);
        samples.find_map(|sample| sample.outcome.as_ref().err().map(String::as_str))
    }

    /// Writes everything to a file.
    pub(super) fn save(&self, path: &Path) -> Result<(), String> {
        let pairs = |pairs: &[(String, String)]| json!(pairs.iter().map(|(a, b)| [a, b]).collect::<Vec<_>>());
        let samples = self.samples.iter().map(|sample| match &sample.outcome {
            Ok(figures) => {
                let figures: serde_json::Map<String, Value> = figures
                    .named()
                    .into_iter()
                    .map(|(name, figure)| (name.to_owned(), json!(rounded(figure))))
                    .collect();
                json!({"scenario": sample.scenario, "peer": sample.peer, "figures": figures})
            }
            Err(reason) => json!({"scenario": sample.scenario, "peer": sample.peer, "failed": reason}),
        });
        let stresser = self.stresser.iter().map(|sample| match &sample.outcome {
            Ok(StresserFigures { publish, receive }) => {
                json!({"clients": sample.clients, "peer": sample.peer, "publish": publish, "receive": receive})
            }
            Err(reason) => json!({"clients": sample.clients, "peer": sample.peer, "failed": reason}),
        });
        let lists =
            [("facts", pairs(&self.facts)), ("peers", pairs(&self.peers)), ("missing", json!(self.missing))];
        let mut text = String::from("{\n");
        for (name, value) in lists {
            text += &format!("\"{name}\": {value},\n");
        }
        text += &format!("\"samples\": {},\n", one_per_line(samples));
        text += &format!("\"stresser\": {}\n}}\n", one_per_line(stresser));
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads what [`Results::save`] wrote.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::from_json(&value).ok_or_else(|| format!("{}: not what this program writes", path.display()))
    }

    fn from_json(value: &Value) -> Option<Self> {
        let pairs = |name: &str| -> Option<Vec<(String, String)>> {
            value[name].as_array()?.iter().map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect()
        };
        let sample = |value: &Value| {
            let outcome = match value.get("failed") {
                Some(reason) => Err(text(reason)?),
                None => Ok(Figures::from_json(&value["figures"])?),
            };
            Some(Sample { scenario: text(&value["scenario"])?, peer: text(&value["peer"])?, outcome })
        };
        let stresser = |value: &Value| {
            let three = |name: &str| {
                let numbers: Vec<f64> = value[name].as_array()?.iter().filter_map(Value::as_f64).collect();
                numbers.try_into().ok()
            };
            let outcome = match value.get("failed") {
                Some(reason) => Err(text(reason)?),
                None => Ok(StresserFigures { publish: three("publish")?, receive: three("receive")? }),
            };
            Some(StresserSample { clients: value["clients"].as_u64()?, peer: text(&value["peer"])?, outcome })
        };
        Some(Self {
            facts: pairs("facts")?,
            peers: pairs("peers")?,
            missing: value["missing"].as_array()?.iter().map(text).collect::<Option<_>>()?,
            samples: value["samples"].as_array()?.iter().map(sample).collect::<Option<_>>()?,
            stresser: value["stresser"].as_array()?.iter().map(stresser).collect::<Option<_>>()?,
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Three decimals are more than any of these figures is good for.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

fn one_per_line(values: impl Iterator<Item = Value>) -> String {
    let lines: Vec<String> = values.map(|value| value.to_string()).collect();
    if lines.is_empty() { "[]".to_owned() } else { format!("[\n{}\n]", lines.join(",\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).map(|s| (s.min, s.median, s.max));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn what_is_saved_can_be_read() {
        let figures = Figures { per_s: 1234.567, lost: 2.0, ..Figures::default() };
        let sample = |outcome| Sample { scenario: "s".to_owned(), peer: "p".to_owned(), outcome };
        let stresser = |outcome| StresserSample { clients: 2, peer: "p".to_owned(), outcome };
        let results = Results {
            facts: vec![("date".to_owned(), "today".to_owned())],
            peers: vec![("p".to_owned(), "1.0".to_owned())],
            missing: vec!["q".to_owned()],
            samples: vec![sample(Ok(figures)), sample(Err("no".to_owned()))],
            stresser: vec![
                stresser(Ok(StresserFigures { publish: [3.0, 2.0, 1.0], receive: [6.0, 5.0, 4.0] })),
                stresser(Err("no".to_owned())),
            ],
        };
        let path = std::env::temp_dir().join(format!("martlet-results-{}.json", std::process::id()));
        results.save(&path).expect("a writable folder");
        let loaded = Results::load(&path);
        fs::remove_file(&path).expect("it was written");
        assert_eq!(loaded, Ok(results));
    }

    #[test]
    fn figures_come_from_the_report_of_the_bench() {
        let report = json!({
            "measured": {"delivered_per_s": 10.0}, "broker": {"cpu_us_per_message": 0.5, "cpu_cores": 1.0},
            "latency": {"p99_us": 7.0}, "check": {"lost": 3, "received": 9, "duplicated": 1, "damaged": 1},
        });
        let figures = Figures::from_report(&report, Kind::Load).expect("complete");
        assert_eq!((figures.per_s, figures.cpu_us, figures.lost, figures.wrong), (10.0, 0.5, 3.0, 2.0));
        assert_eq!(Figures::from_report(&report, Kind::Connections), None);
    }
}
