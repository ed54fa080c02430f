use core::fmt;
use core::iter::FusedIterator;
use core::num::{NonZeroU16, NonZeroU32};

use super::value::{property_value, skip_value};
use super::{Property, PropertyId, PropertyPlace, PropertyRow, row_of_number};
use crate::QoS;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};

/// The properties of one packet as their bytes on the wire, without the length before them, checked when they came in.
///
/// Copying is free, nothing is allocated, and the order of the sender is kept, so that forwarding the block forwards exactly
/// what was received.
///
/// ```
/// use mqtt_codec::{Properties, Property, PropertyPlace};
///
/// let block = Properties::parse(&[0x23, 0x00, 0x07, 0x01, 0x01], PropertyPlace::Publish)?;
/// assert_eq!(block.topic_alias().map(u16::from), Some(7));
/// assert_eq!(block.iter().nth(1), Some(Property::PayloadFormatIndicator(true)));
/// # Ok::<(), mqtt_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Properties<'a> {
    block: &'a [u8],
}

/// Declares one reader for each property that stands at most once in a block.
macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident: $id:ident -> $type:ty;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> Option<$type> {
                match self.find(PropertyId::$id)? {
                    Property::$id(value) => Some(value),
                    _ => None,
                }
            }
        )*
    };
}

impl<'a> Properties<'a> {
    /// No properties at all, which is also what every packet before MQTT 5 has.
    pub const EMPTY: Properties<'static> = Properties { block: &[] };

    /// Checks a block against the table: known identifiers, allowed in this place, values in range, nothing repeated that
    /// may stand once.
    ///
    /// # Errors
    /// The first rule broken, in the order of the bytes.
    pub fn parse(block: &'a [u8], place: PropertyPlace) -> Result<Self, DecodeError> {
        let mut seen = Seen::default();
        let mut rest = block;
        while let Some((&number, value)) = rest.split_first() {
            let row = row_of_number(number)
                .ok_or(DecodeError::of_property(DecodeErrorKind::UnknownProperty, number))?;
            let refused = |kind| DecodeError::of_property(kind, number);
            seen.admit(row, place).map_err(refused)?;
            rest = property_value(row.id, value)?.0;
        }
        if seen.lacks_authentication_method() {
            return Err(DecodeErrorKind::AuthenticationMethodMissing.into());
        }
        Ok(Self { block })
    }

    /// Takes bytes that an earlier block returned from [`as_bytes`](Self::as_bytes), without checking them again.
    ///
    /// Other bytes do no harm here but are useless: the readers find nothing after the first flaw, and a packet with them
    /// may be refused by whoever receives it.
    #[must_use]
    pub const fn from_validated(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// Whether the block holds no property.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// The bytes of the block as they travel, without the length before them.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.block
    }

    /// All properties in the order of the sender.
    #[must_use]
    pub const fn iter(&self) -> PropertiesIter<'a> {
        PropertiesIter { rest: self.block }
    }

    /// The first property with this identifier. Others are stepped over by their length alone.
    fn find(&self, wanted: PropertyId) -> Option<Property<'a>> {
        let mut rest = self.block;
        while let Some((&number, value)) = rest.split_first() {
            if number == wanted as u8 {
                return property_value(wanted, value).ok().map(|(_, property)| property);
            }
            rest = skip_value(row_of_number(number)?.value, value)?;
        }
        None
    }

    readers! {
        /// Whether the payload is declared to be UTF-8 text (section 3.3.2.3.2).
        payload_format_is_utf8: PayloadFormatIndicator -> bool;
        /// Seconds that the message stays of interest (section 3.3.2.3.3).
        message_expiry_interval_s: MessageExpiryInterval -> u32;
        /// What the payload is, in the application's terms (section 3.3.2.3.9).
        content_type: ContentType -> &'a str;
        /// Topic name for the response; not yet checked as a topic name (section 3.3.2.3.5).
        response_topic: ResponseTopic -> &'a str;
        /// What the requester recognises the response by (section 3.3.2.3.6).
        correlation_data: CorrelationData -> &'a [u8];
        /// Seconds that the session outlives the connection; `u32::MAX` never ends (section 3.1.2.11.2).
        session_expiry_interval_s: SessionExpiryInterval -> u32;
        /// The client identifier that the server chose (section 3.2.2.3.7).
        assigned_client_identifier: AssignedClientIdentifier -> &'a str;
        /// Seconds that replace the client's keep alive; 0 turns it off (section 3.2.2.3.14).
        server_keep_alive_s: ServerKeepAlive -> u16;
        /// Name of the enhanced authentication method (section 3.1.2.11.9).
        authentication_method: AuthenticationMethod -> &'a str;
        /// Data for that method, empty or not (section 3.1.2.11.10).
        authentication_data: AuthenticationData -> &'a [u8];
        /// Whether reason strings and user properties are wanted; absent means yes (section 3.1.2.11.7).
        request_problem_information: RequestProblemInformation -> bool;
        /// Seconds that the will waits after the connection ended (section 3.1.3.2.2).
        will_delay_interval_s: WillDelayInterval -> u32;
        /// Whether response information is wanted; absent means no (section 3.1.2.11.6).
        request_response_information: RequestResponseInformation -> bool;
        /// What response topics may be made from (section 3.2.2.3.15).
        response_information: ResponseInformation -> &'a str;
        /// Another server to go to (section 3.2.2.3.16).
        server_reference: ServerReference -> &'a str;
        /// Text for diagnosis (section 3.2.2.3.9).
        reason_string: ReasonString -> &'a str;
        /// QoS 1 and 2 publications handled at once; absent means 65,535 (section 3.1.2.11.3).
        receive_maximum: ReceiveMaximum -> NonZeroU16;
        /// Highest topic alias accepted; absent means 0 (section 3.1.2.11.5).
        topic_alias_maximum: TopicAliasMaximum -> u16;
        /// The number that stands for the topic name (section 3.3.2.3.4).
        topic_alias: TopicAlias -> NonZeroU16;
        /// Highest level accepted, never [`QoS::ExactlyOnce`]; absent means that level (section 3.2.2.3.4).
        maximum_qos: MaximumQoS -> QoS;
        /// Whether messages are retained; absent means yes (section 3.2.2.3.5).
        retain_available: RetainAvailable -> bool;
        /// Largest packet accepted, in bytes with its header; absent means any (section 3.1.2.11.4).
        maximum_packet_size: MaximumPacketSize -> NonZeroU32;
        /// Whether filters may hold wildcards; absent means yes (section 3.2.2.3.11).
        wildcard_subscription_available: WildcardSubscriptionAvailable -> bool;
        /// Whether subscriptions may have numbers; absent means yes (section 3.2.2.3.12).
        subscription_identifiers_available: SubscriptionIdentifiersAvailable -> bool;
        /// Whether subscriptions may be shared; absent means yes (section 3.2.2.3.13).
        shared_subscription_available: SharedSubscriptionAvailable -> bool;
    }

    /// Numbers of the subscriptions that a message matched, or the one number of a SUBSCRIBE (section 3.8.2.1.2).
    #[must_use]
    pub const fn subscription_identifiers(&self) -> SubscriptionIdentifiers<'a> {
        SubscriptionIdentifiers(self.iter())
    }

    /// Names and values of the application's own properties; names may repeat (section 3.1.2.11.8).
    #[must_use]
    pub const fn user_properties(&self) -> UserProperties<'a> {
        UserProperties(self.iter())
    }

    /// Whether a packet may carry these properties in this place: identifiers only, since values were checked when the block
    /// was made.
    #[inline]
    pub(crate) fn check_place(&self, place: PropertyPlace) -> Result<(), EncodeError> {
        if self.is_empty() { Ok(()) } else { self.walk_place(place) }
    }

    fn walk_place(&self, place: PropertyPlace) -> Result<(), EncodeError> {
        let mut seen = Seen::default();
        let mut rest = self.block;
        while let Some((&number, value)) = rest.split_first() {
            let Some(row) = row_of_number(number) else { break };
            seen.admit(row, place).map_err(|kind| match kind {
                DecodeErrorKind::PropertyRepeated => EncodeError::PropertyRepeated(row.id),
                _ => EncodeError::PropertyNotAllowed(row.id),
            })?;
            let Some(next) = skip_value(row.value, value) else { break };
            rest = next;
        }
        if seen.lacks_authentication_method() {
            Err(EncodeError::AuthenticationMethodMissing)
        } else {
            Ok(())
        }
    }
}

/// Identifiers met so far in one block, one bit for each number.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    #[inline]
    fn admit(&mut self, row: &PropertyRow, place: PropertyPlace) -> Result<(), DecodeErrorKind> {
        let bit = 1 << row.id as u8;
        if !row.allowed_in(place) {
            return Err(DecodeErrorKind::PropertyNotAllowed);
        }
        if self.0 & bit != 0 && !row.repeats_in(place) {
            return Err(DecodeErrorKind::PropertyRepeated);
        }
        self.0 |= bit;
        Ok(())
    }

    fn has(&self, id: PropertyId) -> bool {
        self.0 >> id as u8 & 1 == 1
    }

    /// Authentication data without its method is a protocol error (section 3.1.2.11.10).
    fn lacks_authentication_method(&self) -> bool {
        self.has(PropertyId::AuthenticationData) && !self.has(PropertyId::AuthenticationMethod)
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Made by [`Properties::iter`].
#[derive(Clone, Debug)]
pub struct PropertiesIter<'a> {
    rest: &'a [u8],
}

impl<'a> PropertiesIter<'a> {
    /// The next property with the bytes it stands in, identifier included.
    pub(super) fn next_with_bytes(&mut self) -> Option<(Property<'a>, &'a [u8])> {
        let whole = self.rest;
        let (&number, value) = whole.split_first()?;
        let parsed = row_of_number(number).and_then(|row| property_value(row.id, value).ok());
        let Some((rest, property)) = parsed else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some((property, &whole[..whole.len() - rest.len()]))
    }
}

impl<'a> Iterator for PropertiesIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with_bytes().map(|(property, _)| property)
    }
}

impl FusedIterator for PropertiesIter<'_> {}

/// Made by [`Properties::subscription_identifiers`].
#[derive(Clone, Debug)]
pub struct SubscriptionIdentifiers<'a>(PropertiesIter<'a>);

impl Iterator for SubscriptionIdentifiers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|property| match property {
            Property::SubscriptionIdentifier(number) => Some(number),
            _ => None,
        })
    }
}

impl FusedIterator for SubscriptionIdentifiers<'_> {}

/// Made by [`Properties::user_properties`].
#[derive(Clone, Debug)]
pub struct UserProperties<'a>(PropertiesIter<'a>);

impl<'a> Iterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }
}

impl FusedIterator for UserProperties<'_> {}
