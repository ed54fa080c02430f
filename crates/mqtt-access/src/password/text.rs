//! Base64, as hashes use it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn base64_unpadded(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// With or without padding.
pub(crate) fn from_base64(text: &str) -> Option<Box<[u8]>> {
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).ok().map(Vec::into_boxed_slice)
}
