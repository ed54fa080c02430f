//! The data types of MQTT 5 section 1.5, read with nom and written through [`Sink`].

use bytes::BufMut;
use nom::bytes::complete::take;
use nom::combinator::map_res;
use nom::error::{ErrorKind, FromExternalError, ParseError};
use nom::number::complete::be_u16;
use nom::{IResult, Parser};

use crate::PacketId;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};

/// The largest variable byte integer, and so the largest remaining length (MQTT 5 section 1.5.5).
pub(crate) const VARIABLE_INTEGER_MAX: u32 = 268_435_455;

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, DecodeError>;

/// The parsers of nom themselves fail only for want of bytes; every other error is made by ours.
impl ParseError<&[u8]> for DecodeError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        DecodeErrorKind::Truncated.into()
    }

    fn append(_: &[u8], _: ErrorKind, earlier: Self) -> Self {
        earlier
    }
}

impl FromExternalError<&[u8], DecodeError> for DecodeError {
    fn from_external_error(_: &[u8], _: ErrorKind, error: DecodeError) -> Self {
        error
    }
}

impl From<nom::Err<DecodeError>> for DecodeError {
    fn from(error: nom::Err<DecodeError>) -> Self {
        match error {
            nom::Err::Error(error) | nom::Err::Failure(error) => error,
            nom::Err::Incomplete(_) => DecodeErrorKind::Truncated.into(),
        }
    }
}

/// A parser's way to say no.
pub(crate) fn fail<T>(error: impl Into<DecodeError>) -> Result<T, nom::Err<DecodeError>> {
    Err(nom::Err::Failure(error.into()))
}

/// Binary data: a two byte length and as many bytes (MQTT 5 section 1.5.6).
#[inline]
pub(crate) fn binary(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = be_u16(input)?;
    take(len)(input)
}

/// A UTF-8 encoded string (MQTT 5 section 1.5.4).
#[inline]
pub(crate) fn string(input: &[u8]) -> Parsed<'_, &str> {
    map_res(binary, text).parse(input)
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = core::str::from_utf8(bytes).map_err(|_| DecodeErrorKind::InvalidUtf8)?; // [MQTT-1.5.4-1]
    if contains_nul(bytes) {
        return Err(DecodeErrorKind::StringContainsNul.into()); // [MQTT-1.5.4-2]
    }
    Ok(text)
}

/// Whether one of the bytes is zero. Eight are looked at together, the last eight whether or not some were seen before;
/// nearly all topics are too short for the search of the standard library to pay.
#[inline]
fn contains_nul(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        Some(&last) => {
            word_contains_nul(last) || bytes.as_chunks().0.iter().any(|&word| word_contains_nul(word))
        }
        None => bytes.contains(&0),
    }
}

/// Subtracting one from each byte borrows into the high bit of exactly those that are zero, or of some above a zero.
#[inline]
fn word_contains_nul(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(word);
    word.wrapping_sub(ONES) & !word & HIGH_BITS != 0
}

/// A packet identifier, which is never zero.
#[inline]
pub(crate) fn packet_id(input: &[u8]) -> Parsed<'_, PacketId> {
    map_res(be_u16, |id| PacketId::new(id).ok_or(DecodeError::new(DecodeErrorKind::PacketIdZero)))
        .parse(input) // [MQTT-2.2.1-3]
}

/// A variable byte integer (MQTT 5 section 1.5.5).
#[inline]
pub(crate) fn variable_integer(input: &[u8]) -> Parsed<'_, u32> {
    match variable_integer_prefix(input) {
        Ok(Some((value, len))) => Ok((&input[len..], value)),
        Ok(None) => fail(DecodeErrorKind::Truncated),
        Err(kind) => fail(kind),
    }
}

/// The variable byte integer at the start of `input` with the number of its bytes, or `None` when it goes on after the end.
#[inline]
pub(crate) fn variable_integer_prefix(input: &[u8]) -> Result<Option<(u32, usize)>, DecodeErrorKind> {
    match input.first() {
        Some(&only) if only < 0x80 => Ok(Some((u32::from(only), 1))),
        _ => long_variable_integer(input),
    }
}

fn long_variable_integer(input: &[u8]) -> Result<Option<(u32, usize)>, DecodeErrorKind> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let minimal = byte != 0 || index == 0; // [MQTT-1.5.5-1]
            return if minimal {
                Ok(Some((value, index + 1)))
            } else {
                Err(DecodeErrorKind::NonMinimalInteger)
            };
        }
    }
    if input.len() >= 4 { Err(DecodeErrorKind::OverlongInteger) } else { Ok(None) }
}

/// Bytes that a variable byte integer takes; `value` is at most [`VARIABLE_INTEGER_MAX`].
#[inline]
pub(crate) const fn variable_integer_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Where an encoder puts its fields. The same encoder runs twice: once into [`Measure`], which only counts and checks, and
/// once into [`Writer`], so that the announced length cannot differ from what is written.
pub(crate) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    #[inline]
    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    fn binary(&mut self, value: &[u8]) {
        self.u16(value.len() as u16);
        self.bytes(value);
    }

    #[inline]
    fn string(&mut self, value: &str) {
        self.binary(value.as_bytes());
    }

    #[inline]
    fn variable_integer(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.u8(rest as u8);
    }
}

/// Counts the bytes and remembers the first field that cannot be written.
#[derive(Default)]
pub(crate) struct Measure {
    len: usize,
    fault: Option<EncodeError>,
}

impl Measure {
    /// The number of bytes, or what is wrong with them.
    #[inline]
    pub(crate) fn finish(self) -> Result<u32, EncodeError> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.len > VARIABLE_INTEGER_MAX as usize => Err(EncodeError::PacketTooLarge),
            None => Ok(self.len as u32),
        }
    }

    #[cold]
    fn refuse(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }
}

impl Sink for Measure {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
    }

    #[inline]
    fn binary(&mut self, value: &[u8]) {
        if value.len() > usize::from(u16::MAX) {
            self.refuse(EncodeError::FieldTooLong);
        }
        self.len += 2 + value.len();
    }

    #[inline]
    fn string(&mut self, value: &str) {
        if contains_nul(value.as_bytes()) {
            self.refuse(EncodeError::StringContainsNul);
        }
        self.binary(value.as_bytes());
    }

    #[inline]
    fn variable_integer(&mut self, value: u32) {
        self.len += variable_integer_len(value as usize);
    }
}

/// Writes to the caller's buffer, whose room has been checked. Small fields are gathered, because each append to a growable
/// buffer costs more than such a field.
pub(crate) struct Writer<'b, B> {
    out: &'b mut B,
    gathered: [u8; GATHERED_BYTES_MAX],
    len: usize,
}

/// Enough for the fixed header, a topic name of common length and an empty property block.
const GATHERED_BYTES_MAX: usize = 64;

impl<'b, B: BufMut> Writer<'b, B> {
    /// Runs an encoder on `out` and sees to it that nothing stays behind.
    #[inline]
    pub(crate) fn write_to(out: &'b mut B, encoder: impl FnOnce(&mut Self)) {
        let mut writer = Self { out, gathered: [0; GATHERED_BYTES_MAX], len: 0 };
        encoder(&mut writer);
        writer.flush();
    }

    #[inline]
    fn flush(&mut self) {
        self.out.put_slice(&self.gathered[..self.len]);
        self.len = 0;
    }
}

impl<B: BufMut> Sink for Writer<'_, B> {
    // Most fields have a length that is known where they are written.
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(free) = self.gathered[self.len..].get_mut(..bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            self.flush();
            self.out.put_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GATHERED_BYTES_MAX, Sink, Writer, contains_nul};

    /// `[MQTT-1.5.4-2]`
    #[test]
    fn a_zero_is_found_at_every_place_and_nothing_else_is_one() {
        for len in 0..40 {
            for filler in [0x01, 0x7F, 0x80, 0x81, 0xFF] {
                let mut bytes = vec![filler; len];
                assert!(!contains_nul(&bytes), "{len} times {filler:#04x}");
                for place in 0..len {
                    bytes[place] = 0;
                    assert!(contains_nul(&bytes), "{bytes:x?}");
                    bytes[place] = filler;
                }
            }
        }
    }

    #[test]
    fn fields_of_every_length_are_written_in_order() {
        for len in 0..2 * GATHERED_BYTES_MAX {
            let field: Vec<u8> = (0..len as u8).collect();
            let mut out = Vec::new();
            Writer::write_to(&mut out, |writer| {
                writer.u8(0xAA);
                writer.bytes(&field);
                writer.u32(0x0102_0304);
                writer.bytes(&field);
            });
            assert_eq!(out, [&[0xAA], &field[..], &[1, 2, 3, 4], &field[..]].concat());
        }
    }
}
