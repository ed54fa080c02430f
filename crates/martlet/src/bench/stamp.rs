//! What every payload starts with, so that the receiver can tell who sent it, which one it is and when it left.

use std::time::Instant;

/// Bytes that a stamp takes: the smallest payload that can be checked.
pub(super) const STAMP_BYTES: usize = 16;

/// Where in a stamp the sequence number begins; number and time are what changes from message to message.
pub(super) const SEQUENCE_AT: usize = 4;

/// The first bytes of a payload, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Number of the publisher within its run.
    pub(super) publisher: u32,
    /// Counts the messages of one publisher from 0 and wraps.
    pub(super) sequence: u32,
    /// When the message left, on the [`Clock`] of the run.
    pub(super) sent_ns: u64,
}

impl Stamp {
    /// Reads the stamp of a payload; a shorter payload has none.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let sent_ns = rest.first_chunk()?;
        Some(Self {
            publisher: u32::from_le_bytes(*publisher),
            sequence: u32::from_le_bytes(*sequence),
            sent_ns: u64::from_le_bytes(*sent_ns),
        })
    }

    /// The bytes that [`Stamp::read`] reads.
    pub(super) fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..SEQUENCE_AT].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[SEQUENCE_AT..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sent_ns.to_le_bytes());
        bytes
    }
}

/// The clock that both ends of a measurement share, since both are in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock that shows 0 now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(super) fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { publisher: 7, sequence: u32::MAX, sent_ns: 1 << 60 };
        let mut payload = stamp.to_bytes().to_vec();
        payload.extend(b"the rest");
        assert_eq!(Stamp::read(&payload), Some(stamp));
    }

    #[test]
    fn a_short_payload_has_no_stamp() {
        assert_eq!(Stamp::read(&[0; STAMP_BYTES - 1]), None);
    }
}
