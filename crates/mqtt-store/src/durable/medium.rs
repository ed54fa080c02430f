//! Where segments are kept: a directory, or something that behaves like one.

use core::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place for files.
///
/// ```
/// use mqtt_store::durable::{Directory, Medium};
///
/// /// Bytes of all files.
/// fn size_bytes(medium: &dyn Medium) -> std::io::Result<u64> {
///     medium.list()?.iter().map(|name| medium.open(name)?.len_bytes()).sum()
/// }
///
/// let folder = tempfile::tempdir()?;
/// let directory = Directory::open(folder.path())?;
/// directory.create("a")?.write_at(b"abc", 0)?;
/// assert_eq!(size_bytes(&directory)?, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Names of all files.
    ///
    /// # Errors
    /// The medium failed.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file whose name survives a power failure.
    ///
    /// # Errors
    /// The medium failed or is full.
    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// The medium failed.
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Removes a file for good: a power failure does not bring it back. Whoever has it open can still read it.
    ///
    /// # Errors
    /// The medium failed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Nobody writes any more: another may open it, although this is not dropped yet.
    fn release(&self) {}
}

/// One file.
///
/// ```
/// use mqtt_store::durable::Medium;
/// use mqtt_store::durable::simulated::SimulatedMedium;
///
/// let medium = SimulatedMedium::new();
/// let file = medium.create("a")?;
/// file.write_at(b"abc", 0)?;
/// file.sync()?;
/// let mut last = [0];
/// file.read_at(&mut last, 2)?;
/// assert_eq!(&last, b"c");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait MediumFile: fmt::Debug + Send + Sync {
    /// Writes all bytes at this offset. After an error, some may have been written.
    ///
    /// # Errors
    /// The medium failed or is full.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads exactly so many bytes at this offset.
    ///
    /// # Errors
    /// The medium failed, or there are fewer.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Waits until all that was written survives a power failure.
    ///
    /// # Errors
    /// The medium failed: what was written since the last sync may be lost, whatever is read back.
    fn sync(&self) -> io::Result<()>;

    /// Bytes that the file has.
    ///
    /// # Errors
    /// The medium failed.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// The medium failed.
    fn truncate(&self, len_bytes: u64) -> io::Result<()>;
}

/// A directory that belongs to one process at a time.
///
/// ```
/// use mqtt_store::durable::{Directory, Medium};
///
/// let folder = tempfile::tempdir()?;
/// let directory = Directory::open(folder.path())?;
/// assert!(directory.list()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Locked until it is released or dropped.
    lock: Option<File>,
    is_read_only: bool,
}

/// Name of the file that keeps a second process out.
const LOCK_NAME: &str = "lock";

impl Directory {
    /// Opens a directory, which is made if it is not there, and locks it.
    ///
    /// # Errors
    /// It cannot be made or written to, or another process has it: [`io::ErrorKind::WouldBlock`].
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK_NAME))?;
        hold(&lock)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock), is_read_only: false })
    }

    /// Opens a directory that is there to look at it only, so that it may be on a read-only file system. Locks it if
    /// it was ever used.
    ///
    /// # Errors
    /// It cannot be read, or another process has it.
    pub(crate) fn open_to_read(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        let lock = match File::open(path.join(LOCK_NAME)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        lock.as_ref().map_or(Ok(()), hold)?;
        Ok(Self { path: path.to_owned(), lock, is_read_only: true })
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Locks a file until it is closed.
fn hold(lock: &File) -> io::Result<()> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })
}

impl Medium for Directory {
    fn release(&self) {
        // Closing the file does it in any case.
        self.lock.as_ref().map(File::unlock);
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name != LOCK_NAME));
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        self.sync_names()?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = OpenOptions::new().read(true).write(!self.is_read_only).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))?;
        self.sync_names()
    }
}

impl MediumFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.set_len(len_bytes)
    }
}
