//! Questions about topics to somebody who takes time to answer. Only the client that they are about waits.

use std::sync::Arc;

use mqtt_access::consult::{Action, Consulted};
use mqtt_codec::QoS;
use mqtt_topic::{TopicFilter, TopicName};

use crate::access::Identity;
use crate::core::Core;
use crate::peers::Answer;

/// What a client wants to do, where nobody here can say whether it may.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who wants it.
    pub client: Arc<Identity>,
    /// What it wants.
    pub action: Action,
    /// The topic name, or the topic filter of a subscription without its share name.
    pub topic: Box<str>,
    /// Of the message; the highest one of a subscription.
    pub qos: QoS,
}

impl Question {
    pub(crate) fn about_message(
        client: &Arc<Identity>,
        topic: TopicName<&str>,
        qos: QoS,
        retain: bool,
    ) -> Self {
        let action = Action::Publish { retain };
        Self { client: client.clone(), action, topic: topic.as_str().into(), qos }
    }

    pub(crate) fn about_filter(client: &Arc<Identity>, filter: &TopicFilter<&str>, qos: QoS) -> Self {
        Self { client: client.clone(), action: Action::Subscribe, topic: filter.filter().into(), qos }
    }
}

impl Core {
    /// Puts a question, and counts why there was no answer.
    pub(crate) fn consult(self: &Arc<Self>, question: Question) -> Answer<'static, Consulted> {
        let (core, asked) = (self.clone(), self.access.consult(question));
        Box::pin(async move {
            let consulted = asked.await;
            if let Err(why) = consulted.verdict {
                core.metrics.count_unanswered(why);
            }
            consulted
        })
    }
}
