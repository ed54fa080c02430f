//! Wills: when they are due, and where they are kept until then.

use mqtt_codec::{PropertiesBuf, QoS};
use mqtt_session::{DropReason, InboundPublish, Message, WillMessage};
use mqtt_store::{Durability, SessionId};
use mqtt_topic::TopicName;

use crate::Publication;
use crate::connection::refuse_publish;
use crate::core::{Core, Touched};
use crate::hooks::Events;
use crate::outbox::Outbox;
use crate::restrict::source_of;

/// What goes out for a client that is gone.
struct Parting {
    message: Message,
    qos: QoS,
    retain: bool,
}

impl Core {
    /// A name for the will of a session that ends with its connection, or with the process: a broker that was killed
    /// publishes it when it is started again, as section 3.1.2.5 allows. `None` if it is not kept.
    pub(crate) fn name_for_will(&self, will: &WillMessage) -> Option<SessionId> {
        let is_kept = self.durability(will.topic_text()) > Durability::Memory;
        is_kept.then(|| self.store.new_session_id()).flatten()
    }

    /// Publishes a will ([MQTT-3.1.2-8], [MQTT-3.1.2-14], [MQTT-3.1.2-15]). That it is published is stored with what
    /// it leads to, so that a kill neither loses nor doubles it.
    pub(crate) fn publish_will(&self, will: &WillMessage, outbox: &Outbox) {
        let mut touched = Touched::default();
        if let Some(session) = outbox.kept.or(outbox.will) {
            touched.transaction.will_gone(session, will);
        }
        let Some(Parting { message, qos, retain }) = self.parting(will, outbox) else {
            return self.settle(&mut touched);
        };
        touched.transaction.set_durability(self.durability(message.topic()));
        self.metrics.wills_published.add(1);
        let (client_id, source) = (&outbox.client_id, outbox.identity().map(|identity| source_of(&identity)));
        self.tell_peers(&message, qos, retain);
        self.publish_together(&message, (qos, retain), client_id, source, &mut touched);
        self.hooks.tell(Events::WILL_SENT, |hook| hook.will_sent(client_id, &message));
    }

    /// A will as a hook wants it. It expires as it would have, unless the hook gave it an expiry of its own.
    fn rewritten(&self, changed: &Publication, before: &Message, key: u64) -> Message {
        let Publication { topic, payload, qos, retain, properties } = changed;
        let topic = TopicName::parse(topic.as_str()).expect("the chain has checked it");
        let properties = properties.as_properties();
        let mut publish =
            InboundPublish::without_packet(topic, *qos, *retain, payload, properties, self.now());
        publish.expires_at = publish.expires_at.or(before.expires_at());
        publish.message(key)
    }

    /// What hooks and access rules make of a will; `None` if nothing goes out.
    fn parting(&self, will: &WillMessage, outbox: &Outbox) -> Option<Parting> {
        let mut message = will.message(outbox.key, self.now());
        let (mut qos, mut retain) = (will.qos, will.retain);
        let client_id = &outbox.client_id;
        if self.hooks.wants(Events::WILL) {
            let mut properties = PropertiesBuf::new();
            properties.extend_from(message.properties());
            let start = Publication::new(message.topic(), message.payload());
            let mut changed = Publication { qos, retain, properties, ..start };
            let goes_out = self.hooks.will(client_id, &mut changed);
            if !goes_out {
                tracing::info!(client_id = &**client_id, "a hook withheld the will");
                return None;
            }
            (qos, retain) = (changed.qos, changed.retain);
            message = self.rewritten(&changed, &message, outbox.key);
        }
        let refused = outbox.identity().is_some_and(|identity| {
            let topic = TopicName::assume_valid(message.topic());
            refuse_publish(self, &identity, topic, qos, retain).is_some()
        });
        if refused {
            let reason = DropReason::PublishNotAuthorized;
            self.drops.record_for(&self.metrics, reason, client_id, message.topic(), qos);
            return None;
        }
        Some(Parting { message, qos, retain })
    }
}
