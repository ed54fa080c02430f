//! The Martlet MQTT broker and its command-line tools.

mod access;
mod activation;
mod bench;
mod cli;
mod config;
mod crew;
mod exit;
mod logging;
mod open_files;
mod output;
mod plugins;
mod pubsub;
mod reload;
mod serve;
mod service;
mod storage;
mod store;
mod tls_arguments;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Arguments, Command};
use exit::Exit;
use pubsub::Tool;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(pubsub::join_parts(std::env::args_os())) {
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
            if !failure.message.is_empty() {
                output::error_line(&failure.message);
            }
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), exit::Failure> {
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(serve) => serve::run(&serve),
        Command::Pub(publish) => pubsub::run(&Tool::Publish(&publish)),
        Command::Sub(subscribe) => pubsub::run(&Tool::Subscribe(&subscribe)),
        Command::Request(request) => pubsub::run(&Tool::Request(&request)),
        Command::Bench(bench) => bench::run(&bench),
        Command::Passwd(passwd) => access::run_passwd(&passwd),
        Command::Acl(acl) => access::run_acl(&acl),
        Command::Store(arguments) => store::run(&arguments),
        Command::CheckConfig(check) => cli::check_config(&check),
        Command::ConfigReference(reference) => cli::config_reference(&reference),
    }
}
