//! What both directions of the framing share (RFC 6455, section 5).

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Its frames are not masked, those it receives are.
    Broker,
    /// The other way round.
    Client,
}

/// Why a connection is closed (RFC 6455, section 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCode {
    Normal = 1000,
    Protocol = 1002,
    Unsupported = 1003,
    TooLarge = 1009,
}

pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;

/// XORs with the mask, which begins at its byte `phase`.
pub(super) fn mask_with(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let turned: [u8; 8] = std::array::from_fn(|index| mask[(phase + index) % 4]);
    let wide = u64::from_ne_bytes(turned);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned) {
        *byte ^= mask;
    }
}
