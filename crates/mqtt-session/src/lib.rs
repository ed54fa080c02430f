#![doc = include_str!("../README.md")]

mod alias;
mod auth;
mod batch;
mod drop_reason;
mod handshake;
mod inbound;
mod keep_alive;
mod limits;
pub mod message;
mod mounting;
mod outbound;
mod plain;
mod protocol;
mod publish;
mod rights;
mod send;
mod series;
mod session;
mod violation;
mod will;

pub use auth::{AuthenticationMethod, Exchange, Step};
pub use batch::{Batch, BatchBuilder, Layout, is_batchable};
pub use drop_reason::DropReason;
pub use handshake::{Opening, Refusal, write_refusal};
pub use keep_alive::KeepAlive;
pub use limits::{OurLimits, PACKET_BYTES_MAX, Policy, TheirLimits};
pub use message::{Delivery, Hop, Message, NO_PUBLISHER};
pub use mounting::Mounting;
pub use protocol::{Completed, Finished, Protocol, Received};
pub use publish::{InboundPublish, Ticket};
pub use rights::Rights;
pub use session::{Session, Subscription};
pub use violation::Violation;
pub use will::WillMessage;
