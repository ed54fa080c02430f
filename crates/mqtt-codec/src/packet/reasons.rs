use core::fmt;
use core::iter::FusedIterator;

use super::checked_reason;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketType, ReasonCode, Version};

/// The answers of a SUBACK or UNSUBACK, one for each filter of the request and in the same order; checked when they came in
/// and kept as their bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ReasonCodes<'a> {
    codes: &'a [u8],
}

/// Reads all reason codes of a SUBACK or UNSUBACK: everything up to the end of the packet.
pub(super) fn reason_codes(
    packet: PacketType,
    version: Version,
    input: &[u8],
) -> Parsed<'_, ReasonCodes<'_>> {
    if input.is_empty() {
        return wire::fail(DecodeError::in_packet(DecodeErrorKind::NoReasonCodes, packet));
    }
    for &number in input {
        let reason = checked_reason(packet, number)?;
        let in_version =
            version.has_reason_codes() || !reason.is_error() || reason == ReasonCode::UnspecifiedError;
        if !in_version {
            return wire::fail(DecodeError::in_packet(DecodeErrorKind::ReasonCodeNotAllowed, packet)); // [MQTT3-3.9.3-2]
        }
    }
    Ok((&[], ReasonCodes { codes: input }))
}

impl<'a> ReasonCodes<'a> {
    /// No answers, as in every UNSUBACK before MQTT 5.
    pub const EMPTY: ReasonCodes<'static> = ReasonCodes { codes: &[] };

    /// The answers in the order of the packet.
    #[must_use]
    pub fn iter(&self) -> ReasonCodesIter<'a> {
        ReasonCodesIter { codes: self.codes.iter() }
    }

    /// Number of answers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no answer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    pub(super) fn check(&self, packet: PacketType) -> Result<(), EncodeError> {
        if self.is_empty() {
            return Err(EncodeError::NothingListed);
        }
        match self.iter().find(|reason| !reason.allowed_in(packet)) {
            Some(reason) => Err(EncodeError::ReasonCode(reason)),
            None => Ok(()),
        }
    }

    /// Writes the codes as `version` knows them: before MQTT 5 every failure is 0x80.
    pub(super) fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        if version.has_reason_codes() {
            return sink.bytes(self.codes);
        }
        for reason in *self {
            sink.u8(if reason.is_error() { ReasonCode::UnspecifiedError as u8 } else { reason as u8 }); // [MQTT3-3.9.3-2]
        }
    }
}

impl<'a> IntoIterator for ReasonCodes<'a> {
    type Item = ReasonCode;
    type IntoIter = ReasonCodesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Made by [`ReasonCodes::iter`].
#[derive(Clone, Debug)]
pub struct ReasonCodesIter<'a> {
    codes: core::slice::Iter<'a, u8>,
}

impl Iterator for ReasonCodesIter<'_> {
    type Item = ReasonCode;

    fn next(&mut self) -> Option<Self::Item> {
        ReasonCode::from_number(*self.codes.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.codes.size_hint()
    }
}

impl ExactSizeIterator for ReasonCodesIter<'_> {}
impl FusedIterator for ReasonCodesIter<'_> {}

/// The answers of a SUBACK or UNSUBACK under construction.
///
/// ```
/// use mqtt_codec::{ReasonCode, ReasonCodesBuf};
///
/// let answers: ReasonCodesBuf = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized].into_iter().collect();
/// assert_eq!(answers.as_reasons().iter().filter(|reason| reason.is_error()).count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReasonCodesBuf {
    codes: Vec<u8>,
}

impl ReasonCodesBuf {
    /// An empty list, which has not allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { codes: Vec::new() }
    }

    /// Appends one answer. Whether the packet may carry it is checked when it is encoded.
    pub fn push(&mut self, reason: ReasonCode) {
        self.codes.push(reason as u8);
    }

    /// The list as a packet borrows it.
    #[must_use]
    pub fn as_reasons(&self) -> ReasonCodes<'_> {
        ReasonCodes { codes: &self.codes }
    }
}

impl FromIterator<ReasonCode> for ReasonCodesBuf {
    fn from_iter<I: IntoIterator<Item = ReasonCode>>(reasons: I) -> Self {
        Self { codes: reasons.into_iter().map(|reason| reason as u8).collect() }
    }
}
