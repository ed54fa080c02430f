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
mod settings;
mod spare;
mod storage;
mod sweep;
mod sys;
mod timetable;
mod wills;

pub use access::{Access, AnonymousOnly, Details, Grant, Identity, Login, Remembered};
pub use broker::{Broker, Builder, StartError};
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
pub use peers::{Answer, Peers};
pub use refusals::{EntryRefusal, ReasonCounts, Refused};
pub use settings::{DurabilityRules, Limits, Settings, SharedStrategy, SysSettings, TopicRules};
pub use storage::StorageSnapshot;
