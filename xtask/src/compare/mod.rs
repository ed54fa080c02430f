//! `cargo xtask compare`: the same load against Martlet and other brokers, in turns, and a report of it.

mod copier;
mod durable;
mod launch;
mod machine;
mod peers;
mod ratios;
mod report;
mod results;
mod run;
mod scenarios;
mod stresser;
mod svg;
mod transports;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::CommandResult;
use crate::args::Args;
use crate::interop;
use crate::process;
use crate::workspace::Workspace;
use peers::{COPIER, Found, MARTLET, PEERS};
use results::Results;
use run::Bench;
use scenarios::{SCENARIOS, Scenario};

const RUNS_DEFAULT: usize = 3;
const TIME_DEFAULT: Duration = Duration::from_secs(3);
const TIME_QUICK: Duration = Duration::from_millis(500);
/// The word for mqtt-stresser in `--only`.
const STRESSER: &str = "stresser";
const REPORT: &str = "docs/benchmarks";
const RESULTS: &str = "results.json";
/// How long each measurement waits for a quiet machine.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(20);

/// What to measure.
struct Options {
    /// Programs of peers that are not on PATH.
    given: Vec<(String, PathBuf)>,
    /// Only scenarios whose key contains one of these; [`STRESSER`] stands for the other tool.
    only: Vec<String>,
    runs: usize,
    /// How often mqtt-stresser runs, which takes long.
    stresser_runs: usize,
    /// How long each load is measured.
    time: Duration,
    /// How long each measurement waits for a quiet machine; zero to measure once, whatever the machine does.
    patience: Duration,
    /// Short measurements, without waiting for a quiet machine.
    quick: bool,
    /// Our broker; otherwise the release build of this repository.
    binary: Option<PathBuf>,
    /// mqtt-stresser; otherwise the one on PATH.
    stresser: Option<PathBuf>,
    /// Where the report goes. Without it, partial and quick comparisons are only printed.
    out: Option<PathBuf>,
}

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    if let Some(port) = args.value("--copier")? {
        let port = port.parse().map_err(|_| "--copier needs a port")?;
        return copier::serve(port).map(|()| true).map_err(|error| error.to_string());
    }
    if args.flag("--render") {
        args.finish()?;
        let folder = workspace.root.join(REPORT);
        return report::write(&Results::load(&folder.join(RESULTS))?, &folder).map(|()| true);
    }
    let durable = args.flag("--durable");
    let options = options(args)?;
    if durable { durable::compare(workspace, &options) } else { compare(workspace, &options) }
}

fn options(mut args: Args) -> Result<Options, String> {
    let quick = args.flag("--quick");
    let runs = number(&mut args, "--runs")?.unwrap_or(if quick { 1 } else { RUNS_DEFAULT });
    let seconds: Option<f64> = number(&mut args, "--seconds")?;
    let time = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()));
    let patience = number(&mut args, "--patience")?.map(Duration::from_secs);
    let mut options = Options {
        given: Vec::new(),
        only: Vec::new(),
        runs,
        stresser_runs: number(&mut args, "--stresser-runs")?.unwrap_or(runs),
        time: time.transpose()?.unwrap_or(if quick { TIME_QUICK } else { TIME_DEFAULT }),
        patience: patience.unwrap_or(if quick { Duration::ZERO } else { PATIENCE_DEFAULT }),
        quick,
        binary: args.value("--binary")?.map(PathBuf::from),
        stresser: args.value("--stresser")?.map(PathBuf::from),
        out: args.value("--out")?.map(PathBuf::from),
    };
    while let Some(text) = args.value("--peer")? {
        options.given.push(peers::parse_given(&text)?);
    }
    while let Some(text) = args.value("--only")? {
        options.only.push(text);
    }
    args.finish()?;
    Ok(options)
}

fn number<N: std::str::FromStr>(args: &mut Args, name: &str) -> Result<Option<N>, String> {
    args.value(name)?.map(|text| text.parse().map_err(|_| format!("{name} needs a number"))).transpose()
}

fn compare(workspace: &Workspace, options: &Options) -> CommandResult {
    let everybody = everybody(workspace, options)?;
    let scenarios = chosen(&options.only)?;
    let folder = workspace.target.join("compare");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let bench = Bench {
        tool: everybody[0].program.clone(),
        folder: folder.clone(),
        time: options.time,
        patience: options.patience,
    };
    let mut results = Results { facts: facts(workspace, options), ..Results::default() };
    results.peers =
        everybody.iter().map(|found| (found.peer.name.to_owned(), found.version.clone())).collect();
    let is_there = |name: &str| everybody.iter().any(|found| found.peer.name == name);
    results.missing =
        PEERS.iter().map(|peer| peer.name).filter(|name| !is_there(name)).map(str::to_owned).collect();
    results
        .missing
        .iter()
        .for_each(|name| println!("{name} is missing: neither on PATH nor given with --peer"));

    measure(&bench, &everybody, &scenarios, options.runs, &mut results);
    let whole = options.only.is_empty() && !options.quick;
    if whole || options.only.iter().any(|text| text == STRESSER) {
        measure_stresser(&bench, &everybody, options, &mut results);
    }
    println!("\n{}", report::overview(&results));
    let out = options.out.clone().or_else(|| whole.then(|| workspace.root.join(REPORT)));
    if let Some(out) = out {
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        results.save(&out.join(RESULTS))?;
        report::write(&results, &out)?;
        println!("written to {}", out.display());
    }
    Ok(true)
}

/// Martlet, the peers that are there, and the copier.
fn everybody(workspace: &Workspace, options: &Options) -> Result<Vec<Found>, String> {
    let martlet = martlet(workspace, options)?;
    let copier = env::current_exe().map_err(|error| error.to_string())?;
    let mut everybody = vec![MARTLET.found(martlet)];
    everybody.extend(PEERS.iter().filter_map(|peer| peer.find(&options.given)));
    everybody.push(Found { peer: &COPIER, program: copier, version: "no broker".to_owned() });
    Ok(everybody)
}

/// Our program.
fn martlet(workspace: &Workspace, options: &Options) -> Result<PathBuf, String> {
    match &options.binary {
        Some(binary) => std::path::absolute(binary).map_err(|error| error.to_string()),
        None if interop::build_release(workspace)? => Ok(workspace.target.join("release/martlet")),
        None => Err("the broker does not build".to_owned()),
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>, String> {
    let is_chosen = |scenario: &&Scenario| {
        only.is_empty() || only.iter().any(|text| scenario.key.contains(text.as_str()))
    };
    let chosen: Vec<_> = SCENARIOS.iter().filter(is_chosen).collect();
    if chosen.is_empty() && only.iter().all(|text| text != STRESSER) {
        let keys: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.key).collect();
        return Err(format!("no such scenario; there are {}, {STRESSER}", keys.join(", ")));
    }
    Ok(chosen)
}

/// All runs, the brokers taking turns.
fn measure(bench: &Bench, everybody: &[Found], scenarios: &[&Scenario], runs: usize, results: &mut Results) {
    for run in 1..=runs {
        for scenario in scenarios {
            let takes_part = |found: &&Found| {
                found.peer.can(scenario.over) && (scenario.copier || found.peer.name != COPIER.name)
            };
            for found in everybody.iter().filter(takes_part) {
                let sample = bench.measure(found, scenario);
                let line = match &sample.outcome {
                    Ok(one) => format!(
                        "{:>12.0}/s {:>8.3} us  p99 {:>9.1} us  lost {}  others {:.2} cores",
                        one.per_s, one.cpu_us, one.p99_us, one.lost, one.others_cores
                    ),
                    Err(reason) => format!("failed: {reason}"),
                };
                println!("{run}/{runs}  {:16} {:12} {line}", scenario.key, found.peer.name);
                results.samples.push(sample);
            }
        }
    }
}

fn measure_stresser(bench: &Bench, everybody: &[Found], options: &Options, results: &mut Results) {
    let Some(program) = options.stresser.clone().or_else(|| peers::on_path("mqtt-stresser")) else {
        println!("mqtt-stresser is missing");
        return;
    };
    for _ in 0..options.stresser_runs {
        for clients in stresser::CLIENTS {
            for found in everybody.iter().filter(|found| found.peer.name != COPIER.name) {
                let sample = stresser::measure(&program, found, clients, &bench.folder, bench.patience);
                println!("mqtt-stresser {clients:3} clients  {:12} {:?}", sample.peer, sample.outcome);
                results.stresser.push(sample);
            }
        }
    }
}

fn facts(workspace: &Workspace, options: &Options) -> Vec<(String, String)> {
    let said = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        process::output(command.args(arguments).current_dir(&workspace.root))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let mut facts = vec![
        ("date", said("date", &["-u", "+%Y-%m-%d"])),
        ("commit", said("git", &["rev-parse", "--short", "HEAD"])),
        ("runs", format!("{} of {} s each", options.runs, options.time.as_secs_f64())),
    ];
    facts.extend(machine::description());
    facts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn scenarios_are_chosen_by_a_part_of_their_key() {
        let keys = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|text| (*text).to_owned()).collect();
            chosen(&only).map(|found| found.iter().map(|scenario| scenario.key).collect::<Vec<_>>())
        };
        assert_eq!(keys(&["fanin", "conns"]), Ok(vec!["fanin-50", "conns-5000"]));
        assert_eq!(keys(&["stresser"]), Ok(vec![]));
        assert!(keys(&["nothing"]).is_err());
    }
}
