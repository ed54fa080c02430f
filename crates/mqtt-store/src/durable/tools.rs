//! For `martlet store`: looking at a store without changing it.

use std::path::Path;
use std::sync::Arc;

use super::medium::{Directory, Medium};
use super::recovery::{self, OpenError, Rebuilding};
use super::segments::Findings;
use super::wall::Wall;
use super::writer::{Kept, WriteSettings};
use crate::{QueueLimits, Recovered, Retained};

/// Everything in a store.
#[derive(Debug)]
pub struct Dumped {
    /// Sessions with what waits for them.
    pub sessions: Vec<Recovered>,
    /// Retained messages, in no order.
    pub retained: Vec<Retained>,
    /// What cannot be read.
    pub findings: Findings,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes of what is needed.
    pub bytes_live: u64,
}

/// Reads a whole store that no other process uses.
///
/// # Errors
/// Another process uses it, or the medium failed. Damage is no error here.
pub fn dump(path: &Path, wall: Wall) -> Result<Dumped, OpenError> {
    let (kept, mut findings) = read(path)?;
    let mut retained = Vec::new();
    findings.damaged.extend(kept.retained(&wall, |message| retained.push(message)));
    let (bytes, bytes_live) = (kept.segments.len_bytes(), kept.image.live.total_bytes());
    let limits = QueueLimits::default();
    let mut rebuilding = Rebuilding { kept: &kept, wall, limits, later: None, unreadable: Vec::new() };
    let sessions = rebuilding.sessions();
    findings.damaged.extend(rebuilding.unreadable);
    Ok(Dumped { sessions, retained, findings, bytes, bytes_live })
}

/// Reads a whole store and says what is wrong with it.
///
/// # Errors
/// Those of [`dump`].
pub fn verify(path: &Path, wall: Wall) -> Result<Findings, OpenError> {
    dump(path, wall).map(|dumped| dumped.findings)
}

/// Reads a directory that is there and that no other process uses.
pub(crate) fn read(path: &Path) -> Result<(Kept, Findings), OpenError> {
    let medium: Arc<dyn Medium> = Arc::new(Directory::open_to_read(path)?);
    recovery::read(medium, WriteSettings::default().segment_bytes_max, |_| {})
}
