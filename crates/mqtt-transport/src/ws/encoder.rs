//! Headers of the frames we send.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::{BINARY, CLOSE, PONG, Role, mask_with};

const FINAL: u8 = 0x80;

/// A header on its way out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Header {
    bytes: [u8; 10],
    from: u8,
    to: u8,
}

impl Header {
    /// Of an unmasked binary message.
    pub(super) fn of_binary(payload_bytes: usize) -> Self {
        let mut bytes = [0; 10];
        let to = write_header(BINARY, payload_bytes, false, &mut bytes);
        Self { bytes, from: 0, to }
    }

    /// What has not been written.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..usize::from(self.to)]
    }

    /// Takes note of written bytes; returns those that were not its own.
    pub(super) fn advance(&mut self, written: usize) -> usize {
        let own = self.rest().len().min(written);
        self.from += own as u8;
        written - own
    }
}

fn write_header(opcode: u8, payload_bytes: usize, masked: bool, out: &mut [u8; 10]) -> u8 {
    out[0] = FINAL | opcode;
    let mask = if masked { 0x80 } else { 0 };
    match payload_bytes {
        0..126 => {
            out[1] = mask | payload_bytes as u8;
            2
        }
        126..65_536 => {
            out[1] = mask | 126;
            out[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = mask | 127;
            out[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    }
}

/// Appends a whole frame: masked if it is a client's.
fn write_frame(opcode: u8, payload: &[u8], masks: Option<&mut Masks>, out: &mut Vec<u8>) {
    let mut header = [0; 10];
    let len = write_header(opcode, payload.len(), masks.is_some(), &mut header);
    out.extend_from_slice(&header[..usize::from(len)]);
    let mask = masks.map(Masks::next);
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| &mask[..]));
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask_with(&mut out[from..], mask, 0);
    }
}

/// The frames of one end.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Of a client only.
    masks: Option<Box<Masks>>,
}

impl Encoder {
    pub(super) fn new(role: Role) -> Self {
        Self { masks: (role == Role::Client).then(Box::default) }
    }

    pub(super) fn masks(&self) -> bool {
        self.masks.is_some()
    }

    pub(super) fn binary(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        write_frame(BINARY, payload, self.masks.as_deref_mut(), out);
    }

    pub(super) fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        write_frame(PONG, payload, self.masks.as_deref_mut(), out);
    }

    /// `None`: the peer gave no code, so it gets none.
    pub(super) fn close(&mut self, code: Option<u16>, out: &mut Vec<u8>) {
        let code = code.map(u16::to_be_bytes);
        let payload = code.as_ref().map_or(&[][..], |code| &code[..]);
        write_frame(CLOSE, payload, self.masks.as_deref_mut(), out);
    }
}

/// Masks that nobody can guess (RFC 6455, section 5.3): a keyed hash of a counter, its key from the system.
#[derive(Debug, Default)]
pub(super) struct Masks {
    key: RandomState,
    count: u64,
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        self.count += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.count).to_ne_bytes();
        [a, b, c, d]
    }

    /// Sixteen bytes for a handshake's key.
    pub(super) fn nonce(&mut self) -> [u8; 16] {
        std::array::from_fn(|_| self.next()[0])
    }
}
