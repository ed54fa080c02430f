//! `martlet store`: a data directory that no broker uses at the moment, and a copy of one that is used.

mod lines;
#[cfg(test)]
mod tests;
mod text;
mod transfer;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};
use mqtt_store::durable::{Directory, Dumped, ImportError, OpenError, Report, backup, dump, export};
use mqtt_store::{DurableStore, Journal as _};

use crate::config::Configuration;
use crate::exit::{Exit, Failure};
use crate::{output, storage};

#[derive(Args, Debug)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Print how much is stored, or with --items or --json everything
    Dump {
        #[command(flatten)]
        place: Place,
        /// One line for people about every item
        #[arg(long)]
        items: bool,
        /// The lines of `export`
        #[arg(long, conflicts_with = "items")]
        json: bool,
    },
    /// Read everything and report what is damaged
    Verify(Place),
    /// Write what is needed anew and give the rest of the disk back
    Compact(Place),
    /// Write everything as JSON, one object per line (docs/storage.md describes them)
    Export {
        #[command(flatten)]
        place: Place,
        /// Where to write; without it, standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Fill an empty data directory with what `export` wrote
    Import {
        #[command(flatten)]
        place: Place,
        /// The lines of an export; `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace what is stored there
        #[arg(long)]
        force: bool,
    },
    /// Copy a data directory while a broker may be using it, and check the copy
    Backup {
        #[command(flatten)]
        place: Place,
        /// Where to copy to: a directory that is empty or not there
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Args, Debug)]
struct Place {
    /// The data directory; without it, the one that `martlet serve` would use
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn path(&self) -> Result<PathBuf, Failure> {
        self.data_dir.clone().map_or_else(|| storage::directory(None), Ok)
    }

    fn dump(&self) -> Result<Dumped, Failure> {
        let path = self.path()?;
        dump(&path, storage::wall()).map_err(|error| unreadable(&path, &error))
    }
}

fn failure(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format_args!("{}: {error}", path.display()))
}

fn unreadable(path: &Path, error: &OpenError) -> Failure {
    match error {
        OpenError::InUse => {
            failure(path, &format_args!("{error}; `martlet store backup` makes a copy meanwhile"))
        }
        _ => failure(path, error),
    }
}

/// `martlet store`.
///
/// # Errors
/// A broker uses the directory, it cannot be read, or something in it is damaged.
pub(crate) fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    match &arguments.command {
        StoreCommand::Dump { place, items: true, .. } => print_items(place),
        StoreCommand::Dump { place, json: true, .. } => write_lines(place, None),
        StoreCommand::Dump { place, .. } => output::print(&summary(&place.dump()?)),
        StoreCommand::Verify(place) => verify(&place.dump()?),
        StoreCommand::Compact(place) => compact(place),
        StoreCommand::Export { place, to } => write_lines(place, to.as_deref()),
        StoreCommand::Import { place, file, force } => import(place, file, *force),
        StoreCommand::Backup { place, to } => back_up(place, to),
    }
}

/// A reader that has seen enough is no failure.
fn unless_reader_left(path: &Path, written: Result<(), OpenError>) -> Result<(), Failure> {
    match written {
        Err(OpenError::Medium(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| unreadable(path, &error)),
    }
}

fn print_items(place: &Place) -> Result<(), Failure> {
    let path = place.path()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = export(&path, |item| text::write(&mut out, item));
    unless_reader_left(&path, written.and_then(|()| Ok(out.flush()?)))
}

/// Writes the export to a file that is not there yet, or to standard output.
fn write_lines(place: &Place, to: Option<&Path>) -> Result<(), Failure> {
    let path = place.path()?;
    let Some(to) = to else {
        return unless_reader_left(&path, transfer::write(&path, &mut io::stdout().lock()));
    };
    let mut file = File::create_new(to).map_err(|error| failure(to, &error))?;
    let written = transfer::write(&path, &mut file).and_then(|()| Ok(file.sync_all()?));
    written.map_err(|error| {
        // Half an export is of no use; the error that caused it is the one to report.
        let _ = std::fs::remove_file(to);
        unreadable(&path, &error)
    })
}

fn import(place: &Place, file: &Path, force: bool) -> Result<(), Failure> {
    let path = place.path()?;
    let mut source = transfer::source(file).map_err(|error| failure(file, &error))?;
    let imported = transfer::read(&path, force, &mut *source);
    let report = imported.map_err(|error| match error {
        transfer::Refused::Line(error) => failure(file, &error),
        transfer::Refused::Directory(error @ ImportError::NotEmpty) => {
            failure(&path, &format_args!("{error}; --force replaces it"))
        }
        transfer::Refused::Directory(error) => failure(&path, &error),
    })?;
    output::print(&format!("{}: {}\n", path.display(), amount(&report)))
}

fn back_up(place: &Place, to: &Path) -> Result<(), Failure> {
    let path = place.path()?;
    let copied = backup(&path, to);
    let copied =
        copied.map_err(|error| failure(&path, &format_args!("copying to {}: {error}", to.display())))?;
    let amount = amount(&copied.report);
    output::print(&format!(
        "{}: {} segments, {amount}; the copy was read back\n",
        to.display(),
        copied.segments
    ))
}

fn amount(report: &Report) -> String {
    let Report { sessions, messages, retained, bytes, .. } = report;
    format!("{sessions} sessions, {messages} messages, {retained} retained messages, {bytes} bytes")
}

fn verify(dumped: &Dumped) -> Result<(), Failure> {
    let findings = &dumped.findings;
    let mut text: String = findings.torn.iter().map(|finding| format!("cut off: {finding}\n")).collect();
    text.extend(findings.damaged.iter().map(|finding| format!("damaged: {finding}\n")));
    if findings.damaged.is_empty() {
        return output::print(&(text + "nothing is damaged\n"));
    }
    Err(Failure { exit: Exit::Failed, message: text })
}

fn compact(place: &Place) -> Result<(), Failure> {
    let path = place.path()?;
    let medium = Directory::open(&path).map_err(|error| failure(&path, &error))?;
    let settings = storage::settings(&Configuration::default());
    let store =
        DurableStore::open_inline(Arc::new(medium), &settings).map_err(|error| failure(&path, &error))?;
    let before = store.len_bytes();
    store.compact().map_err(|error| failure(&path, &error))?;
    store.close();
    let written = store.health().bytes_written.load(Ordering::Relaxed);
    output::print(&format!("{before} bytes before, {} after, {written} written\n", store.len_bytes()))
}

fn summary(dumped: &Dumped) -> String {
    let waiting: usize = dumped.sessions.iter().map(|session| session.queue.len()).sum();
    let under_way: usize =
        dumped.sessions.iter().map(|recovered| recovered.session.unacknowledged_len()).sum();
    let subscriptions: usize =
        dumped.sessions.iter().map(|recovered| recovered.session.subscriptions().len()).sum();
    format!(
        "sessions        {}\nsubscriptions   {subscriptions}\nmessages        {waiting} waiting, {under_way} under way\n\
         retained        {}\nbytes           {} on the disk, {} needed\n",
        dumped.sessions.len(),
        dumped.retained.len(),
        dumped.bytes,
        dumped.bytes_live,
    )
}
