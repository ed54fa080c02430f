//! `martlet store export` and `import`: a whole store as lines of JSON.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use mqtt_store::durable::{ImportError, Importer, OpenError, Report, export};

use super::lines::{Line, VERSION};

/// Bytes of one line: the largest message that MQTT can carry, in base64, and what stands around it.
const LINE_BYTES_MAX: u64 = 384 << 20;

/// Writes a store as lines.
///
/// # Errors
/// See [`export`].
pub(super) fn write(path: &Path, out: &mut dyn Write) -> Result<(), OpenError> {
    let mut out = BufWriter::new(out);
    let mut lines = 0;
    // Nothing is written of a store that cannot be read.
    export(path, |item| {
        let line = Line::of(item).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        begin(&mut out, &mut lines)?;
        write_line(&mut out, &line, &mut lines)
    })?;
    begin(&mut out, &mut lines)?;
    let end = Line::End { lines };
    write_line(&mut out, &end, &mut lines)?;
    Ok(out.flush()?)
}

/// Writes the first line, once.
fn begin(out: &mut impl Write, lines: &mut u64) -> io::Result<()> {
    if *lines > 0 { Ok(()) } else { write_line(out, &Line::MartletExport { version: VERSION }, lines) }
}

fn write_line(out: &mut impl Write, line: &Line<'_>, lines: &mut u64) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    *lines += 1;
    out.write_all(b"\n")
}

/// Opens a file, or the standard input for `-`.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn source(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(file)?)))
}

/// Why an import was not done.
#[derive(Debug)]
pub(super) enum Refused {
    /// Something is wrong in the file; a sentence with the number of the line.
    Line(String),
    /// Something is wrong with the directory.
    Directory(ImportError),
}

/// Fills a directory with what stands in lines.
///
/// # Errors
/// See [`Refused`]. What was in the directory before is still there.
pub(super) fn read(path: &Path, replace: bool, source: &mut dyn BufRead) -> Result<Report, Refused> {
    let mut text = String::new();
    match next_line(source, &mut text, 0)? {
        Some(Line::MartletExport { version: VERSION }) => {}
        Some(Line::MartletExport { version }) => {
            let sentence = format!("the export has version {version}; this program knows {VERSION}");
            return Err(Refused::Line(sentence));
        }
        _ => {
            return Err(Refused::Line(
                "this is no export: it does not begin with `martlet_export`".to_owned(),
            ));
        }
    }
    let mut importer = Importer::begin(path, replace).map_err(Refused::Directory)?;
    for lines in 1.. {
        match next_line(source, &mut text, lines)? {
            None => return Err(Refused::Line(format!("the end is missing after line {lines}"))),
            Some(Line::End { lines: told }) if told == lines => break,
            Some(Line::End { lines: told }) => {
                return Err(Refused::Line(format!(
                    "there are {lines} lines instead of {told}: some are missing"
                )));
            }
            Some(line) => put(&mut importer, &line, lines)?,
        }
    }
    importer.finish().map_err(Refused::Directory)
}

/// The line behind so many others; `None` at the end of the file.
fn next_line<'t>(
    source: &mut dyn BufRead,
    text: &'t mut String,
    before: u64,
) -> Result<Option<Line<'t>>, Refused> {
    let wrong = |error: &dyn Display| Refused::Line(format!("line {}: {error}", before + 1));
    text.clear();
    let read_bytes = source.take(LINE_BYTES_MAX).read_line(text).map_err(|error| wrong(&error))?;
    if read_bytes == 0 {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| wrong(&error))
}

fn put(importer: &mut Importer, line: &Line<'_>, before: u64) -> Result<(), Refused> {
    let mut failed = None;
    let put = line.put(|item| {
        importer.put(item).map_err(|error| {
            let sentence = error.to_string();
            failed = Some(error);
            sentence
        })
    });
    match (put, failed) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(error @ (ImportError::Open(_) | ImportError::NotEmpty))) => {
            Err(Refused::Directory(error))
        }
        (Err(sentence), _) => Err(Refused::Line(format!("line {}: {sentence}", before + 1))),
    }
}
