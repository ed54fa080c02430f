//! The project's own commands: `cargo xtask ci`, `layers`, `tidy`, `conformance`, `interop`, `instructions`, `compare`, `simulate` and `torture`.
#![expect(clippy::print_stdout, reason = "a command-line program speaks through its standard output")]

mod args;
mod ci;
mod compare;
mod conformance;
mod guests;
mod instructions;
mod interop;
mod layers;
mod process;
mod report;
mod rust_source;
mod simulate;
mod tidy;
mod torture;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use args::Args;
use workspace::Workspace;

const HELP: &str = "\
cargo xtask <command>

  ci [--quick] [--install-tools]   everything a change must pass; --quick leaves out benches and interop
  layers                           dependency arrows point downwards, forbidden crates are absent
  tidy                             rules for files that no compiler checks
  conformance [--check]            write docs/CONFORMANCE.md, or only check that it is up to date
  guests [--check]                 build the WebAssembly guests that tests of plug-ins load; --check only builds
  interop [--paho DIR] [--only TEXT] [--binary FILE] [--jobs N] [--list]
                                   other makers' clients and test suites against the release binary
  instructions [--update]          instructions that each layer needs, against benches/instructions.toml
  compare [--peer NAME=PATH]... [--only SCENARIO]... [--runs N] [--seconds N] [--patience SECONDS] [--quick] [--binary FILE]
          [--stresser FILE] [--stresser-runs N] [--durable] [--out DIR]
                                   the same load against Martlet and other brokers; writes docs/benchmarks
  simulate [--seed N] [--seeds N] [--steps N]
                                   broker, store and clients in one process, each run decided by a seed
  torture [--minutes N] [--mode memory|periodic|acked] [--seed N] [--binary FILE]
                                   kills the release binary again and again, on a disk that fails, and counts what its clients lose
  compare --render                 writes the page and charts of docs/benchmarks again from the figures there";

/// What a command has to say when it ends: whether all was well, or why it could not run.
type CommandResult = Result<bool, String>;

fn main() -> ExitCode {
    match run(Args::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::from(2)
        }
    }
}

fn run(mut args: Args) -> CommandResult {
    let wants_help = args.flag("--help") || args.flag("-h");
    let command = args.command().filter(|command| !wants_help && command != "help");
    let Some(command) = command else {
        // Whoever reads only the beginning closes the pipe.
        writeln!(std::io::stdout(), "{HELP}").ok();
        return Ok(true);
    };
    let workspace = Workspace::find()?;
    match command.as_str() {
        "ci" => ci::command(&workspace, args),
        "layers" => layers::command(&workspace, args),
        "tidy" => tidy::command(&workspace, args),
        "conformance" => conformance::command(&workspace, args),
        "guests" => guests::command(&workspace, args),
        "interop" => interop::command(&workspace, args),
        "instructions" => instructions::command(&workspace, args),
        "compare" => compare::command(&workspace, args),
        "simulate" => simulate::command(&workspace, args),
        "torture" => torture::command(&workspace, args),
        other => Err(format!("no command `{other}`\n\n{HELP}")),
    }
}
