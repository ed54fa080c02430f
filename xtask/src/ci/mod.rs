//! `cargo xtask ci`: everything that a change must pass, in one command.

mod counters;
mod steps;

use std::env;
use std::time::Instant;

use crate::CommandResult;
use crate::args::Args;
use crate::report::{self, Counts, Row};
use crate::workspace::Workspace;
use steps::{STEPS, Settings, Step};

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let quick = args.flag("--quick");
    let install_tools = args.flag("--install-tools") || env::var_os("CI").is_some();
    args.finish()?;
    let settings = Settings { install_tools };
    let rows: Vec<Row> = STEPS
        .iter()
        .map(
            |(name, step, slow)| {
                if quick && *slow { left_out(name) } else { run(workspace, &settings, name, *step) }
            },
        )
        .collect();
    let counts: Counts = rows.iter().map(|row| row.counts).sum();
    println!("\n{}", report::table("step", &rows));
    println!("{counts}");
    Ok(counts.failed == 0)
}

fn left_out(name: &str) -> Row {
    Row {
        name: name.to_owned(),
        counts: Counts::SKIPPED,
        time: Default::default(),
        note: "--quick".to_owned(),
    }
}

/// Runs one step; whatever goes wrong, the next ones run as well.
fn run(workspace: &Workspace, settings: &Settings, name: &str, step: Step) -> Row {
    println!("\n==== {name} ====");
    let start = Instant::now();
    let (counts, note) = match step(workspace, settings) {
        Ok(outcome) => (outcome.counts, outcome.note),
        Err(reason) => (Counts::FAILED, reason),
    };
    let time = start.elapsed();
    println!("==== {name}: {counts}, {:.1} s ====", time.as_secs_f64());
    Row { name: name.to_owned(), counts, time, note }
}
