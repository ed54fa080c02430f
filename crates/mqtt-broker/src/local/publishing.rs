//! How a local client publishes.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use mqtt_codec::{QoS, ReasonCode};
use mqtt_session::{DropReason, InboundPublish, Message};
use mqtt_store::Progress;
use mqtt_topic::TopicName;

use super::{LocalClient, LocalError, Publication, Published, Shared};
use crate::connection::{ask_to_publish, refuse_publish};
use crate::core::Core;
use crate::hooks::{Events, Hooks, Ruling};
use crate::outbox::Outbox;

impl LocalClient {
    /// Publishes a message. When this returns, it is in the queue of every session that it belongs to. Above QoS 0
    /// with a durable store, it is stored by then as the [durability](crate::DurabilityRules) of its topic promises it:
    /// this waits for the disk, also for one that is full until there is room.
    ///
    /// Waits, as a connected client would, while a receiver that it went to is over its budget, for
    /// [`Limits::stall_timeout`](crate::Limits::stall_timeout) at most. A task that itself has to empty such a
    /// queue should use [`publish_now`](Self::publish_now).
    ///
    /// # Errors
    /// The topic is none, the message is too large or refused (access, a hook, no room for retained messages), or
    /// the broker has stopped. Nobody gets it then. Or it could not be stored any more, see [`LocalError::NotStored`].
    pub async fn publish(&self, publication: Publication) -> Result<Published, LocalError> {
        let shared = &self.shared;
        let Some(mut asked) = shared.ask(&publication)? else { return Ok(SWALLOWED) };
        if shared.is_hooked(Events::REVIEW_PUBLISH) {
            let Some(reviewed) = shared.review(asked.into_owned()).await? else { return Ok(SWALLOWED) };
            asked = Cow::Owned(reviewed);
        }
        shared.ask_access(&asked).await?;
        let Routed { published, congested, storing } = shared.publish(&asked)?;
        wait_for_room(&shared.core, congested).await;
        if let Some(storing) = storing {
            stored(&storing).await?;
        }
        Ok(published)
    }

    /// Publishes without waiting for slow receivers: what they have no room for is dropped and counted. Nor is the disk
    /// waited for: a kill at this moment may lose the message. Hooks that take their time
    /// ([`Hooks::review_publish`](crate::Hooks::review_publish)), and those whom access rules leave something to
    /// ([`Access::consult`](crate::Access::consult)), have to answer at once.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`ReasonCode::ImplementationSpecificError`] if a hook did not answer at once.
    pub fn publish_now(&self, publication: Publication) -> Result<Published, LocalError> {
        let shared = &self.shared;
        let Some(mut asked) = shared.ask(&publication)? else { return Ok(SWALLOWED) };
        if shared.is_hooked(Events::REVIEW_PUBLISH) {
            let reviewed = shared.review(asked.into_owned()).now_or_never();
            let late = Err(LocalError::Refused(ReasonCode::ImplementationSpecificError));
            let Some(reviewed) = reviewed.unwrap_or(late)? else { return Ok(SWALLOWED) };
            asked = Cow::Owned(reviewed);
        }
        let late = Err(LocalError::Refused(ReasonCode::ImplementationSpecificError));
        shared.ask_access(&asked).now_or_never().unwrap_or(late)?;
        shared.publish(&asked).map(|routed| routed.published)
    }
}

/// What became of a publication.
struct Routed {
    published: Published,
    /// Receivers that have no room for more.
    congested: Vec<Arc<Outbox>>,
    /// Tells when it is stored, if it has to be.
    storing: Option<Arc<Progress>>,
}

/// A hook took it.
const SWALLOWED: Published = Published { reason: ReasonCode::Success, matched: false };

impl Shared {
    /// What the hooks that answer at once make of a publication; `None` if one took it.
    fn ask<'a>(&self, publication: &'a Publication) -> Result<Option<Cow<'a, Publication>>, LocalError> {
        if *self.core.stopping.borrow() {
            return Err(LocalError::Stopped);
        }
        let publish = self.inbound(publication)?;
        if !self.is_hooked(Events::PUBLISH) {
            return Ok(Some(Cow::Borrowed(publication)));
        }
        match self.core.hooks.publish(&self.identity, &publish, self.core.now()) {
            Ruling::Pass => Ok(Some(Cow::Borrowed(publication))),
            Ruling::Rewritten(changed) => {
                Ok(Some(Cow::Owned(Publication { qos: publication.qos, ..*changed })))
            }
            Ruling::Swallow => Ok(None),
            Ruling::Reject(reason) => Err(self.refuse(publish.topic, publish.qos, reason)),
        }
    }

    /// What the hooks that take their time make of it.
    async fn review(&self, publication: Publication) -> Result<Option<Publication>, LocalError> {
        let (topic, qos) = (publication.topic.clone(), publication.qos);
        let reviewed = self.core.hooks.review_publish(&self.identity, publication).await;
        reviewed.map_err(|reason| self.refuse(TopicName::assume_valid(&topic), qos, reason))
    }

    /// Whether access rules, or those whom they leave it to, let a client without privileges publish it.
    async fn ask_access(&self, publication: &Publication) -> Result<(), LocalError> {
        if self.identity.privileged || !self.core.access.consults() {
            return Ok(());
        }
        let Publication { topic, qos, retain, .. } = publication;
        let topic = TopicName::parse(topic.as_str()).map_err(|_| LocalError::InvalidTopic)?;
        let asked = ask_to_publish(&self.core, &self.identity, topic, *qos, *retain).await;
        asked.map_err(|reason| self.refuse(topic, *qos, reason))
    }

    fn inbound<'a>(&self, publication: &'a Publication) -> Result<InboundPublish<'a>, LocalError> {
        let Publication { topic, payload, qos, retain, properties } = publication;
        let topic = TopicName::parse(topic.as_str()).map_err(|_| LocalError::InvalidTopic)?;
        let (properties, now) = (properties.as_properties(), self.core.now());
        Ok(InboundPublish::without_packet(topic, *qos, *retain, payload, properties, now))
    }

    fn publish(&self, publication: &Publication) -> Result<Routed, LocalError> {
        publication.check()?;
        let publish = self.inbound(publication)?;
        if let Some(reason) = self.refusal(publish.topic, publish.qos, publish.retain) {
            return Err(self.refuse(publish.topic, publish.qos, reason));
        }
        let outcome = self.route(&publish.message(self.key), publish.qos, publish.retain);
        if self.is_hooked(Events::PUBLISHED) {
            let reason = match &outcome {
                Ok(routed) => routed.published.reason,
                Err(_) => ReasonCode::QuotaExceeded,
            };
            let tell = |hook: &dyn Hooks| hook.published(&self.identity, &publish, reason);
            self.core.hooks.tell(Events::PUBLISHED, tell);
        }
        outcome
    }

    fn refuse(&self, topic: TopicName<&str>, qos: QoS, reason: ReasonCode) -> LocalError {
        let (core, id) = (&self.core, &self.identity.client_id);
        let refused = DropReason::PublishNotAuthorized;
        core.drops.record_for(&core.metrics, refused, id, topic.as_str(), qos);
        LocalError::Refused(reason)
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

    fn route(&self, message: &Message, qos: QoS, retain: bool) -> Result<Routed, LocalError> {
        let core = &self.core;
        let mut touched = core.touched_by(message.topic());
        let route = core.route(TopicName::assume_valid(message.topic()), self.key);
        if !core.can_store(&touched.transaction, qos, retain, &route)
            || retain
                && core
                    .retain(message, qos, &self.identity.client_id, None, &mut touched.transaction)
                    .is_err()
        {
            return Err(LocalError::Refused(ReasonCode::QuotaExceeded));
        }
        core.tell_peers(message, qos, retain);
        let routed = core.deliver(&route, message, qos, retain, core.now(), &mut touched);
        let storing = core.settle_for(qos, &mut touched);
        let nobody = qos > QoS::AtMostOnce && !routed.matched && !retain && core.peers.is_none();
        let reason = if nobody { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        let published = Published { reason, matched: routed.matched };
        Ok(Routed { published, congested: touched.congested, storing })
    }
}

/// Waits until a message is stored.
async fn stored(storing: &Progress) -> Result<(), LocalError> {
    poll_fn(|cx| {
        storing.register(cx.waker());
        if storing.done() > 0 {
            Poll::Ready(Ok(()))
        } else if storing.has_failed() {
            Poll::Ready(Err(LocalError::NotStored))
        } else {
            Poll::Pending
        }
    })
    .await
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
