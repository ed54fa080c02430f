//! Messages on standard output.

use std::io::{self, Write as _};

use jiff::Zoned;
use mqtt_client::Incoming;

use super::args::OutputArguments;
use super::format::Format;
use super::render::{Received, render};
use crate::exit::Failure;
use crate::output;

/// Prints messages in one format, each at once.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    pretty: bool,
    line_feed: bool,
    quiet: bool,
    buffer: Vec<u8>,
}

/// Whether anybody still reads what is printed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Open,
    Closed,
}

impl Reader {
    pub(crate) fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

impl Printer {
    pub(crate) fn new(arguments: &OutputArguments, quiet: bool) -> Self {
        Self {
            format: arguments.format(),
            pretty: arguments.pretty,
            line_feed: !arguments.no_newline,
            quiet,
            buffer: Vec::new(),
        }
    }

    /// Prints a message. One whose payload is not the JSON that the format asks for is skipped with a word.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn print(&mut self, message: &Incoming) -> Result<Reader, Failure> {
        let received = Received {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            packet_id: message.packet_id,
            properties: message.properties.as_properties(),
            at: Zoned::now(),
        };
        self.buffer.clear();
        if let Err(error) = render(&self.format, &received, self.pretty, &mut self.buffer) {
            if !self.quiet {
                output::error_line(&format!("error: {error}"));
            }
            return Ok(Reader::Open);
        }
        if self.line_feed {
            self.buffer.push(b'\n');
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(&self.buffer).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(Reader::Open),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Closed),
            Err(error) => Err(Failure::failed(format_args!("standard output: {error}"))),
        }
    }
}
