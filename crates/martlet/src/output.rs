//! Writing to the standard streams, where a reader that went away is no reason to panic.

use std::io::{self, Write as _};

use crate::exit::Failure;

/// Writes a whole text to standard output.
///
/// # Errors
/// The stream cannot be written, unless that is because its reader closed it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error; if even that fails, nobody is left to be told.
pub(crate) fn error_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
