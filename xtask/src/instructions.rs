//! `cargo xtask instructions`: how many machine instructions each layer needs for one piece of its work, counted by
//! callgrind and compared with the numbers in `benches/instructions.toml`. Unlike times they hardly depend on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::CommandResult;
use crate::args::Args;
use crate::process;
use crate::workspace::Workspace;

const NUMBERS: &str = "benches/instructions.toml";
/// A count may grow by this much before it is a failure.
const GROWTH_MAX: f64 = 1.05;
/// A count that has fallen below this part of its number is worth writing down.
const FALL_NOTED: f64 = 0.95;
/// What grows with what is there, compared with the same work in an empty broker.
const AMONG_MAX: f64 = 1.2;
const AMONG: &str = "-among-";

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
struct Number {
    name: String,
    instructions: f64,
}

/// What the counts were compared with, and what came of it.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) passed: u64,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let update = args.flag("--update");
    args.finish()?;
    if !is_possible() {
        return Err("valgrind is not installed".to_owned());
    }
    let counted = count(workspace)?;
    if update {
        let text = render(&counted);
        fs::write(workspace.root.join(NUMBERS), text).map_err(|error| format!("{NUMBERS}: {error}"))?;
        return Ok(true);
    }
    Ok(compare(workspace, &counted)?.failures.is_empty())
}

/// Counts and compares. To be called where valgrind [is there](is_possible).
pub(crate) fn run(workspace: &Workspace) -> Result<Comparison, String> {
    compare(workspace, &count(workspace)?)
}

pub(crate) fn is_possible() -> bool {
    process::exists("valgrind", "--version")
}

fn compare(workspace: &Workspace, counted: &[Number]) -> Result<Comparison, String> {
    let text =
        fs::read_to_string(workspace.root.join(NUMBERS)).map_err(|error| format!("{NUMBERS}: {error}"))?;
    let comparison = judge(&parse(&text)?, counted);
    comparison.failures.iter().for_each(|failure| println!("instructions: {failure}"));
    Ok(comparison)
}

fn judge(stated: &[Number], counted: &[Number]) -> Comparison {
    let mut failures = Vec::new();
    for Number { name, instructions } in counted {
        let known = find(stated, name);
        let ratio = known.map_or(f64::INFINITY, |known| instructions / known);
        println!("{name:32} {instructions:>9.0} instructions, {ratio:.3} of the number stated");
        if ratio > GROWTH_MAX {
            failures.push(match known {
                Some(known) => format!("{name} takes {instructions:.0} instructions, {known:.0} are stated"),
                None => format!("{name} is not in {NUMBERS}; `cargo xtask instructions --update` writes it"),
            });
        } else if ratio < FALL_NOTED {
            println!("  better than stated: `cargo xtask instructions --update` keeps it so");
        }
        if let Some(grown) = growth(counted, name, *instructions) {
            failures.push(format!("{name} takes {grown:.2} times what it takes in an empty broker"));
        }
    }
    let failed = failures.len() as u64;
    Comparison { passed: (counted.len() as u64).saturating_sub(failed), failures }
}

/// How much more work among many others costs than alone, if that is too much.
fn growth(counted: &[Number], name: &str, instructions: f64) -> Option<f64> {
    let (alone, _) = name.split_once(AMONG)?;
    let grown = instructions / find(counted, alone)?;
    (grown > AMONG_MAX).then_some(grown)
}

fn find(numbers: &[Number], name: &str) -> Option<f64> {
    numbers.iter().find(|number| number.name == name).map(|number| number.instructions)
}

fn parse(text: &str) -> Result<Vec<Number>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, number) =
                line.split_once('=').ok_or_else(|| format!("{NUMBERS}: no `=` in `{line}`"))?;
            let instructions =
                number.trim().parse().map_err(|_| format!("{NUMBERS}: no number in `{line}`"))?;
            Ok(Number { name: name.trim().to_owned(), instructions })
        })
        .collect()
}

fn render(numbers: &[Number]) -> String {
    let mut text = "# Machine instructions for one piece of each layer's work, for example for one message, the clients' own\n\
        # part included where there are clients. `cargo xtask instructions` compares, `--update` writes this file.\n"
        .to_owned();
    for Number { name, instructions } in numbers {
        text += &format!("{name} = {instructions:.0}\n");
    }
    text
}

fn count(workspace: &Workspace) -> Result<Vec<Number>, String> {
    let program = build(workspace)?;
    let known = Command::new(&program).output().map_err(|error| error.to_string())?;
    let names = String::from_utf8_lossy(&known.stderr).into_owned();
    names.lines().map(|name| count_one(&program, name)).collect()
}

fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let words = ["build", "--profile", "bench", "-p", "benches", "--example", "layers", "--locked"];
    let shown = process::show(&mut workspace.cargo(&words)).map_err(|error| format!("cargo: {error}"))?;
    if shown.success {
        Ok(workspace.target.join("release/examples/layers"))
    } else {
        Err("it does not build".into())
    }
}

/// Instructions for one piece of the work, without what comes before and after.
fn count_one(program: &Path, name: &str) -> Result<Number, String> {
    let times = if name.contains("connect") { 200 } else { 1000 };
    let [few, many] = [times, 3 * times].map(|times| collected(program, name, times));
    let instructions = (many? - few?) as f64 / f64::from(2 * times);
    Ok(Number { name: name.to_owned(), instructions })
}

fn collected(program: &Path, name: &str, times: u32) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let out = command.arg(program).args([name, &times.to_string()]).output();
    let said = out.map_err(|error| format!("valgrind: {error}"))?.stderr;
    collected_in(&String::from_utf8_lossy(&said)).ok_or_else(|| format!("{name}: valgrind counted nothing"))
}

/// `==7== Collected : 12345`
fn collected_in(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Number, collected_in, judge, parse, render};

    fn number(name: &str, instructions: f64) -> Number {
        Number { name: name.to_owned(), instructions }
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let numbers = [number("codec", 12.0), number("broker-qos1", 3400.0)];
        assert_eq!(parse(&render(&numbers)).as_deref(), Ok(&numbers[..]));
        assert!(parse("codec 12").is_err());
    }

    #[test]
    fn a_count_may_grow_by_a_twentieth() {
        let stated = [number("a", 1000.0)];
        let failures = |instructions| judge(&stated, &[number("a", instructions)]).failures.len();
        assert_eq!([failures(100.0), failures(1049.0), failures(1051.0)], [0, 0, 1]);
        assert_eq!(judge(&stated, &[number("new", 1.0)]).failures.len(), 1);
    }

    #[test]
    fn work_among_many_others_may_cost_a_fifth_more() {
        let counted = |among| [number("a", 100.0), number("a-among-9", among)];
        let failures = |among: f64| judge(&counted(among), &counted(among)).failures.len();
        assert_eq!([failures(119.0), failures(121.0)], [0, 1]);
    }

    #[test]
    fn the_sum_is_found_in_what_callgrind_says() {
        assert_eq!(collected_in("==1== Events    : Ir\n==1== Collected : 2613341\n"), Some(2_613_341));
        assert_eq!(collected_in("killed"), None);
    }
}
