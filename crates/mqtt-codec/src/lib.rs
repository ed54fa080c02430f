#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod basic;
mod decode;
mod encode;
mod error;
mod frame;
mod packet;
mod plain;
mod property;
mod reason;
mod version;
mod wire;

pub use basic::{InvalidQoS, PacketId, PacketType, QoS};
pub use decode::decode;
pub use encode::{encode, encoded_len};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use frame::{Framing, frame};
pub use packet::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, Publish, ReasonCodes, ReasonCodesBuf, ReasonCodesIter,
    RetainHandling, Suback, Subscribe, SubscribeFilter, SubscribeFilters, SubscribeFiltersBuf,
    SubscribeFiltersIter, SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFilters,
    UnsubscribeFiltersBuf, UnsubscribeFiltersIter, Will, connect_version,
};
pub use plain::{PlainAck, PlainPublish};
pub use property::{
    Properties, PropertiesBuf, PropertiesIter, Property, PropertyId, PropertyPlace, PropertyRow,
    PropertyType, SubscriptionIdentifiers, UserProperties,
};
pub use reason::{ReasonCode, UnknownReasonCode};
pub use version::Version;
