//! Martlet against the best of the other brokers, figure by figure.

use super::peers::{COPIER, MARTLET};
use super::report::{add, flaw, is_measured, spread};
use super::results::{Figures, Results};
use super::scenarios::{Kind, SCENARIOS, Scenario};

/// One figure of a scenario.
#[derive(Clone, Copy)]
struct Figure {
    of: fn(&Figures) -> f64,
    more_is_better: bool,
}

const PER_S: Figure = Figure { of: |one| one.per_s, more_is_better: true };
const CPU: Figure = Figure { of: |one| one.cpu_us, more_is_better: false };
const P99: Figure = Figure { of: |one| one.p99_us, more_is_better: false };
const MEMORY: Figure = Figure { of: |one| one.rss_bytes, more_is_better: false };

/// For each scenario and figure, the ratio of Martlet's median to that of the peer that is best in this figure.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::from(
        "## Martlet against the best of the others\n\nEach figure divided by that of the peer that has the best one; peers that \
         lost messages do not count. More is better for the rate, less for the rest.\n\n\
         | scenario | rate | CPU | p99 | memory |\n| --- | --- | --- | --- | --- |\n",
    );
    for scenario in SCENARIOS.iter().filter(|scenario| is_measured(results, scenario)) {
        let figures = match scenario.kind {
            Kind::Load => [Some(PER_S), Some(CPU), Some(P99), None],
            Kind::Paced => [None, Some(CPU), Some(P99), None],
            Kind::Connections => [Some(PER_S), Some(CPU), Some(P99), Some(MEMORY)],
        };
        let cells = figures.map(|figure| figure.and_then(|figure| cell(results, scenario, figure)));
        let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
        add(&mut text, &format!("| {} | {} |", scenario.title, cells.join(" | ")));
    }
    text + "\n"
}

fn cell(results: &Results, scenario: &Scenario, figure: Figure) -> Option<String> {
    let median = |peer: &str| {
        let figures = results.figures(scenario.key, peer);
        let counts = flaw(&figures).is_none();
        spread(&figures, figure.of).map(|spread| spread.median).filter(|median| counts && *median > 0.0)
    };
    let ours = median(MARTLET.name)?;
    let peers = results.peers.iter().map(|(name, _)| name.as_str());
    let peers = peers.filter(|name| *name != MARTLET.name && *name != COPIER.name);
    let medians = peers.filter_map(|name| Some((name, median(name)?)));
    let better = |a: &(&str, f64), b: &(&str, f64)| a.1.total_cmp(&b.1);
    let best = if figure.more_is_better { medians.max_by(better) } else { medians.min_by(better) };
    best.map(|(name, theirs)| format!("{:.2} x {name}", ours / theirs))
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::compare::results::{Figures, Results, Sample};

    #[test]
    fn the_best_peer_is_chosen_for_each_figure_among_those_that_lost_nothing() {
        let sample = |peer: &str, per_s: f64, cpu_us: f64, lost: f64| {
            let figures = Figures { per_s, cpu_us, lost, received: 10.0, p99_us: 5.0, ..Figures::default() };
            Sample { scenario: "pairs-10".to_owned(), peer: peer.to_owned(), outcome: Ok(figures) }
        };
        let names = ["martlet", "mosquitto", "flashmq", "mochi", "byte copier"];
        let results = Results {
            peers: names.map(|name| (name.to_owned(), "1".to_owned())).to_vec(),
            samples: vec![
                sample("martlet", 400.0, 1.0, 0.0),
                sample("mosquitto", 100.0, 8.0, 0.0),
                sample("flashmq", 50.0, 4.0, 0.0),
                sample("mochi", 900.0, 0.1, 1.0),
                sample("byte copier", 900.0, 0.1, 0.0),
            ],
            ..Results::default()
        };
        let table = table(&results);
        let line = "| 10 pairs, QoS 0, 64 B | 4.00 x mosquitto | 0.25 x flashmq | 1.00 x mosquitto | – |";
        assert!(table.contains(line), "{table}");
    }
}
