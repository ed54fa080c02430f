//! How a local client publishes.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mqtt_codec::{PropertiesBuf, QoS, ReasonCode};
use mqtt_session::message::{expiry, forwarded};
use mqtt_session::{DropReason, Message, PACKET_BYTES_MAX};
use mqtt_topic::TopicName;

use super::{LocalClient, LocalError, Publication, Published, Shared};
use crate::connection::refuse_publish;
use crate::core::Core;
use crate::outbox::Outbox;

/// Of a PUBLISH: fixed header, lengths and packet identifier.
const PACKET_OVERHEAD_BYTES: usize = 5 + 2 + 2 + 4;

impl LocalClient {
    /// Publishes a message. When this returns, it is in the queue of every session that it belongs to.
    ///
    /// Waits, as a connected client would, while a receiver that it went to is over its budget, for
    /// [`Limits::stall_timeout`](crate::Limits::stall_timeout) at most. A task that itself has to empty such a
    /// queue should use [`publish_now`](Self::publish_now).
    ///
    /// # Errors
    /// The topic is none, the message is too large or refused (access, a hook, no room for retained messages), or
    /// the broker has stopped. Nobody gets it then.
    pub async fn publish(&self, publication: Publication) -> Result<Published, LocalError> {
        let (published, congested) = self.shared.publish(&publication)?;
        wait_for_room(&self.shared.core, congested).await;
        Ok(published)
    }

    /// Publishes without waiting for slow receivers: what they have no room for is dropped and counted.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_now(&self, publication: Publication) -> Result<Published, LocalError> {
        self.shared.publish(&publication).map(|(published, _)| published)
    }
}

impl Shared {
    fn publish(&self, publication: &Publication) -> Result<(Published, Vec<Arc<Outbox>>), LocalError> {
        let Publication { topic, payload, qos, retain, properties } = publication;
        if *self.core.stopping.borrow() {
            return Err(LocalError::Stopped);
        }
        let topic = TopicName::parse(topic.as_str()).map_err(|_| LocalError::InvalidTopic)?;
        let given = properties.as_properties();
        if let Some(Err(_)) = given.response_topic().map(TopicName::parse) {
            return Err(LocalError::InvalidTopic);
        }
        let mut properties = PropertiesBuf::new();
        forwarded(given, &mut properties);
        let bytes = topic.as_str().len() + properties.as_properties().as_bytes().len() + payload.len();
        if bytes + PACKET_OVERHEAD_BYTES > PACKET_BYTES_MAX as usize {
            return Err(LocalError::TooLarge);
        }
        if let Some(reason) = self.refusal(topic, *qos, *retain) {
            let (core, id) = (&self.core, &self.identity.client_id);
            let refused = DropReason::PublishNotAuthorized;
            core.drops.record_for(&core.metrics, refused, id, topic.as_str(), *qos);
            return Err(LocalError::Refused(reason));
        }
        let expires_at = expiry(given.message_expiry_interval_s(), self.core.now());
        let message = Message::new(topic, properties.as_properties(), payload, self.key, expires_at);
        self.route(&message, *qos, *retain)
    }

    /// Why a client without privileges may not publish this.
    fn refusal(&self, topic: TopicName<&str>, qos: QoS, retain: bool) -> Option<ReasonCode> {
        let policy = &self.core.settings.policy;
        if self.identity.privileged {
            None
        } else if qos > policy.maximum_qos {
            Some(ReasonCode::QoSNotSupported)
        } else if retain && !policy.retain_available {
            Some(ReasonCode::RetainNotSupported)
        } else {
            refuse_publish(&self.core, &self.identity, topic, qos, retain)
        }
    }

    fn route(
        &self,
        message: &Message,
        qos: QoS,
        retain: bool,
    ) -> Result<(Published, Vec<Arc<Outbox>>), LocalError> {
        let core = &self.core;
        let mut touched = core.touched_by(message.topic());
        if retain
            && core.retain(message, qos, &self.identity.client_id, None, &mut touched.transaction).is_err()
        {
            return Err(LocalError::Refused(ReasonCode::QuotaExceeded));
        }
        core.tell_peers(message, qos, retain);
        let route = core.route(TopicName::assume_valid(message.topic()), self.key);
        let routed = core.deliver(&route, message, qos, retain, core.now(), &mut touched);
        core.settle(&mut touched);
        let nobody = qos > QoS::AtMostOnce && !routed.matched && !retain && core.peers.is_none();
        let reason = if nobody { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        Ok((Published { reason, matched: routed.matched }, touched.congested))
    }
}

/// Waits until every one of these has room, is gone, or counts as stalled.
pub(crate) async fn wait_for_room(core: &Core, outboxes: Vec<Arc<Outbox>>) {
    for outbox in outboxes {
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| {
            loop {
                let mut deadline = None;
                let room = outbox.poll_room(cx, &core.outbox_limits, core.now(), &mut deadline);
                let (Poll::Pending, Some(deadline)) = (room, deadline) else { return Poll::Ready(()) };
                timer.as_mut().reset(deadline.into());
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}
