//! Packets of clients that have not been admitted yet.

use std::future::poll_fn;
use std::ops::{ControlFlow, Deref};

use mqtt_transport::ReadError;

use super::Link;
use crate::core::Core;
use crate::gate::EarlyBytes;

/// A packet of a client that has not been admitted yet. It counts in `limits.handshake_bytes_max` as long as it lives,
/// together with what its client has sent behind it.
pub(super) struct EarlyFrame {
    bytes: Vec<u8>,
    _room: EarlyBytes,
}

/// Why there is none.
pub(super) enum Unheard {
    /// It could not be read.
    Broken(ReadError),
    /// All who have not been admitted yet hold as many bytes as they may. It is counted.
    NoRoom,
}

impl Link {
    /// Waits for one frame of a client that has not been admitted yet.
    pub(super) async fn next_frame(&mut self, core: &Core) -> Result<EarlyFrame, Unheard> {
        let Self { stream, reader, .. } = self;
        let mut room = core.gate.early_bytes();
        let mut hold = |bytes| {
            let held = room.hold(bytes, core.settings.limits.handshake_bytes_max);
            held.map_err(|refusal| {
                core.metrics.count_entry(refusal);
                Unheard::NoRoom
            })
        };
        let held = reader.buffered();
        let mut bytes = Vec::new();
        let mut take = |frame: &[u8]| {
            bytes.extend_from_slice(frame);
            ControlFlow::Break(())
        };
        while poll_fn(|cx| reader.poll_burst(cx, stream, &mut take)).await?.frames == 0 {
            hold(reader.buffered())?;
        }
        // More may have come along than this frame.
        let here = bytes.len() + reader.buffered();
        hold(here)?;
        core.metrics.bytes_received.add((here - held) as u64);
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
