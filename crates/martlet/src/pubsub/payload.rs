//! Where payloads come from.

use std::io::{self, BufRead as _, Read as _};

use tokio::sync::mpsc;

use super::args::PayloadArguments;
use crate::exit::Failure;

/// Reads the one payload that the arguments name.
///
/// # Errors
/// The file or standard input cannot be read.
pub(crate) fn read(arguments: &PayloadArguments) -> Result<Vec<u8>, Failure> {
    if let Some(text) = &arguments.message {
        return Ok(text.clone().into_bytes());
    }
    if let Some(path) = &arguments.file {
        return std::fs::read(path)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())));
    }
    let mut payload = Vec::new();
    if arguments.stdin_file {
        io::stdin().lock().read_to_end(&mut payload).map_err(standard_input)?;
    }
    Ok(payload)
}

fn standard_input(error: io::Error) -> Failure {
    Failure::failed(format_args!("standard input: {error}"))
}

/// The lines of standard input without their line feeds, as they come. They are read by a thread of their own, which is
/// left behind when the program ends: there is no other way to stop waiting for a terminal.
pub(crate) fn lines() -> mpsc::Receiver<Result<Vec<u8>, Failure>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let failed = line.is_err();
            if sender.blocking_send(line.map_err(standard_input)).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

/// Lines that may wait to be published; the writer of the pipe is slowed down then.
const LINES_AHEAD_MAX: usize = 64;
