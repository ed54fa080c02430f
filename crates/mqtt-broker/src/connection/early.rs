//! Packets of clients that have not been admitted yet.

use std::future::poll_fn;
use std::ops::{ControlFlow, Deref};

use mqtt_transport::ReadError;

use super::Link;
use crate::core::Core;
use crate::gate::EarlyBytes;
use crate::refusals::EntryRefusal;

/// A packet of a client that has not been admitted yet. It counts in `limits.handshake_bytes_max` as long as it lives.
pub(super) struct EarlyFrame {
    bytes: Vec<u8>,
    _room: EarlyBytes,
}

/// Why there is none.
pub(super) enum Unheard {
    /// It could not be read.
    Broken(ReadError),
    /// All who have not been admitted yet hold as many bytes as they may.
    NoRoom,
}

impl Link {
    /// Waits for one frame of a client that has not been admitted yet.
    pub(super) async fn next_frame(&mut self, core: &Core) -> Result<EarlyFrame, Unheard> {
        let Self { stream, reader, .. } = self;
        let mut room = core.gate.early_bytes();
        let bytes_max = core.settings.limits.handshake_bytes_max;
        let held = reader.buffered();
        let mut bytes = Vec::new();
        let mut take = |frame: &[u8]| {
            bytes.extend_from_slice(frame);
            ControlFlow::Break(())
        };
        while poll_fn(|cx| reader.poll_burst(cx, stream, &mut take)).await?.frames == 0 {
            room.hold(reader.buffered(), bytes_max)?;
        }
        room.hold(bytes.len(), bytes_max)?;
        // More may have come along than this frame.
        let arrived = bytes.len() + reader.buffered() - held;
        core.metrics.bytes_received.add(arrived as u64);
        core.metrics.packets_received.add(1);
        Ok(EarlyFrame { bytes, _room: room })
    }
}

impl Deref for EarlyFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<ReadError> for Unheard {
    fn from(error: ReadError) -> Self {
        Self::Broken(error)
    }
}

impl From<EntryRefusal> for Unheard {
    fn from(_: EntryRefusal) -> Self {
        Self::NoRoom
    }
}
