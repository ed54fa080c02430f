use core::fmt;
use core::iter::FusedIterator;

use nom::Parser;
use nom::combinator::map_res;
use nom::number::complete::u8 as byte;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{self, Measure, Parsed, Sink, Writer};
use crate::{PacketType, QoS, Version};

/// When retained messages are sent for a subscription (MQTT 5 section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    SendAtSubscribe = 0,
    /// Only when the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// What SUBSCRIBE asks for beside the filter (MQTT 5 section 3.8.3.1). The default is QoS 0 and all that a subscription before
/// MQTT 5 implies; encoding for such a version keeps the QoS only.
///
/// ```
/// use mqtt_codec::{QoS, RetainHandling, SubscriptionOptions};
///
/// let own_messages_left_out = SubscriptionOptions { no_local: true, ..SubscriptionOptions::at(QoS::AtLeastOnce) };
/// assert_eq!(own_messages_left_out.retain_handling, RetainHandling::SendAtSubscribe);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// Highest level that deliveries for this subscription have.
    pub qos: QoS,
    /// Whether the subscriber's own publications are left out.
    pub no_local: bool,
    /// Whether deliveries keep the RETAIN flag of the publication.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// These options with the defaults of the standard for all but the level.
    #[must_use]
    pub const fn at(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    const fn bits(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    fn from_bits(bits: u8, version: Version) -> Result<Self, DecodeErrorKind> {
        let qos = QoS::from_bits(bits & 0b11).ok_or(DecodeErrorKind::SubscriptionQoS3)?;
        if !version.has_subscription_options() {
            let reserved = bits & 0b1111_1100 != 0 && version.checks_reserved_bits();
            return if reserved { Err(DecodeErrorKind::SubscriptionReservedBits) } else { Ok(Self::at(qos)) };
        }
        if bits & 0b1100_0000 != 0 {
            return Err(DecodeErrorKind::SubscriptionReservedBits); // [MQTT-3.8.3-5]
        }
        let retain_handling = match bits >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeErrorKind::RetainHandling3),
        };
        Ok(Self {
            qos,
            no_local: bits & 1 << 2 != 0,
            retain_as_published: bits & 1 << 3 != 0,
            retain_handling,
        })
    }
}

/// One entry of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscribeFilter<'a> {
    /// Topic filter; its syntax has not been checked yet.
    pub filter: &'a str,
    /// How to deliver what matches.
    pub options: SubscriptionOptions,
}

/// The entries of a SUBSCRIBE, checked when they came in and kept as their bytes.
#[derive(Clone, Copy)]
pub struct SubscribeFilters<'a> {
    block: &'a [u8],
    count: usize,
    /// Whose rules the option bytes follow.
    version: Version,
}

/// The filters of an UNSUBSCRIBE, checked when they came in and kept as their bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    block: &'a [u8],
    count: usize,
}

fn entry(version: Version, input: &[u8]) -> Parsed<'_, SubscribeFilter<'_>> {
    let options =
        map_res(byte, |bits| SubscriptionOptions::from_bits(bits, version).map_err(DecodeError::new));
    let (input, (filter, options)) = (wire::string, options).parse(input)?;
    Ok((input, SubscribeFilter { filter, options }))
}

/// Counts what `item` reads until the input ends.
fn count_items<'a, T>(
    mut input: &'a [u8],
    item: impl Fn(&'a [u8]) -> Parsed<'a, T>,
) -> Result<usize, nom::Err<DecodeError>> {
    let mut count = 0;
    while !input.is_empty() {
        input = item(input)?.0;
        count += 1;
    }
    Ok(count)
}

/// Reads all entries of a SUBSCRIBE: everything up to the end of the packet.
pub(super) fn subscribe_filters(version: Version, input: &[u8]) -> Parsed<'_, SubscribeFilters<'_>> {
    let count = count_items(input, |input| entry(version, input))?;
    if count == 0 {
        return wire::fail(DecodeError::in_packet(DecodeErrorKind::NoTopicFilters, PacketType::Subscribe)); // [MQTT-3.8.3-2]
    }
    Ok((&[], SubscribeFilters { block: input, count, version }))
}

/// Reads all filters of an UNSUBSCRIBE: everything up to the end of the packet.
pub(super) fn unsubscribe_filters(input: &[u8]) -> Parsed<'_, UnsubscribeFilters<'_>> {
    let count = count_items(input, wire::string)?;
    if count == 0 {
        return wire::fail(DecodeError::in_packet(DecodeErrorKind::NoTopicFilters, PacketType::Unsubscribe)); // [MQTT-3.10.3-2]
    }
    Ok((&[], UnsubscribeFilters { block: input, count }))
}

impl<'a> SubscribeFilters<'a> {
    /// The entries in the order of the packet.
    #[must_use]
    pub const fn iter(&self) -> SubscribeFiltersIter<'a> {
        SubscribeFiltersIter { rest: self.block, left: self.count, version: self.version }
    }

    /// Number of entries, never 0 in a decoded packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry, which no packet may have.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes the entries as `version` knows them.
    pub(super) fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.version == version {
            return sink.bytes(self.block);
        }
        for SubscribeFilter { filter, options } in *self {
            sink.string(filter);
            sink.u8(if version.has_subscription_options() { options.bits() } else { options.qos as u8 });
        }
    }
}

impl<'a> UnsubscribeFilters<'a> {
    /// The filters in the order of the packet; their syntax has not been checked yet.
    #[must_use]
    pub const fn iter(&self) -> UnsubscribeFiltersIter<'a> {
        UnsubscribeFiltersIter { rest: self.block, left: self.count }
    }

    /// Number of filters, never 0 in a decoded packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no filter, which no packet may have.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) const fn as_bytes(&self) -> &'a [u8] {
        self.block
    }
}

/// Made by [`SubscribeFilters::iter`].
#[derive(Clone, Debug)]
pub struct SubscribeFiltersIter<'a> {
    rest: &'a [u8],
    left: usize,
    version: Version,
}

impl<'a> Iterator for SubscribeFiltersIter<'a> {
    type Item = SubscribeFilter<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, item) = entry(self.version, self.rest).ok()?;
        self.rest = rest;
        self.left -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SubscribeFiltersIter<'_> {}
impl FusedIterator for SubscribeFiltersIter<'_> {}

/// Made by [`UnsubscribeFilters::iter`].
#[derive(Clone, Debug)]
pub struct UnsubscribeFiltersIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for UnsubscribeFiltersIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, item) = wire::string(self.rest).ok()?;
        self.rest = rest;
        self.left -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for UnsubscribeFiltersIter<'_> {}
impl FusedIterator for UnsubscribeFiltersIter<'_> {}

/// Equal when the entries are, whichever version they came from.
impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscribeFilters<'_> {}

impl<'a> IntoIterator for SubscribeFilters<'a> {
    type Item = SubscribeFilter<'a>;
    type IntoIter = SubscribeFiltersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for UnsubscribeFilters<'a> {
    type Item = &'a str;
    type IntoIter = UnsubscribeFiltersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The entries of a SUBSCRIBE under construction.
///
/// ```
/// use mqtt_codec::{QoS, SubscribeFiltersBuf, SubscriptionOptions};
///
/// let mut filters = SubscribeFiltersBuf::new();
/// filters.push("jobs/+", SubscriptionOptions::at(QoS::AtLeastOnce))?;
/// filters.push("news/#", SubscriptionOptions::at(QoS::AtMostOnce))?;
/// let texts: Vec<_> = filters.as_filters().iter().map(|one| one.filter).collect();
/// assert_eq!(texts, ["jobs/+", "news/#"]);
/// # Ok::<(), mqtt_codec::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SubscribeFiltersBuf {
    block: Vec<u8>,
    count: usize,
}

impl SubscribeFiltersBuf {
    /// An empty list, which has not allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: Vec::new(), count: 0 }
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// The filter exceeds 65,535 bytes or holds U+0000; the list is unchanged then.
    pub fn push(&mut self, filter: &str, options: SubscriptionOptions) -> Result<(), EncodeError> {
        push_string(&mut self.block, filter)?;
        self.block.push(options.bits());
        self.count += 1;
        Ok(())
    }

    /// The list as a packet borrows it.
    #[must_use]
    pub fn as_filters(&self) -> SubscribeFilters<'_> {
        SubscribeFilters { block: &self.block, count: self.count, version: Version::V5 }
    }
}

/// The filters of an UNSUBSCRIBE under construction.
///
/// ```
/// use mqtt_codec::UnsubscribeFiltersBuf;
///
/// let mut filters = UnsubscribeFiltersBuf::new();
/// filters.push("jobs/+")?;
/// assert_eq!(filters.as_filters().iter().collect::<Vec<_>>(), ["jobs/+"]);
/// # Ok::<(), mqtt_codec::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeFiltersBuf {
    block: Vec<u8>,
    count: usize,
}

impl UnsubscribeFiltersBuf {
    /// An empty list, which has not allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: Vec::new(), count: 0 }
    }

    /// Appends one filter.
    ///
    /// # Errors
    /// The filter exceeds 65,535 bytes or holds U+0000; the list is unchanged then.
    pub fn push(&mut self, filter: &str) -> Result<(), EncodeError> {
        push_string(&mut self.block, filter)?;
        self.count += 1;
        Ok(())
    }

    /// The list as a packet borrows it.
    #[must_use]
    pub fn as_filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters { block: &self.block, count: self.count }
    }
}

fn push_string(block: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    let mut measure = Measure::default();
    measure.string(text);
    measure.finish()?;
    Writer::write_to(block, |writer| writer.string(text));
    Ok(())
}
