#![doc = include_str!("../README.md")]

mod access;
mod alarms;
mod banning;
mod bell;
mod broker;
mod bucket;
mod calendar;
mod certificates;
mod client;
mod clients;
mod connection;
mod consulting;
mod core;
mod drops;
mod gate;
mod group;
mod hooks;
mod index;
mod keeping;
mod leftovers;
mod listening;
mod load;
mod local;
mod memory;
mod metrics;
mod mountpoint;
mod outbox;
mod peers;
mod refusals;
mod restrict;
mod rounds;
mod settings;
mod spare;
mod storage;
mod sweep;
mod sys;
mod timetable;
mod wills;

pub use access::{Access, AnonymousOnly, Details, Grant, Identity, Login, Remembered};
pub use broker::{Broker, Builder, StartError};
pub use certificates::PreparedCertificates;
pub use client::{
    Answers, Client, ClientDetails, ClientEntry, InjectError, InjectOptions, UnknownClient, WillDetails,
};
pub use connection::Peer;
pub use consulting::Question;
pub use drops::Dropped;
pub use hooks::{
    Authentication, DisconnectCause, Events, FailureRule, Hooks, PacketVerdict, PublishVerdict, Restored,
};
pub use listening::{ListenerRules, ListenerSettings};
pub use local::{
    LOCAL_CLIENT_ID, LocalClient, LocalError, LocalMessage, LocalOptions, Publication, Published, Subscribe,
    Subscription,
};
pub use metrics::MetricsSnapshot;
pub use mountpoint::{MountpointTemplate, TemplateError};
pub use mqtt_access::bans::{BANS_MAX, Ban, BanRefused, Banned, Bans, Origin};
pub use mqtt_access::consult::{Action, Consulted, Unanswered};
pub use mqtt_access::{Network, NetworkError};
pub use mqtt_codec::{
    Packet, PacketId, Properties, PropertiesBuf, Property, QoS, ReasonCode, RetainHandling,
    SubscriptionOptions, Version,
};
pub use mqtt_session::{
    AuthenticationMethod, DropReason, InboundPublish, Message, Opening, Policy, Refusal, Rights, Violation,
};
pub use mqtt_store::{DurableStore, MemoryStore, QueueLimits, RetainedLimits, Store};
pub use mqtt_topic::{TopicFilter, TopicName};
pub use mqtt_transport::{Connection, Url};
pub use peers::{Answer, Peers};
pub use refusals::{EntryRefusal, ReasonCounts, Refused};
pub use settings::{DurabilityRules, Limits, Settings, SharedStrategy, SysSettings, TopicRules};
pub use storage::StorageSnapshot;

// What a program implements or calls has types of the layers below in it. The common ones are above; here is the rest,
// whole, so that a program needs no other crate of these beside this one and never two versions of them.
#[doc(no_inline)]
pub use {
    mqtt_codec as codec, mqtt_session as session, mqtt_store as store, mqtt_topic as topic,
    mqtt_transport as transport,
};
