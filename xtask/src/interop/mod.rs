//! `cargo xtask interop`: other makers' clients and test suites, run as processes against the release binary.

mod broker;
mod known;
mod run;
mod suites;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::CommandResult;
use crate::args::Args;
use crate::process;
use crate::report::{self, Counts, Row};
use crate::workspace::Workspace;
use broker::Launch;
use known::Known;
use run::{Finished, Job, Setting, Verdict};
use suites::{Places, SUITES};

/// Most cases wait most of the time, so two cores serve more than two of them.
const JOBS_DEFAULT: usize = 4;
/// How much of the logs of a failed case is shown.
const LOG_LINES_SHOWN: usize = 30;

/// What to run against what.
#[derive(Default)]
pub(crate) struct Options {
    /// A checkout of the Eclipse Paho test suites; otherwise `PAHO_TESTING_DIR`, otherwise a clone.
    paho: Option<PathBuf>,
    /// Only cases whose `suite/case` contains this.
    only: Option<String>,
    /// The broker to test; otherwise the release build of this repository.
    binary: Option<PathBuf>,
    /// How many cases run at a time.
    jobs: Option<usize>,
    /// Name the cases instead of running them.
    list: bool,
}

/// What an interop run found, for the table of CI.
pub(crate) struct Summary {
    pub(crate) counts: Counts,
    /// What was skipped and why.
    pub(crate) notes: Vec<String>,
}

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let jobs =
        args.value("--jobs")?.map(|text| text.parse().map_err(|_| "--jobs needs a number")).transpose()?;
    let options = Options {
        paho: args.value("--paho")?.map(PathBuf::from),
        only: args.value("--only")?,
        binary: args.value("--binary")?.map(PathBuf::from),
        jobs,
        list: args.flag("--list"),
    };
    args.finish()?;
    let summary = run(workspace, &options)?;
    println!("{}", summary.counts);
    Ok(summary.counts.failed == 0)
}

/// Builds the broker as users get it.
pub(crate) fn build_release(workspace: &Workspace) -> CommandResult {
    let mut command = workspace.cargo(&["build", "--release", "--locked", "-p", "martlet"]);
    process::show(&mut command).map(|shown| shown.success).map_err(|error| format!("cargo: {error}"))
}

/// Runs all suites that this machine can run, and prints their table.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Summary, String> {
    let places = places(workspace, options)?;
    let known = Known::read(&places.scripts.join("KNOWN.md"))?;
    let (jobs, mut rows) = prepare(&places, options.only.as_deref());
    if options.list {
        jobs.iter().for_each(|job| println!("{}", job.name()));
        return Ok(summary(rows));
    }
    let binary = binary(workspace, options)?;
    let config = places.scripts.join("martlet.toml");
    let launch = Launch { binary: &binary, config: &config };
    let setting = Setting { launch, known: &known, logs: &places.work.join("logs") };
    let results = run::run_all(&setting, jobs, options.jobs.unwrap_or(JOBS_DEFAULT), show);
    results.iter().for_each(show_logs);
    rows.extend(SUITES.iter().filter_map(|(name, _)| row(name, &results)));
    println!("\n{}", report::table("suite", &rows));
    Ok(summary(rows))
}

fn places(workspace: &Workspace, options: &Options) -> Result<Places, String> {
    let paho = options.paho.clone().or_else(|| env::var_os("PAHO_TESTING_DIR").map(PathBuf::from));
    let paho = paho.map(std::path::absolute).transpose().map_err(|error| error.to_string())?;
    if let Some(missing) = paho.as_deref().filter(|paho| suites::paho_folder(paho).is_none()) {
        return Err(format!("{} is no checkout of the Eclipse Paho test suites", missing.display()));
    }
    let work = workspace.target.join("interop");
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    Ok(Places { scripts: workspace.root.join("interop"), work, paho })
}

fn binary(workspace: &Workspace, options: &Options) -> Result<PathBuf, String> {
    if let Some(binary) = &options.binary {
        return std::path::absolute(binary).map_err(|error| error.to_string());
    }
    match build_release(workspace)? {
        true => Ok(workspace.target.join("release/martlet")),
        false => Err("the broker does not build".to_owned()),
    }
}

/// The cases of all suites that can run, and a row for each suite that cannot.
fn prepare(places: &Places, only: Option<&str>) -> (Vec<Job>, Vec<Row>) {
    let mut jobs = Vec::new();
    let mut others = Vec::new();
    for (name, prepare) in SUITES.iter().filter(|(name, _)| may_match(name, only)) {
        let suite = match prepare(places) {
            Ok(suite) => suite,
            Err(reason) => {
                others.push(row_without_cases("skip", name, Counts::SKIPPED, reason));
                continue;
            }
        };
        match suite.cases() {
            Ok(cases) => jobs.extend(cases.into_iter().map(|case| Job { suite: suite.clone(), case })),
            Err(reason) => others.push(row_without_cases("FAIL", name, Counts::FAILED, reason)),
        }
    }
    jobs.retain(|job| only.is_none_or(|text| job.name().contains(text)));
    (jobs, others)
}

fn row_without_cases(verdict: &str, suite: &str, counts: Counts, note: String) -> Row {
    println!("{verdict}  {suite}: {note}");
    Row { name: suite.to_owned(), counts, time: Duration::ZERO, note }
}

/// Whether a suite can have cases that `--only` asks for: a part of a suite's name, `suite/case`, or a part of a case's name.
fn may_match(suite: &str, only: Option<&str>) -> bool {
    let Some(text) = only else { return true };
    let wanted = text.split('/').next().unwrap_or_default();
    let names_a_suite = text.contains('/') || SUITES.iter().any(|(name, _)| name.contains(wanted));
    !names_a_suite || suite.contains(wanted)
}

fn show(finished: &Finished) {
    let Finished { name, verdict, time, runs, .. } = finished;
    let runs = if *runs > 1 { format!(" (run {runs} times, see interop/KNOWN.md)") } else { String::new() };
    let seconds = time.as_secs_f64();
    match verdict {
        Verdict::Passed => println!("pass  {name}  {seconds:.1} s{runs}"),
        Verdict::Failed(reason) => println!("FAIL  {name}  {seconds:.1} s{runs}: {reason}"),
        Verdict::Skipped(reason) => println!("skip  {name}: {reason}"),
    }
}

/// For each failed case the ends of its logs, since nobody can look into a machine that is gone.
fn show_logs(finished: &Finished) {
    if !matches!(finished.verdict, Verdict::Failed(_)) {
        return;
    }
    for log in ["client.log", "broker.log"] {
        println!("\n---- {} {log} ----\n{}", finished.name, last_lines(&finished.folder.join(log)));
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// The row of a suite that ran, with its skipped and repeated cases in the note.
fn row(suite: &str, results: &[Finished]) -> Option<Row> {
    let results: Vec<&Finished> = results.iter().filter(|finished| finished.suite == suite).collect();
    if results.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    let counts = results.iter().map(|finished| match &finished.verdict {
        Verdict::Passed => Counts::PASSED,
        Verdict::Failed(_) => Counts::FAILED,
        Verdict::Skipped(_) => Counts::SKIPPED,
    });
    let counts = counts.sum();
    for finished in &results {
        match &finished.verdict {
            Verdict::Skipped(reason) => notes.push(format!("{}: {reason}", finished.name)),
            _ if finished.runs > 1 => notes.push(format!("{} ran {} times", finished.name, finished.runs)),
            _ => {}
        }
    }
    let time = results.iter().map(|finished| finished.time).sum();
    Some(Row { name: suite.to_owned(), counts, time, note: notes.join("; ") })
}

fn summary(rows: Vec<Row>) -> Summary {
    let counts = rows.iter().map(|row| row.counts).sum();
    let skipped = rows.into_iter().filter(|row| row.counts.skipped > 0 && !row.note.is_empty());
    Summary { counts, notes: skipped.map(|row| format!("{}: {}", row.name, row.note)).collect() }
}
