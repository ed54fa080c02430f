//! A medium in memory that can lose what a real one may lose, and fail as a real one may fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::medium::{Medium, MediumFile};

/// A directory in memory.
///
/// ```
/// use mqtt_store::durable::Medium;
/// use mqtt_store::durable::simulated::SimulatedMedium;
///
/// let medium = SimulatedMedium::new();
/// medium.create("a")?.write_at(b"abc", 0)?;
/// // A killed process loses nothing that it wrote, a power failure what was not synced.
/// assert_eq!(medium.after_kill().contents()["a"], b"abc");
/// let kept = medium.after_power_failure(0, false).contents().get("a").map_or(0, Vec::len);
/// assert_eq!(kept, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SimulatedMedium {
    files: Arc<Mutex<BTreeMap<String, Arc<SimulatedFile>>>>,
    faults: Arc<Mutex<Faults>>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Bytes that can still be written before the medium is full; `None` for no bound. A write that does not fit
    /// is cut short.
    pub room_bytes: Option<usize>,
    /// Whether syncs fail.
    pub sync_fails: bool,
    /// Whether writes fail.
    pub write_fails: bool,
}

#[derive(Debug)]
struct SimulatedFile {
    written: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    faults: Arc<Mutex<Faults>>,
}

impl SimulatedMedium {
    /// An empty medium without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    /// What is left when the process is killed now: all that was written.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        self.copy(|file| file.written.lock().clone())
    }

    /// What may be left when the power fails now: what was synced, and of what was written behind that the given
    /// thousandths, perhaps with the last byte changed.
    #[must_use]
    pub fn after_power_failure(&self, kept_thousandths: usize, garbled: bool) -> Self {
        self.copy(|file| {
            let (written, mut left) = (file.written.lock(), file.synced.lock().clone());
            let behind = &written[left.len().min(written.len())..];
            left.extend_from_slice(&behind[..behind.len() * kept_thousandths.min(1000) / 1000]);
            if garbled && left.len() > file.synced.lock().len() {
                *left.last_mut().expect("it is longer") ^= 0x55;
            }
            left
        })
    }

    fn copy(&self, left: impl Fn(&SimulatedFile) -> Vec<u8>) -> Self {
        let copy = Self::default();
        for (name, file) in &*self.files.lock() {
            let bytes = left(file);
            copy.files.lock().insert(name.clone(), copy.file(bytes));
        }
        copy
    }

    fn file(&self, bytes: Vec<u8>) -> Arc<SimulatedFile> {
        let (written, synced) = (Mutex::new(bytes.clone()), Mutex::new(bytes));
        Arc::new(SimulatedFile { written, synced, faults: self.faults.clone() })
    }

    /// Changes one byte of a file, as damage would, in what is written and in what is synced of it.
    pub fn damage(&self, name: &str, offset: usize) {
        let files = self.files.lock();
        for bytes in [&files[name].written, &files[name].synced] {
            if let Some(byte) = bytes.lock().get_mut(offset) {
                *byte ^= 0xff;
            }
        }
    }

    /// All names with the bytes written.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().iter().map(|(name, file)| (name.clone(), file.written.lock().clone())).collect()
    }

    /// A medium with these files, as if they had been synced.
    #[must_use]
    pub fn of(contents: BTreeMap<String, Vec<u8>>) -> Self {
        let medium = Self::default();
        for (name, bytes) in contents {
            let file = medium.file(bytes);
            medium.files.lock().insert(name, file);
        }
        medium
    }
}

impl Medium for SimulatedMedium {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = self.file(Vec::new());
        self.files.lock().insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = self.files.lock().get(name).cloned();
        file.map(|file| file as Arc<dyn MediumFile>).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name);
        Ok(())
    }
}

impl MediumFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut faults = self.faults.lock();
        if faults.write_fails {
            return Err(io::Error::other("a write failed"));
        }
        let room = faults.room_bytes.unwrap_or(usize::MAX);
        let fits = bytes.len().min(room);
        faults.room_bytes = faults.room_bytes.map(|room| room - fits);
        let offset = usize::try_from(offset).expect("a file fits into memory");
        let mut written = self.written.lock();
        if written.len() < offset + fits {
            written.resize(offset + fits, 0);
        }
        written[offset..offset + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let written = self.written.lock();
        let offset = usize::try_from(offset).expect("a file fits into memory");
        let source = written.get(offset..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults.lock().sync_fails {
            return Err(io::Error::other("a sync failed"));
        }
        *self.synced.lock() = self.written.lock().clone();
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.written.lock().len() as u64)
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.written.lock().truncate(usize::try_from(len_bytes).expect("a file fits into memory"));
        Ok(())
    }
}
