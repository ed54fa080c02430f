//! Questions to hooks, and to those whom the access rules leave something to, that take their time. Until they are
//! answered, nothing more is read from this client; everybody else goes on.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use mqtt_access::consult::Consulted;
use mqtt_codec::{PacketId, QoS, ReasonCode, SubscriptionOptions};
use mqtt_session::{DropReason, InboundPublish, Ticket, Violation};
use mqtt_topic::{TopicFilter, TopicName};

use super::dialogue::Dialogue;
use super::publisher::publisher;
use super::subscribing::ask_to_subscribe;
use crate::Publication;
use crate::access::Identity;
use crate::core::Core;
use crate::hooks::{Events, Hooks};
use crate::peers::Answer;

/// A question that has been put.
pub(crate) struct Review(Pin<Box<dyn Future<Output = Reviewed> + Send>>);

/// What was asked about, with the answer.
#[derive(Debug)]
pub(crate) enum Reviewed {
    Publish(Box<ReviewedPublish>),
    Consulted(Box<ConsultedPublish>),
    Subscribe(ReviewedSubscribe),
}

#[derive(Debug)]
pub(crate) struct ReviewedPublish {
    /// What to publish, or nothing.
    verdict: Result<Option<Publication>, ReasonCode>,
    arrived: Arrived,
}

/// A message that somebody else was asked about after the hooks.
#[derive(Debug)]
pub(crate) struct ConsultedPublish {
    publication: Publication,
    consulted: Consulted,
    arrived: Arrived,
}

/// What is known of a message beside its content.
#[derive(Debug)]
struct Arrived {
    ticket: Ticket,
    topic: Box<str>,
    qos: QoS,
    expires_at: Option<Instant>,
    expiry_interval_s: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct ReviewedSubscribe {
    pub(super) packet_id: PacketId,
    pub(super) identifier: Option<u32>,
    pub(super) entries: Vec<Entry>,
}

/// One filter of a SUBSCRIBE, with what the hooks have made of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) filter: String,
    pub(super) options: SubscriptionOptions,
    pub(super) asked: Result<(), ReasonCode>,
}

/// What is said where nobody could be asked.
const UNANSWERED: ReasonCode = ReasonCode::ImplementationSpecificError;

impl Arrived {
    fn of(publish: &InboundPublish<'_>) -> Self {
        Self {
            ticket: publish.ticket(),
            topic: publish.topic.as_str().into(),
            qos: publish.qos,
            expires_at: publish.expires_at,
            expiry_interval_s: publish.properties.message_expiry_interval_s(),
        }
    }
}

impl Review {
    /// Waits until somebody else has said whether a message may be published, with what hooks have made of it.
    #[cold]
    pub(super) fn of_rights(
        publish: &InboundPublish<'_>,
        changed: Option<Publication>,
        answer: Answer<'static, Consulted>,
    ) -> Box<Self> {
        let publication = changed.unwrap_or_else(|| Publication::from(publish));
        Self::of_consultation(publication, Arrived::of(publish), answer)
    }

    fn of_consultation(
        publication: Publication,
        arrived: Arrived,
        answer: Answer<'static, Consulted>,
    ) -> Box<Self> {
        Box::new(Self(Box::pin(async move {
            let consulted = answer.await;
            Reviewed::Consulted(Box::new(ConsultedPublish { publication, consulted, arrived }))
        })))
    }

    /// Asks about a message, with what hooks have made of it so far.
    pub(super) fn of_publish(
        core: &Core,
        identity: &Arc<Identity>,
        publish: &InboundPublish<'_>,
        changed: Option<Publication>,
    ) -> Box<Self> {
        let arrived = Arrived::of(publish);
        let publication = changed.unwrap_or_else(|| Publication::from(publish));
        let (hooks, identity) = (core.hooks.clone(), identity.clone());
        Box::new(Self(Box::pin(async move {
            let verdict = hooks.review_publish(&identity, publication).await;
            Reviewed::Publish(Box::new(ReviewedPublish { verdict, arrived }))
        })))
    }

    /// Asks about the filters of a SUBSCRIBE that nobody has refused so far.
    pub(super) fn of_subscribe(
        core: &Arc<Core>,
        identity: &Arc<Identity>,
        mut subscribe: ReviewedSubscribe,
    ) -> Box<Self> {
        let (core, identity) = (core.clone(), identity.clone());
        let reviewed = core.hooks.wants(Events::REVIEW_SUBSCRIBE);
        Box::new(Self(Box::pin(async move {
            // One question without an answer is enough for one packet.
            let mut nobody_there = None;
            for Entry { filter, options, asked } in &mut subscribe.entries {
                if asked.is_ok() && reviewed {
                    *asked = core.hooks.review_subscribe(&identity, filter, options).await;
                }
                if asked.is_ok()
                    && let Ok(filter) = TopicFilter::parse(filter.as_str())
                {
                    let qos = options.qos.min(core.settings.policy.maximum_qos);
                    *asked = match nobody_there {
                        Some(reason) => Err(reason),
                        None => ask_to_subscribe(&core, &identity, &filter, qos).await,
                    };
                    nobody_there = asked.err().filter(|reason| *reason == UNANSWERED);
                }
            }
            Reviewed::Subscribe(subscribe)
        })))
    }

    /// The answer; it comes when the deadline of the hooks has passed at the latest.
    pub(crate) async fn answer(self) -> Reviewed {
        self.0.await
    }
}

impl Dialogue {
    /// Goes on with what was asked about, if the answer has come. Pending while it has not; otherwise whether there was
    /// a question.
    pub(super) fn poll_review(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Poll<bool> {
        let Some(review) = &mut self.review else { return Poll::Ready(false) };
        let Poll::Ready(reviewed) = review.0.as_mut().poll(cx) else { return Poll::Pending };
        self.review = None;
        let from = out.len();
        if let Err(violation) = self.conclude(reviewed, now, out) {
            self.end_with(super::End::Violation(violation));
        }
        self.tally.packets_sent += u64::from(out.len() > from);
        self.show(out, from);
        Poll::Ready(true)
    }

    /// Does what was asked about, or what the hooks have made of it.
    pub(super) fn conclude(
        &mut self,
        reviewed: Reviewed,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        match reviewed {
            Reviewed::Publish(reviewed) => self.conclude_publish(*reviewed, now, out),
            Reviewed::Consulted(consulted) => self.conclude_consulted(*consulted, now, out),
            Reviewed::Subscribe(reviewed) => {
                self.conclude_subscribe(reviewed, out);
                Ok(())
            }
        }
    }

    fn conclude_publish(
        &mut self,
        reviewed: ReviewedPublish,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let ReviewedPublish { verdict, arrived } = reviewed;
        let reason = match verdict {
            Ok(Some(publication)) => match self.publish_reviewed(&publication, &arrived, None, now) {
                Ok(reason) => reason,
                Err(answer) => {
                    self.review = Some(Review::of_consultation(publication, arrived, answer));
                    return Ok(());
                }
            },
            Ok(None) => ReasonCode::Success,
            Err(reason) => {
                let (core, id) = (&self.core, &self.identity.client_id);
                let refused = DropReason::PublishNotAuthorized;
                core.drops.record_for(&core.metrics, refused, id, &arrived.topic, arrived.qos);
                reason
            }
        };
        self.acknowledge(arrived.ticket, reason, out)
    }

    fn conclude_consulted(
        &mut self,
        asked: ConsultedPublish,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let ConsultedPublish { publication, consulted, arrived } = asked;
        let concluded = self.publish_reviewed(&publication, &arrived, Some(consulted), now);
        let reason = concluded.unwrap_or(UNANSWERED);
        self.acknowledge(arrived.ticket, reason, out)
    }

    fn publish_reviewed(
        &mut self,
        publication: &Publication,
        arrived: &Arrived,
        consulted: Option<Consulted>,
        now: Instant,
    ) -> Result<ReasonCode, Answer<'static, Consulted>> {
        let topic = TopicName::parse(publication.topic.as_str()).expect("the chain has checked it");
        let properties = publication.properties.as_properties();
        let Publication { retain, payload, .. } = publication;
        let mut publish =
            InboundPublish::without_packet(topic, arrived.qos, *retain, payload, properties, now);
        if properties.message_expiry_interval_s() == arrived.expiry_interval_s {
            publish.expires_at = arrived.expires_at; // it counts from when the message arrived
        }
        let (core, identity) = (&self.core, &self.identity);
        let publisher = publisher(&mut self.publisher, core, identity, &self.outbox, self.protocol.version());
        let reason = match consulted {
            Some(consulted) => publisher.publish_consulted(&publish, consulted, now),
            None => publisher.publish(&publish, now)?,
        };
        core.hooks.tell(Events::PUBLISHED, |hook: &dyn Hooks| hook.published(identity, &publish, reason));
        Ok(reason)
    }
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Review")
    }
}
