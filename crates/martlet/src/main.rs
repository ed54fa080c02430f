//! The Martlet MQTT broker and its command-line tools.

mod bench;
mod cli;
mod config;
mod exit;
mod logging;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Arguments, Command};
use exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are asked for, everything else is a mistake; clap knows the stream for each.
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return error.print().map_or(Exit::Failed, |()| exit).into();
        }
    };
    match run(arguments) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output::error_line(&failure.message);
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), exit::Failure> {
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(serve) => serve::run(&serve),
        Command::Bench(bench) => bench::run(&bench),
        Command::CheckConfig(check) => cli::check_config(&check),
        Command::ConfigReference(reference) => cli::config_reference(&reference),
    }
}
