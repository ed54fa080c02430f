use core::fmt;

use crate::PacketType;

/// Where a property block stands: in a packet, or in the will that a CONNECT carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the standard's own packet name, and the standard defines it")]
pub enum PropertyPlace {
    Will = 0,
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Disconnect = 14,
    Auth = 15,
}

impl PropertyPlace {
    /// Every place, the will first and then the packets in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Will,
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The packet's own block, or `None` for PINGREQ and PINGRESP, which have none.
    #[must_use]
    pub const fn of_packet(packet: PacketType) -> Option<Self> {
        Some(match packet {
            PacketType::Connect => Self::Connect,
            PacketType::Connack => Self::Connack,
            PacketType::Publish => Self::Publish,
            PacketType::Puback => Self::Puback,
            PacketType::Pubrec => Self::Pubrec,
            PacketType::Pubrel => Self::Pubrel,
            PacketType::Pubcomp => Self::Pubcomp,
            PacketType::Subscribe => Self::Subscribe,
            PacketType::Suback => Self::Suback,
            PacketType::Unsubscribe => Self::Unsubscribe,
            PacketType::Unsuback => Self::Unsuback,
            PacketType::Disconnect => Self::Disconnect,
            PacketType::Auth => Self::Auth,
            PacketType::Pingreq | PacketType::Pingresp => return None,
        })
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The shape of a value on the wire (MQTT 5 section 1.5), with the rule that its number obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyType {
    /// One byte that is 0 or 1.
    Flag,
    /// Two byte integer, most significant byte first.
    TwoByteInteger,
    /// Two byte integer that must not be 0.
    TwoByteNonZero,
    /// Four byte integer, most significant byte first.
    FourByteInteger,
    /// Four byte integer that must not be 0.
    FourByteNonZero,
    /// Variable byte integer from 1 to 268,435,455.
    VariableByteNonZero,
    /// UTF-8 string after a two byte length.
    Utf8String,
    /// Bytes after a two byte length.
    BinaryData,
    /// Two UTF-8 strings: name and value.
    Utf8StringPair,
}

/// One line of [`PropertyId::TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct PropertyRow {
    /// The property that the row describes.
    pub id: PropertyId,
    /// The standard's wording.
    pub name: &'static str,
    /// How the value is written and which numbers it may have.
    pub value: PropertyType,
    /// The section of MQTT 5 that defines the property.
    pub section: &'static str,
    allowed: u16,
    repeats: u16,
}

impl PropertyRow {
    /// Whether the property may stand in such a block.
    #[must_use]
    #[inline]
    pub const fn allowed_in(&self, place: PropertyPlace) -> bool {
        self.allowed & place.bit() != 0
    }

    /// Whether one such block may hold the property more than once.
    #[must_use]
    #[inline]
    pub const fn repeats_in(&self, place: PropertyPlace) -> bool {
        self.repeats & place.bit() != 0
    }
}

/// Writes the enum of identifiers and the table from one list of rows.
macro_rules! property_table {
    (@repeats) => { 0 };
    (@repeats $($place:ident)+) => { 0 $(| PropertyPlace::$place.bit())+ };
    ($($number:literal $id:ident $name:literal $value:ident [$($place:ident)*] $section:literal $(repeats [$($again:ident)*])?)*) => {
        /// The number that introduces a property (MQTT 5 section 2.2.2.2). All fit one byte.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $(
                #[doc = concat!("`", stringify!($number), "` ", $name, " (section ", $section, ").")]
                $id = $number,
            )*
        }

        impl PropertyId {
            /// All that the standard says of each property in a table: name, value, places, repetition.
            pub const TABLE: &'static [PropertyRow] = &[$(
                PropertyRow {
                    id: Self::$id,
                    name: $name,
                    value: PropertyType::$value,
                    section: $section,
                    allowed: 0 $(| PropertyPlace::$place.bit())*,
                    repeats: property_table!(@repeats $($($again)*)?),
                },
            )*];
        }
    };
}

property_table! {
    0x01 PayloadFormatIndicator "payload format indicator" Flag [Publish Will] "3.3.2.3.2"
    0x02 MessageExpiryInterval "message expiry interval" FourByteInteger [Publish Will] "3.3.2.3.3"
    0x03 ContentType "content type" Utf8String [Publish Will] "3.3.2.3.9"
    0x08 ResponseTopic "response topic" Utf8String [Publish Will] "3.3.2.3.5"
    0x09 CorrelationData "correlation data" BinaryData [Publish Will] "3.3.2.3.6"
    0x0B SubscriptionIdentifier "subscription identifier" VariableByteNonZero [Publish Subscribe] "3.8.2.1.2" repeats [Publish]
    0x11 SessionExpiryInterval "session expiry interval" FourByteInteger [Connect Connack Disconnect] "3.1.2.11.2"
    0x12 AssignedClientIdentifier "assigned client identifier" Utf8String [Connack] "3.2.2.3.7"
    0x13 ServerKeepAlive "server keep alive" TwoByteInteger [Connack] "3.2.2.3.14"
    0x15 AuthenticationMethod "authentication method" Utf8String [Connect Connack Auth] "3.1.2.11.9"
    0x16 AuthenticationData "authentication data" BinaryData [Connect Connack Auth] "3.1.2.11.10"
    0x17 RequestProblemInformation "request problem information" Flag [Connect] "3.1.2.11.7"
    0x18 WillDelayInterval "will delay interval" FourByteInteger [Will] "3.1.3.2.2"
    0x19 RequestResponseInformation "request response information" Flag [Connect] "3.1.2.11.6"
    0x1A ResponseInformation "response information" Utf8String [Connack] "3.2.2.3.15"
    0x1C ServerReference "server reference" Utf8String [Connack Disconnect] "3.2.2.3.16"
    0x1F ReasonString "reason string" Utf8String [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth] "3.2.2.3.9"
    0x21 ReceiveMaximum "receive maximum" TwoByteNonZero [Connect Connack] "3.1.2.11.3"
    0x22 TopicAliasMaximum "topic alias maximum" TwoByteInteger [Connect Connack] "3.1.2.11.5"
    0x23 TopicAlias "topic alias" TwoByteNonZero [Publish] "3.3.2.3.4"
    0x24 MaximumQoS "maximum QoS" Flag [Connack] "3.2.2.3.4"
    0x25 RetainAvailable "retain available" Flag [Connack] "3.2.2.3.5"
    0x26 UserProperty "user property" Utf8StringPair
        [Will Connect Connack Publish Puback Pubrec Pubrel Pubcomp Subscribe Suback Unsubscribe Unsuback Disconnect Auth] "3.1.2.11.8"
        repeats [Will Connect Connack Publish Puback Pubrec Pubrel Pubcomp Subscribe Suback Unsubscribe Unsuback Disconnect Auth]
    0x27 MaximumPacketSize "maximum packet size" FourByteNonZero [Connect Connack] "3.1.2.11.4"
    0x28 WildcardSubscriptionAvailable "wildcard subscription available" Flag [Connack] "3.2.2.3.11"
    0x29 SubscriptionIdentifiersAvailable "subscription identifiers available" Flag [Connack] "3.2.2.3.12"
    0x2A SharedSubscriptionAvailable "shared subscription available" Flag [Connack] "3.2.2.3.13"
}

/// For each number below the highest identifier its row in the table, or [`NO_ROW`].
static ROW_OF_NUMBER: [u8; 0x2B] = {
    let mut rows = [NO_ROW; 0x2B];
    let mut row = 0;
    while row < PropertyId::TABLE.len() {
        rows[PropertyId::TABLE[row].id as usize] = row as u8;
        row += 1;
    }
    rows
};

const NO_ROW: u8 = u8::MAX;

impl PropertyId {
    /// The property with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        row_of_number(number).map(|row| row.id)
    }

    /// What the table says of this property.
    #[must_use]
    #[inline]
    pub fn row(self) -> &'static PropertyRow {
        row_of_number(self as u8).expect("the index is built from the table that also makes the enum")
    }

    /// The standard's wording, such as "session expiry interval".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

#[inline]
pub(crate) fn row_of_number(number: u8) -> Option<&'static PropertyRow> {
    let row = *ROW_OF_NUMBER.get(usize::from(number))?;
    PropertyId::TABLE.get(usize::from(row))
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
