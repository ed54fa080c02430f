//! The seam to other nodes of a cluster. On one machine it is absent and costs nothing.

use core::fmt;
use std::pin::Pin;

use mqtt_codec::QoS;
use mqtt_session::{Message, Refusal};
use mqtt_topic::TopicFilter;

/// An answer that may need other nodes.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The other nodes, as one node's router sees them.
///
/// The methods without a future are called on the connections' own tasks: they must only hand the work on.
/// Beginnings and ends of interest come one at a time, in their order.
/// What comes from other nodes goes to [`Broker::deliver_from_peer`](crate::Broker::deliver_from_peer).
///
/// ```
/// use mqtt_broker::{Answer, Message, Peers, QoS, Refusal, TopicFilter};
///
/// /// Tells what other nodes would have to know.
/// #[derive(Debug)]
/// struct Loud;
///
/// impl Peers for Loud {
///     fn interest_began(&self, filter: &TopicFilter<&str>) {
///         println!("somebody here wants {filter}");
///     }
///
///     fn interest_ended(&self, filter: &TopicFilter<&str>) {
///         println!("nobody here wants {filter} any more");
///     }
///
///     fn published(&self, message: &Message, _: QoS, _: bool) {
///         println!("published here: {}", message.topic());
///     }
///
///     fn claim_session<'a>(&'a self, _client_id: &'a str) -> Answer<'a, Result<(), Refusal>> {
///         Box::pin(async { Ok(()) }) // no other node has it
///     }
/// }
///
/// let builder = mqtt_broker::Broker::builder().peers(std::sync::Arc::new(Loud));
/// # let _ = builder;
/// ```
pub trait Peers: fmt::Debug + Send + Sync + 'static {
    /// A filter has got its first subscription on this node. For a shared subscription the filter has its
    /// share name, and so each group is told apart.
    fn interest_began(&self, filter: &TopicFilter<&str>);

    /// A filter has lost its last subscription on this node.
    fn interest_ended(&self, filter: &TopicFilter<&str>);

    /// A message was published on this node, by a client, as a will or by the broker itself.
    fn published(&self, message: &Message, qos: QoS, retain: bool);

    /// A client wants its session opened here. A client identifier has one owner in the whole cluster: the
    /// answer comes when no other node owns it any more.
    ///
    /// # Errors
    /// What the client is told instead, such as the node that it should go to.
    fn claim_session<'a>(&'a self, client_id: &'a str) -> Answer<'a, Result<(), Refusal>>;
}
