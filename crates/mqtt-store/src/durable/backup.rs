//! A copy of a store, also of one that is in use.
//!
//! Segments are only appended to, and removed from the oldest on once what is needed of them stands further behind. So
//! whoever has all segments open that were there at one moment has everything that was stored until then, whatever
//! becomes of the files meanwhile: the copy is what a kill at a later moment would have left.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::medium::{Directory, Medium};
use super::recovery::{self, OpenError, Report, UNFINISHED_NAME};
use super::segments::{self, HEADER_BYTES, name_of, whole_bytes};

/// What was copied.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// Files.
    pub segments: usize,
    /// What was read back from the copy.
    pub report: Report,
}

/// How often to look again when a segment has gone between being listed and being opened.
const ATTEMPTS: usize = 100;

/// Copies a store into a directory, which must be empty or not there, and reads the copy to check it. A broker may use
/// the store meanwhile: all that was acknowledged before the call is in the copy, and perhaps some of what came later.
///
/// # Errors
/// There is no store, something is in the other directory already ([`io::ErrorKind::AlreadyExists`]), the medium
/// failed, or what is stored is damaged.
pub fn backup(from: &Path, to: &Path) -> Result<BackedUp, OpenError> {
    let sources = open_all(from)?;
    let copy = Copy::begin(to)?;
    let last = sources.len() - 1;
    for (at, (number, source)) in sources.into_iter().enumerate() {
        let target = to.join(name_of(number));
        if at == last { copy_last(source, &target)? } else { copy_whole(source, &target)? }
    }
    copy.finish()
}

/// All segments, open, none missing between the first and the last.
fn open_all(from: &Path) -> io::Result<Vec<(u32, File)>> {
    for _ in 0..ATTEMPTS {
        let numbers = numbers(from)?;
        let opened: io::Result<Vec<_>> =
            numbers.iter().map(|number| Ok((*number, File::open(from.join(name_of(*number)))?))).collect();
        match opened {
            Ok(opened) if is_whole(&opened) => return Ok(opened),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "segments are missing"))
}

fn is_whole(opened: &[(u32, File)]) -> bool {
    let (Some((first, _)), Some((last, _))) = (opened.first(), opened.last()) else { return false };
    (last - first) as usize + 1 == opened.len()
}

fn numbers(from: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name == UNFINISHED_NAME {
            return Err(io::Error::other("an import or a backup into it was not finished"));
        }
        numbers.extend(name.to_str().and_then(segments::number_of));
    }
    if numbers.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "nothing is stored there"));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn copy_whole(mut source: File, target: &Path) -> io::Result<()> {
    let mut target = File::create_new(target)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Leaves out the end of what is being written at this moment.
fn copy_last(mut source: File, target: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    if bytes.len() < HEADER_BYTES as usize {
        return Ok(()); // it has just begun
    }
    let mut target = File::create_new(target)?;
    target.write_all(&bytes[..whole_bytes(&bytes)])?;
    target.sync_all()
}

/// A directory that is being filled; emptied again if that fails.
struct Copy {
    medium: Arc<dyn Medium>,
    path: PathBuf,
    finished: bool,
}

impl Copy {
    fn begin(path: &Path) -> Result<Self, OpenError> {
        let medium: Arc<dyn Medium> = Arc::new(Directory::open(path)?);
        if !medium.list()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty").into());
        }
        medium.create(UNFINISHED_NAME)?;
        Ok(Self { medium, path: path.to_owned(), finished: false })
    }

    fn finish(mut self) -> Result<BackedUp, OpenError> {
        File::open(&self.path)?.sync_all()?;
        let report = recovery::report(self.medium.clone())?;
        let segments = segments::numbers(&*self.medium)?.len();
        self.medium.remove(UNFINISHED_NAME)?;
        self.finished = true;
        Ok(BackedUp { segments, report })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // The mark goes last, so that nobody takes what is left for the whole.
        let names = self.medium.list().unwrap_or_default().into_iter().filter(|name| name != UNFINISHED_NAME);
        let removed = names.into_iter().try_for_each(|name| self.medium.remove(&name));
        if removed.is_ok() {
            let _ = self.medium.remove(UNFINISHED_NAME);
        }
    }
}
