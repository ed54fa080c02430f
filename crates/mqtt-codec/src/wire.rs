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
    if text.as_bytes().contains(&0) {
        return Err(DecodeErrorKind::StringContainsNul.into()); // [MQTT-1.5.4-2]
    }
    Ok(text)
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
        if value.as_bytes().contains(&0) {
            self.refuse(EncodeError::StringContainsNul);
        }
        self.binary(value.as_bytes());
    }

    #[inline]
    fn variable_integer(&mut self, value: u32) {
        self.len += variable_integer_len(value as usize);
    }
}

/// Writes to the caller's buffer, whose room has been checked.
pub(crate) struct Writer<'b, B>(pub(crate) &'b mut B);

impl<B: BufMut> Sink for Writer<'_, B> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}
