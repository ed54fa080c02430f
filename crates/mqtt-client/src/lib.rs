#![doc = include_str!("../README.md")]

mod acknowledgements;
mod authentication;
pub mod blocking;
mod client;
mod command;
mod driver;
mod error;
mod handshake;
mod link;
mod mailbox;
mod message;
mod options;
mod outgoing;
mod request;
mod subscriptions;

#[cfg(feature = "scram")]
pub use authentication::Scram;
pub use authentication::{Authenticator, Exchange};
pub use client::{Acknowledgement, Client, Status};
pub use error::{ClientError, ConnectError};
pub use handshake::Welcome;
pub use mailbox::Subscription;
pub use message::Incoming;
#[cfg(feature = "scram")]
pub use mqtt_access::scram::Mechanism as ScramMechanism;
pub use mqtt_codec::{
    PropertiesBuf, Property, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version,
};
pub use mqtt_session::{AliasUse, OurLimits, Publication};
pub use mqtt_transport::{Connection, Url};
pub use options::{Backoff, Options, Overflow, Will};

// The rest of what appears in this interface, whole, so that a program needs no other crate beside this one.
#[doc(no_inline)]
pub use {mqtt_codec as codec, mqtt_session as session, mqtt_transport as transport};
