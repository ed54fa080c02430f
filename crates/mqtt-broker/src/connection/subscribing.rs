//! SUBSCRIBE and UNSUBSCRIBE.

use std::borrow::Cow;
use std::sync::Arc;

use mqtt_codec::{
    QoS, ReasonCode, ReasonCodesBuf, RetainHandling, Subscribe, SubscribeFilter, SubscriptionOptions,
    Unsubscribe,
};
use mqtt_session::Subscription;
use mqtt_topic::TopicFilter;

use super::dialogue::Dialogue;
use super::paths::said;
use super::replay::Replay;
use super::reviewing::{Entry, Review, ReviewedSubscribe};
use crate::access::Identity;
use crate::consulting::Question;
use crate::core::Core;
use crate::hooks::{Events, Hooks};
use crate::index::Member;
use crate::mountpoint::reason_of;
use crate::refusals::Refused;

impl Dialogue {
    /// Decides on each filter and answers ([MQTT-3.8.4-1], [MQTT-3.8.4-5]).
    pub(super) fn on_subscribe(&mut self, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
        let identifier = subscribe.properties.subscription_identifiers().next();
        if self.core.hooks.wants(Events::REVIEW_SUBSCRIBE) || self.core.access.consults() {
            let entries = subscribe.filters.iter().map(|entry| self.ask_about(&entry)).collect();
            let subscribe = ReviewedSubscribe { packet_id: subscribe.packet_id, identifier, entries };
            self.review = Some(Review::of_subscribe(&self.core, &self.identity, subscribe));
            return;
        }
        let mut reasons = ReasonCodesBuf::new();
        for entry in subscribe.filters.iter() {
            let decided = self.subscribe_one(&entry, identifier);
            reasons.push(self.said(decided));
        }
        // Every filter is in the index by now, and its retained messages follow this answer.
        self.protocol.send_suback(subscribe.packet_id, reasons.as_reasons(), out);
    }

    fn ask_about(&self, entry: &SubscribeFilter<'_>) -> Entry {
        let mut options = entry.options;
        let (filter, asked) = match self.whole_filter(entry.filter) {
            Ok(filter) => {
                let mut filter = filter.into_owned();
                let asked = self.core.hooks.subscribe(&self.identity, &mut filter, &mut options);
                (filter, asked)
            }
            Err(reason) => (entry.filter.to_owned(), Err(reason)),
        };
        Entry { filter, options, asked }
    }

    /// Subscribes with what hooks that took their time have made of the filters.
    pub(super) fn conclude_subscribe(&mut self, subscribe: ReviewedSubscribe, out: &mut Vec<u8>) {
        let mut reasons = ReasonCodesBuf::new();
        for Entry { filter, options, asked } in subscribe.entries {
            let decided =
                asked.and_then(|()| self.subscribe_with(&filter, options, subscribe.identifier, true));
            reasons.push(self.said(decided));
        }
        self.protocol.send_suback(subscribe.packet_id, reasons.as_reasons(), out);
    }

    /// What a SUBACK says of a filter.
    fn said(&self, decided: Result<ReasonCode, ReasonCode>) -> ReasonCode {
        decided.unwrap_or_else(|refusal| {
            self.core.metrics.reasons.add(Refused::Subscribe, refusal);
            let telling = self.core.settings.topics.denial_reveals_reason;
            if telling { refusal } else { ReasonCode::UnspecifiedError }
        })
    }

    fn subscribe_one(
        &mut self,
        entry: &SubscribeFilter<'_>,
        identifier: Option<u32>,
    ) -> Result<ReasonCode, ReasonCode> {
        let (mut text, mut options) = (self.whole_filter(entry.filter)?, entry.options);
        if self.core.hooks.wants(Events::SUBSCRIBE) {
            self.core.hooks.subscribe(&self.identity, text.to_mut(), &mut options)?;
        }
        self.subscribe_with(&text, options, identifier, false)
    }

    fn subscribe_with(
        &mut self,
        text: &str,
        mut options: SubscriptionOptions,
        identifier: Option<u32>,
        was_asked_about: bool,
    ) -> Result<ReasonCode, ReasonCode> {
        let filter = TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        options.qos = options.qos.min(self.core.settings.policy.maximum_qos); // [MQTT-3.8.4-7]
        self.check_filter(&filter, options.qos, was_asked_about)?;
        let subscription = Subscription { options, identifier };
        let replaced = self.protocol.session_mut().subscribe(filter.as_str(), subscription);
        self.core.index.subscribe(&filter, Member { outbox: self.outbox.clone(), subscription });
        if let Some(session) = self.outbox.kept {
            let transaction = &mut self.keeping.get_or_insert_default().transaction;
            transaction.subscribe(session, filter.as_str(), subscription);
        }
        let wanted = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,         // [MQTT-3.3.1-9]
            RetainHandling::SendIfNew => replaced.is_none(), // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,              // [MQTT-3.3.1-11]
        };
        // A shared subscription gets no retained messages when it begins (section 4.8.2).
        if wanted && filter.share_name().is_none() {
            self.replays.add(Replay::new(filter.to_boxed(), subscription));
        }
        let tell = |hook: &dyn Hooks| hook.subscribed(&self.identity, filter.as_str(), options);
        self.core.hooks.tell(Events::SUBSCRIBED, tell);
        Ok(ReasonCode::granted(options.qos))
    }

    /// A filter as everybody but the client writes it.
    fn whole_filter<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, ReasonCode> {
        let Some(mountpoint) = &self.identity.mountpoint else { return Ok(Cow::Borrowed(text)) };
        let filter = TopicFilter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        let whole = mountpoint.mount_filter(&filter);
        let whole = whole.map_err(|error| reason_of(error, ReasonCode::TopicFilterInvalid))?;
        Ok(Cow::Owned(whole.into_inner()))
    }

    fn check_filter(
        &self,
        filter: &TopicFilter<&str>,
        qos: QoS,
        was_asked_about: bool,
    ) -> Result<(), ReasonCode> {
        if let Some(reason) = self.protocol.refuse_filter(filter) {
            return Err(reason);
        }
        if let Some(reason) = refuse_filter(&self.core, &self.identity, filter, qos, was_asked_about) {
            return Err(reason);
        }
        if self.outbox.kept.is_some() && !self.core.keeps_now() {
            return Err(ReasonCode::QuotaExceeded); // it could not be stored
        }
        let session = self.protocol.session();
        let is_new = session.subscription(filter.as_str()).is_none();
        if is_new && self.core.memory.is_over() {
            return Err(ReasonCode::QuotaExceeded);
        }
        if is_new && session.subscriptions().len() >= self.core.settings.limits.subscriptions_max {
            return Err(ReasonCode::QuotaExceeded);
        }
        Ok(())
    }

    /// Removes each filter and answers ([MQTT-3.10.4-4], [MQTT-3.10.4-6]).
    pub(super) fn on_unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) {
        let mut reasons = ReasonCodesBuf::new();
        for text in unsubscribe.filters.iter() {
            reasons.push(self.unsubscribe_one(text).unwrap_or_else(|refusal| refusal));
        }
        self.protocol.send_unsuback(unsubscribe.packet_id, reasons.as_reasons(), out);
    }

    fn unsubscribe_one(&mut self, text: &str) -> Result<ReasonCode, ReasonCode> {
        let mut text = self.whole_filter(text)?;
        if self.core.hooks.wants(Events::UNSUBSCRIBE) {
            self.core.hooks.unsubscribe(&self.identity, text.to_mut())?;
        }
        let filter = TopicFilter::parse(&*text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        let existed = self.end_subscription(&filter);
        Ok(if existed { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted })
    }

    /// Ends a subscription, whoever wants it to end; whether there was one.
    pub(super) fn end_subscription(&mut self, filter: &TopicFilter<&str>) -> bool {
        let text = filter.as_str();
        if self.protocol.session_mut().unsubscribe(text).is_none() {
            return false;
        }
        self.core.index.unsubscribe(filter, self.outbox.key);
        if let Some(session) = self.outbox.kept {
            self.keeping.get_or_insert_default().transaction.unsubscribe(session, text);
        }
        self.replays.remove(text);
        self.core.hooks.tell(Events::UNSUBSCRIBED, |hook| hook.unsubscribed(&self.identity, text));
        true
    }
}

/// Why a client may not subscribe with a filter; `None` if it may. What is open is allowed if somebody was asked about it.
pub(crate) fn refuse_filter(
    core: &Core,
    identity: &Identity,
    filter: &TopicFilter<&str>,
    qos: QoS,
    was_asked_about: bool,
) -> Option<ReasonCode> {
    if identity.privileged {
        return None;
    }
    let (limits, topics) = (&core.settings.limits, &core.settings.topics);
    if filter.as_str().len() > limits.topic_bytes_max || filter.levels().count() > limits.topic_levels_max {
        return Some(ReasonCode::TopicFilterInvalid);
    }
    let denied = topics.subscribe_denied.iter().any(|denied| denied.filter() == filter.filter());
    let allowed = core.access.may_subscribe(identity, filter, qos)
        || was_asked_about && core.access.is_open(identity, filter, qos);
    (denied || !allowed).then_some(ReasonCode::NotAuthorized)
}

/// Asks somebody else about a filter that is open. What is refused here is [refused later](refuse_filter).
pub(crate) async fn ask_to_subscribe(
    core: &Arc<Core>,
    identity: &Arc<Identity>,
    filter: &TopicFilter<&str>,
    qos: QoS,
) -> Result<(), ReasonCode> {
    let decided = identity.privileged
        || core.access.may_subscribe(identity, filter, qos)
        || !core.access.is_open(identity, filter, qos);
    if decided { Ok(()) } else { said(core.consult(Question::about_filter(identity, filter, qos)).await) }
}
