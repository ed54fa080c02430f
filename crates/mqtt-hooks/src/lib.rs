#![doc = include_str!("../README.md")]

mod allow_all;
mod auto_subscribe;
mod delayed_publish;
mod packet_trace;
mod topic_rewrite;

pub use allow_all::AllowAll;
pub use auto_subscribe::AutoSubscribe;
pub use delayed_publish::DelayedPublish;
pub use packet_trace::PacketTrace;
pub use topic_rewrite::{InvalidRule, TopicRewrite};
