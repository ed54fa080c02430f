use core::fmt;

use super::value::Value;
use super::{Properties, Property, PropertyId};
use crate::QoS;
use crate::error::EncodeError;
use crate::wire::{Measure, Sink, VARIABLE_INTEGER_MAX, Writer};

/// A property block under construction.
///
/// Each value is checked when it is pushed; whether the packet may carry the property is checked when it is encoded.
///
/// ```
/// use mqtt_codec::{PropertiesBuf, Property};
///
/// let mut properties = PropertiesBuf::new();
/// properties.push(&Property::ContentType("text/plain"))?;
/// properties.push(&Property::UserProperty("unit", "K"))?;
/// assert_eq!(properties.as_properties().content_type(), Some("text/plain"));
/// # Ok::<(), mqtt_codec::EncodeError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PropertiesBuf {
    block: Vec<u8>,
}

impl PropertiesBuf {
    /// An empty block, which has not allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: Vec::new() }
    }

    /// Appends one property.
    ///
    /// # Errors
    /// The value does not fit: a text over 65,535 bytes or with U+0000, a subscription identifier outside 1 to 268,435,455,
    /// QoS 2 as the maximum QoS. The block is unchanged then.
    pub fn push(&mut self, property: &Property<'_>) -> Result<(), EncodeError> {
        check_range(property)?;
        let mut measure = Measure::default();
        write_property(property, &mut measure);
        self.block.reserve(measure.finish()? as usize);
        Writer::write_to(&mut self.block, |writer| write_property(property, writer));
        Ok(())
    }

    /// Appends all of another block, in its order.
    pub fn extend_from(&mut self, properties: Properties<'_>) {
        self.block.extend_from_slice(properties.as_bytes());
    }

    /// Appends, in their order, the properties of another block whose identifier `keep` accepts.
    pub fn extend_where(&mut self, properties: Properties<'_>, mut keep: impl FnMut(PropertyId) -> bool) {
        let mut all = properties.iter();
        while let Some((property, bytes)) = all.next_with_bytes() {
            if keep(property.id()) {
                self.block.extend_from_slice(bytes);
            }
        }
    }

    /// The block as packets borrow it.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::from_validated(&self.block)
    }

    /// The bytes of the block, to keep where a [`PropertiesBuf`] is too large.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.block
    }

    /// Removes all properties and keeps the memory.
    pub fn clear(&mut self) {
        self.block.clear();
    }

    /// Whether the block holds no property.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Bytes of the block on the wire, without the length before them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.block.len()
    }
}

impl fmt::Debug for PropertiesBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_properties().fmt(f)
    }
}

fn check_range(property: &Property<'_>) -> Result<(), EncodeError> {
    match *property {
        Property::SubscriptionIdentifier(number) if number == 0 || number > VARIABLE_INTEGER_MAX => {
            Err(EncodeError::PropertyValue(property.id()))
        }
        Property::MaximumQoS(QoS::ExactlyOnce) => Err(EncodeError::PropertyValue(property.id())),
        _ => Ok(()),
    }
}

fn write_property<S: Sink>(property: &Property<'_>, sink: &mut S) {
    let (id, value) = property.parts();
    sink.u8(id as u8);
    match value {
        Value::Flag(flag) => sink.u8(u8::from(flag)),
        Value::U16(number) => sink.u16(number),
        Value::U32(number) => sink.u32(number),
        Value::Variable(number) => sink.variable_integer(number),
        Value::Text(text) => sink.string(text),
        Value::Binary(bytes) => sink.binary(bytes),
        Value::Pair(name, value) => {
            sink.string(name);
            sink.string(value);
        }
    }
}
