//! The report: a page with tables, and charts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::peers::{COPIER, MARTLET, PEERS, Peer};
use super::ratios;
use super::results::{Figures, Results, Spread};
use super::scenarios::{Kind, SCENARIOS, Scenario};
use super::svg::{Bar, Length, Look, Panel, chart};

const INTRODUCTION: &str = include_str!("introduction.md");
const METHOD: &str = include_str!("method.md");

/// Writes the page and the charts.
pub(super) fn write(results: &Results, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let charts = charts(results);
    let files = charts.iter().map(|(name, svg)| (*name, svg.as_str()));
    let page = page(results);
    for (name, text) in files.chain([("README.md", page.as_str())]) {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The whole page.
pub(super) fn page(results: &Results) -> String {
    let mut page = String::from(INTRODUCTION);
    page += &facts(results);
    page += &overview(results);
    page += "## Scenario by scenario\n\n";
    for scenario in SCENARIOS.iter().filter(|scenario| is_measured(results, scenario)) {
        page += &details(results, scenario);
    }
    page += &stresser(results);
    page += METHOD;
    page += &configurations(results);
    page
}

fn facts(results: &Results) -> String {
    let mut text = String::from("## Where and what\n\n| | |\n| --- | --- |\n");
    for (name, fact) in &results.facts {
        add(&mut text, &format!("| {name} | {fact} |"));
    }
    for (peer, version) in &results.peers {
        add(&mut text, &format!("| {peer} | {version} |"));
    }
    for peer in &results.missing {
        add(&mut text, &format!("| {peer} | missing: not on this machine |"));
    }
    text + "\n"
}

/// One line for each scenario, one column for each broker.
pub(super) fn overview(results: &Results) -> String {
    let mut text = String::from(
        "## Overview\n\nDelivered messages per second, the broker's CPU time for each, and the 99th percentile of the latency, medians. \
         What lost messages is marked: its figures do not count.\n\n| scenario |",
    );
    let names = results.peers.iter().map(|(name, _)| name.as_str());
    names.clone().for_each(|name| write!(text, " {name} |").expect("a string takes everything"));
    text += "\n| --- |";
    names.clone().for_each(|_| text += " --- |");
    text += "\n";
    for scenario in SCENARIOS.iter().filter(|scenario| is_measured(results, scenario)) {
        let cells: Vec<String> = names.clone().map(|name| cell(results, scenario, name)).collect();
        add(&mut text, &format!("| {} | {} |", scenario.title, cells.join(" | ")));
    }
    text + "\n![Messages per second](throughput.svg)\n\n![CPU time for each message](cpu.svg)\n\n\
            ![Latency](latency.svg)\n\n![Connections](connections.svg)\n\n"
        + &ratios::table(results)
}

fn cell(results: &Results, scenario: &Scenario, peer: &str) -> String {
    let figures = results.figures(scenario.key, peer);
    let Some(per_s) = spread(&figures, |one| one.per_s) else {
        return if results.failure(scenario.key, peer).is_some() { "failed" } else { "–" }.to_owned();
    };
    let cpu = spread(&figures, |one| one.cpu_us).map_or(0.0, |cpu| cpu.median);
    let (per_s, cpu) = (grouped(per_s.median), short(cpu));
    let median = |of: fn(&Figures) -> f64| spread(&figures, of).map_or(0.0, |spread| spread.median);
    let cell = match scenario.kind {
        Kind::Load => format!("{per_s}/s {cpu} us, {} ms", short(median(|one| one.p99_us / 1000.0))),
        Kind::Paced => format!("p99 {} ms, {cpu} us", short(median(|one| one.p99_us / 1000.0))),
        Kind::Connections => {
            format!("{per_s}/s {cpu} us, {} KiB each", short(median(|one| one.rss_bytes / 1024.0)))
        }
    };
    match flaw(&figures) {
        Some(flaw) => format!("{cell} **{flaw}**"),
        None if peer == MARTLET.name => format!("**{cell}**"),
        None => cell,
    }
}

fn details(results: &Results, scenario: &Scenario) -> String {
    let mut text = format!("### {}\n\n`martlet bench {}`\n\n", scenario.title, scenario.command());
    text += match scenario.kind {
        Kind::Load | Kind::Paced => {
            "| broker | messages per second | CPU us each | p99 latency ms | lost | cores broker / tool / others |\n\
             | --- | --- | --- | --- | --- | --- |\n"
        }
        Kind::Connections => {
            "| broker | connects per second | CPU us each | p99 of a connect ms | KiB each, idle |\n\
             | --- | --- | --- | --- | --- |\n"
        }
    };
    for (peer, _) in &results.peers {
        let figures = results.figures(scenario.key, peer);
        if figures.is_empty() {
            if let Some(reason) = results.failure(scenario.key, peer) {
                let columns = if scenario.kind == Kind::Connections { 4 } else { 5 };
                add(&mut text, &format!("| {peer} | failed: {reason} |{}", " |".repeat(columns - 1)));
            }
            continue;
        }
        let range = |of: fn(&Figures) -> f64, show: fn(f64) -> String| {
            spread(&figures, of).map_or_else(String::new, |spread| {
                format!("{} ({} – {})", show(spread.median), show(spread.min), show(spread.max))
            })
        };
        let median = |of: fn(&Figures) -> f64| spread(&figures, of).map_or(0.0, |spread| spread.median);
        let (per_s, cpu) = (range(|one| one.per_s, grouped), range(|one| one.cpu_us, short));
        let p99 = range(|one| one.p99_us / 1000.0, short);
        match scenario.kind {
            Kind::Load | Kind::Paced => {
                let cores = [
                    median(|one| one.broker_cores),
                    median(|one| one.tool_cores),
                    median(|one| one.others_cores),
                ];
                let cores = cores.map(|cores| format!("{cores:.2}")).join(" / ");
                let lost = flaw(&figures).unwrap_or_else(|| "0".to_owned());
                add(&mut text, &format!("| {peer} | {per_s} | {cpu} | {p99} | {lost} | {cores} |"));
            }
            Kind::Connections => {
                let rss = range(|one| one.rss_bytes / 1024.0, short);
                add(&mut text, &format!("| {peer} | {per_s} | {cpu} | {p99} | {rss} |"));
            }
        }
    }
    text + "\n"
}

fn stresser(results: &Results) -> String {
    let mut text = String::from("## mqtt-stresser\n\n");
    if results.stresser.is_empty() {
        return text + "Not on this machine when this was measured.\n\n";
    }
    text += "Messages per second of the fastest, the median and the slowest client, with 10,000 messages for each client; \
             medians over the runs. The tool itself needs far more processor time than the brokers.\n\n\
             | clients | broker | publish fastest | median | slowest | receive fastest | median | slowest |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for clients in super::stresser::CLIENTS {
        for (peer, _) in &results.peers {
            let samples =
                || results.stresser.iter().filter(|one| one.clients == clients && one.peer == *peer);
            let figures: Vec<_> = samples().filter_map(|one| one.outcome.clone().ok()).collect();
            if figures.is_empty() {
                if let Some(Err(reason)) = samples().map(|one| &one.outcome).next() {
                    add(&mut text, &format!("| {clients} | {peer} | failed: {reason} | | | | | |"));
                }
                continue;
            }
            let cell = |at: usize| {
                let all = figures.iter().map(|one| [one.publish, one.receive][at / 3][at % 3]);
                Spread::of(all).map_or_else(String::new, |spread| grouped(spread.median))
            };
            let cells: Vec<String> = (0..6).map(cell).collect();
            add(&mut text, &format!("| {clients} | {peer} | {} |", cells.join(" | ")));
        }
    }
    text + "\n"
}

fn configurations(results: &Results) -> String {
    let mut text = String::from("## Command lines and configurations\n\n");
    let all = [&MARTLET].into_iter().chain(PEERS).chain([&COPIER]);
    let measured = |peer: &&Peer| results.peers.iter().any(|(name, _)| name == peer.name);
    for peer in all.filter(measured) {
        add(&mut text, &format!("{}:\n\n```text\n{}```\n", peer.name, peer.shown()));
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn charts(results: &Results) -> [(&'static str, String); 4] {
    let unpaced = |of: fn(&Figures) -> f64, show: fn(f64) -> String| panels(results, Kind::Load, of, show);
    let load = |of: fn(&Figures) -> f64, show: fn(f64) -> String| {
        let mut all = unpaced(of, show);
        all.extend(panels(results, Kind::Paced, of, show));
        all
    };
    let connections = |title: &str, of: fn(&Figures) -> f64, show: fn(f64) -> String| {
        let mut panels = panels(results, Kind::Connections, of, show);
        panels.iter_mut().for_each(|panel| panel.title = title.to_owned());
        panels
    };
    let mut both = connections(
        "connects per second, one after the other",
        |one| one.per_s,
        |n| format!("{}/s", grouped(n)),
    );
    both.extend(connections(
        "memory of an idle connection",
        |one| one.rss_bytes / 1024.0,
        |n| format!("{} KiB", short(n)),
    ));
    let legend = "bars: medians, lines: all runs; hatched: lost messages, so it does not count; dashed: copies bytes only";
    [
        (
            "throughput.svg",
            chart(
                "Messages per second",
                &format!("more is better; {legend}"),
                &unpaced(|one| one.per_s, |n| format!("{}/s", grouped(n))),
            ),
        ),
        (
            "cpu.svg",
            chart(
                "CPU time of the broker for each delivered message",
                &format!("less is better; {legend}"),
                &load(|one| one.cpu_us, |n| format!("{} us", short(n))),
            ),
        ),
        (
            "latency.svg",
            chart(
                "99th percentile of the latency",
                &format!("less is better; {legend}"),
                &load(|one| one.p99_us / 1000.0, |n| format!("{} ms", short(n))),
            ),
        ),
        ("connections.svg", chart("Connections", "5,000 connections, each with one subscription", &both)),
    ]
}

fn panels(results: &Results, kind: Kind, of: fn(&Figures) -> f64, show: fn(f64) -> String) -> Vec<Panel> {
    let scenarios =
        SCENARIOS.iter().filter(|scenario| scenario.kind == kind && is_measured(results, scenario));
    scenarios
        .map(|scenario| Panel {
            title: scenario.title.to_owned(),
            bars: results
                .peers
                .iter()
                .filter_map(|(peer, _)| bar(results, scenario, peer, of, show))
                .collect(),
        })
        .collect()
}

fn bar(
    results: &Results,
    scenario: &Scenario,
    peer: &str,
    of: fn(&Figures) -> f64,
    show: fn(f64) -> String,
) -> Option<Bar> {
    let figures = results.figures(scenario.key, peer);
    let flaw = flaw(&figures);
    let look = match &flaw {
        Some(_) => Look::Lossy,
        None if peer == MARTLET.name => Look::Ours,
        None if peer == COPIER.name => Look::Floor,
        None => Look::Peer,
    };
    let label = peer.to_owned();
    let Some(Spread { median, min, max }) = spread(&figures, of) else {
        results.failure(scenario.key, peer)?;
        return Some(Bar { label, look, length: None, note: "failed".to_owned() });
    };
    let note = flaw.map_or_else(|| show(median), |flaw| format!("{} {flaw}", show(median)));
    Some(Bar { label, look, length: Some(Length { median, min, max }), note })
}

/// What went wrong in any of the runs, in two words.
pub(super) fn flaw(figures: &[Figures]) -> Option<String> {
    let sum = |of: fn(&Figures) -> f64| figures.iter().map(of).sum::<f64>();
    let (lost, wrong, stalls) = (sum(|one| one.lost), sum(|one| one.wrong), sum(|one| one.stalls));
    if figures.iter().any(|one| one.per_s < 1.0) && lost == 0.0 {
        Some("nothing delivered".to_owned())
    } else if lost > 0.0 {
        let percent = 100.0 * lost / (lost + sum(|one| one.received));
        let lost = if percent < 0.1 { "< 0.1 % lost".to_owned() } else { format!("{percent:.1} % lost") };
        Some(if stalls > 0.0 { format!("{lost}, stalled") } else { lost })
    } else if wrong > 0.0 {
        Some("out of order".to_owned())
    } else if stalls > 0.0 {
        Some("stalled".to_owned())
    } else {
        None
    }
}

pub(super) fn is_measured(results: &Results, scenario: &Scenario) -> bool {
    results.samples.iter().any(|sample| sample.scenario == scenario.key)
}

pub(super) fn spread(figures: &[Figures], of: fn(&Figures) -> f64) -> Option<Spread> {
    Spread::of(figures.iter().map(of))
}

pub(super) fn add(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}

/// Without decimals, in groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Three digits or so.
fn short(number: f64) -> String {
    match number {
        _ if number >= 1000.0 => grouped(number),
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ if number >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Sample;

    fn results() -> Results {
        let sample =
            |peer: &str, outcome| Sample { scenario: "pairs-10".to_owned(), peer: peer.to_owned(), outcome };
        let good = Figures { per_s: 4_000_000.0, cpu_us: 0.2, received: 100.0, ..Figures::default() };
        let bad = Figures { lost: 25.0, received: 75.0, stalls: 1.0, ..good };
        Results {
            peers: ["martlet", "flashmq", "mochi"].map(|name| (name.to_owned(), "1".to_owned())).to_vec(),
            missing: vec!["nanomq".to_owned()],
            samples: vec![
                sample("martlet", Ok(good)),
                sample("martlet", Ok(Figures { per_s: 5_000_000.0, ..good })),
                sample("flashmq", Ok(bad)),
                sample("mochi", Err("no such option".to_owned())),
            ],
            ..Results::default()
        }
    }

    #[test]
    fn the_page_tells_medians_losses_failures_and_who_is_missing() {
        let page = page(&results());
        assert!(
            page.contains(
                "| **4,500,000/s 0.20 us, 0.000 ms** | 4,000,000/s 0.20 us, 0.000 ms **25.0 % lost, stalled** | failed |"
            ),
            "{page}"
        );
        assert!(page.contains("| martlet | 4,500,000 (4,000,000 – 5,000,000) |"), "{page}");
        assert!(page.contains("| mochi | failed: no such option |"), "{page}");
        assert!(page.contains("| nanomq | missing"), "{page}");
        assert!(page.contains("allow_anonymous true") && !page.contains("mosquitto -c"), "{page}");
    }

    #[test]
    fn charts_mark_what_lost_messages() {
        let [(name, svg), ..] = charts(&results());
        assert_eq!((name, svg.matches("url(#lossy)").count()), ("throughput.svg", 1));
        assert!(svg.contains(">4,500,000/s<") && svg.contains("25.0 % lost") && svg.contains(">failed<"));
    }

    #[test]
    fn numbers_have_three_digits_or_groups() {
        assert_eq!(
            [0.0123, 0.5, 12.34, 123.4, 12_345.6].map(short),
            ["0.012", "0.50", "12.3", "123", "12,346"]
        );
        assert_eq!([0.0, 999.0, 1000.0, 1_234_567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
