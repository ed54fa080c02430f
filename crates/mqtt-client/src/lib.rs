#![doc = include_str!("../README.md")]

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
mod subscriptions;

pub use client::{Acknowledgement, Client, Status};
pub use error::{ClientError, ConnectError};
pub use handshake::Welcome;
pub use mailbox::Subscription;
pub use message::{Incoming, Publication};
pub use mqtt_codec::{
    PropertiesBuf, Property, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version,
};
pub use mqtt_transport::Url;
pub use options::{Backoff, Options, Will};
