#![doc = include_str!("../README.md")]

mod allow_all;
mod auto_subscribe;
mod delayed_publish;
mod exclusive;
mod packet_trace;
mod topic_rewrite;
#[cfg(feature = "webhook")]
mod webhook;

pub use allow_all::AllowAll;
pub use auto_subscribe::AutoSubscribe;
pub use delayed_publish::DelayedPublish;
pub use exclusive::Exclusive;
pub use packet_trace::PacketTrace;
pub use topic_rewrite::{InvalidRule, TopicRewrite};
#[cfg(feature = "webhook")]
pub use webhook::{Deliver, Webhook, WebhookOptions};
