//! All hooks of a broker, in their order.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use mqtt_codec::{Framing, Packet, PacketType, frame};
use mqtt_codec::{ReasonCode, SubscriptionOptions, Version, decode, encode};
use mqtt_session::message::expiry;
use mqtt_session::{InboundPublish, Opening, PACKET_BYTES_MAX, Refusal};
use mqtt_topic::TopicName;

use super::events::Waning;
use super::left_out;
use super::sense::{
    error_for, grants_only_less, is_filter, is_from_a_client, is_subscribable, refusal_for, stands_for,
};
use super::{Authentication, Events, FailureRule, Hooks, PacketVerdict, PublishVerdict};
use crate::access::{Identity, Login};
use crate::{Peer, Publication};

/// The hooks in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    entries: Vec<Arc<Entry>>,
    /// Those that are asked about each message.
    publishing: Box<[Arc<Entry>]>,
    /// Whether all of those have been asked once.
    have_been_asked: AtomicBool,
    /// What any of them wants.
    wanted: Waning,
}

#[derive(Debug)]
struct Entry {
    hook: Arc<dyn Hooks>,
    kind: TypeId,
    events: Waning,
    /// What it was not yet asked or told.
    untried: Waning,
    rule: FailureRule,
}

/// What the chain makes of a message.
pub(crate) enum Ruling {
    Pass,
    Rewritten(Box<Publication>),
    Swallow,
    Reject(ReasonCode),
}

/// What the chain makes of a packet.
pub(crate) enum PacketRuling {
    Pass,
    Replaced(Vec<u8>),
    Ignore,
    Reject(ReasonCode),
}

/// What the first hook that did not simply pass a message said of it; `None` if it panicked.
pub(crate) struct Objection {
    place: usize,
    verdict: Option<PublishVerdict>,
}

impl Objection {
    #[cold]
    fn new(place: usize, verdict: Option<PublishVerdict>) -> Box<Self> {
        Box::new(Self { place, verdict })
    }
}

/// What a hook that fails closed makes of a question.
pub(super) const FAILED: ReasonCode = ReasonCode::ImplementationSpecificError;

impl Chain {
    pub(crate) fn new(hooks: Vec<Arc<dyn Hooks>>) -> Self {
        let entries: Vec<_> = hooks.into_iter().map(|hook| Arc::new(Entry::new(hook))).collect();
        let wanted = entries.iter().fold(Events::NONE, |wanted, entry| wanted | entry.events.events());
        let asked = |entry: &&Arc<Entry>| entry.wants(Events::PUBLISH);
        let publishing = entries.iter().filter(asked).cloned().collect();
        Self { entries, publishing, have_been_asked: AtomicBool::new(false), wanted: Waning::new(wanted) }
    }

    /// What any hook wants.
    #[inline]
    pub(crate) fn wanted(&self) -> Events {
        self.wanted.events()
    }

    /// Whether any hook wants this event.
    #[inline]
    pub(crate) fn wants(&self, event: Events) -> bool {
        self.wanted().contains(event)
    }

    fn wanting(&self, event: Events) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry).filter(move |entry| entry.wants(event))
    }

    /// `None` if the hook panics.
    fn call<T>(&self, entry: &Entry, event: Events, call: impl FnOnce(&dyn Hooks) -> T) -> Option<T> {
        self.tried(entry, event, || entry.caught(|| call(&*entry.hook)))
    }

    /// What a call returns. After the first one it is known whether the hook has a method for it.
    fn tried<T>(&self, entry: &Entry, event: Events, call: impl FnOnce() -> T) -> T {
        if !entry.untried.events().contains(event) {
            return call();
        }
        let (is_left_out, returned) = left_out::watch(entry.kind, event, call);
        entry.untried.remove(event);
        if is_left_out {
            entry.events.remove(event);
            if self.wanting(event).next().is_none() {
                self.wanted.remove(event);
            }
        }
        returned
    }

    /// `None` if the hook panics or takes too long.
    async fn wait<'a, T>(
        &'a self,
        entry: &'a Entry,
        event: Events,
        ask: impl FnOnce(&'a dyn Hooks) -> crate::Answer<'a, T>,
    ) -> Option<T> {
        let answer = self.tried(entry, event, || entry.caught(|| ask(&*entry.hook)))?;
        entry.wait(answer).await
    }

    /// Tells every hook that wants to know.
    pub(crate) fn tell(&self, event: Events, tell: impl Fn(&dyn Hooks)) {
        if !self.wants(event) {
            return;
        }
        for entry in self.wanting(event) {
            self.call(entry, event, |hook| tell(hook));
        }
    }

    /// Asks every hook that wants to be asked, until one says no.
    pub(crate) fn ask(
        &self,
        event: Events,
        mut ask: impl FnMut(&dyn Hooks) -> Result<(), ReasonCode>,
    ) -> Result<(), ReasonCode> {
        if !self.wants(event) {
            return Ok(());
        }
        for entry in self.wanting(event) {
            match self.call(entry, event, &mut ask) {
                Some(answer) => answer?,
                None if entry.rule.refuse => return Err(FAILED),
                None => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn authenticate(&self, login: &Login<'_>) -> Authentication {
        for entry in self.wanting(Events::AUTHENTICATE) {
            match self.wait(entry, Events::AUTHENTICATE, |hook| hook.authenticate(login)).await {
                Some(Authentication::NoOpinion) => {}
                Some(Authentication::Admit) => return Authentication::Admit,
                Some(Authentication::Refuse(refusal)) => {
                    return Authentication::Refuse(refusal_for(PacketType::Connack, refusal));
                }
                None if entry.rule.refuse => return Authentication::Refuse(FAILED.into()),
                None => {}
            }
        }
        Authentication::NoOpinion
    }

    pub(crate) async fn connect(&self, peer: &Peer, opening: &mut Opening) -> Result<(), Refusal> {
        let asked = opening.clone();
        for entry in self.wanting(Events::CONNECT) {
            let mut changed = opening.clone();
            match self.wait(entry, Events::CONNECT, |hook| hook.connect(peer, &mut changed)).await {
                Some(answer) => answer.map_err(|refusal| refusal_for(PacketType::Connack, refusal))?,
                None if entry.rule.refuse => return Err(FAILED.into()),
                None => continue,
            }
            *opening = changed;
        }
        grants_only_less(opening, asked);
        Ok(())
    }

    /// Asks about a message; `None` if every hook passes it. One guard against panics serves for all of them.
    #[inline(never)]
    pub(crate) fn object(&self, client: &Identity, publish: &InboundPublish<'_>) -> Option<Box<Objection>> {
        if !self.have_been_asked.load(Ordering::Relaxed) {
            return self.object_first(client, publish);
        }
        let place = Cell::new(0);
        let asked = catch_unwind(AssertUnwindSafe(|| {
            for (number, entry) in self.publishing.iter().enumerate() {
                place.set(number);
                let verdict = entry.hook.publish(client, publish);
                if !matches!(verdict, PublishVerdict::Pass) {
                    return Some(Objection::new(number, Some(verdict)));
                }
                std::mem::forget(verdict); // nothing is in it
            }
            None
        }));
        match asked {
            Ok(objection) => objection,
            Err(_) => {
                self.publishing[place.get()].note_panic();
                Some(Objection::new(place.get(), None))
            }
        }
    }

    /// The same, until each hook has been asked once.
    #[cold]
    fn object_first(&self, client: &Identity, publish: &InboundPublish<'_>) -> Option<Box<Objection>> {
        for (place, entry) in self.publishing.iter().enumerate() {
            let verdict = self.call(entry, Events::PUBLISH, |hook| hook.publish(client, publish));
            if !matches!(verdict, Some(PublishVerdict::Pass)) {
                return Some(Objection::new(place, verdict));
            }
        }
        self.have_been_asked.store(true, Ordering::Relaxed);
        None
    }

    /// What becomes of a message.
    pub(crate) fn publish(&self, client: &Identity, publish: &InboundPublish<'_>, now: Instant) -> Ruling {
        match self.object(client, publish) {
            None => Ruling::Pass,
            Some(objection) => self.rule(client, publish, *objection, now),
        }
    }

    /// What becomes of a message after an objection: the other hooks are asked as well.
    #[cold]
    pub(crate) fn rule(
        &self,
        client: &Identity,
        publish: &InboundPublish<'_>,
        Objection { place, mut verdict }: Objection,
        now: Instant,
    ) -> Ruling {
        let mut rewritten: Option<Box<Publication>> = None;
        let (objecting, others) = self.publishing[place..].split_first().expect("one has objected");
        let mut entry = objecting;
        let mut others = others.iter();
        loop {
            match verdict {
                Some(PublishVerdict::Pass) => {}
                Some(PublishVerdict::Rewrite(publication)) if publication.check().is_ok() => {
                    rewritten = Some(publication);
                }
                Some(PublishVerdict::Swallow) => return Ruling::Swallow,
                Some(PublishVerdict::Reject(reason)) if reason.is_error() => {
                    return Ruling::Reject(error_for(PacketType::Puback, reason));
                }
                // A panic, a topic that is none, a refusal with a success.
                _ if entry.rule.refuse => return Ruling::Reject(FAILED),
                _ => {}
            }
            let Some(next) = others.next() else { break };
            entry = next;
            let changed = rewritten.as_deref().and_then(|publication| rewrite(publish, publication, now));
            let publish = changed.as_ref().unwrap_or(publish);
            verdict = self.call(entry, Events::PUBLISH, |hook| hook.publish(client, publish));
        }
        rewritten.map_or(Ruling::Pass, Ruling::Rewritten)
    }

    /// Asks those that take their time about a message: what to publish, if anything.
    pub(crate) async fn review_publish(
        &self,
        client: &Identity,
        mut publication: Publication,
    ) -> Result<Option<Publication>, ReasonCode> {
        let qos = publication.qos;
        for entry in self.wanting(Events::REVIEW_PUBLISH) {
            let answer = self
                .wait(entry, Events::REVIEW_PUBLISH, |hook| hook.review_publish(client, &publication))
                .await;
            match answer {
                Some(PublishVerdict::Pass) => {}
                Some(PublishVerdict::Rewrite(changed)) if changed.check().is_ok() => {
                    publication = Publication { qos, ..*changed };
                }
                Some(PublishVerdict::Swallow) => return Ok(None),
                Some(PublishVerdict::Reject(reason)) if reason.is_error() => {
                    return Err(error_for(PacketType::Puback, reason));
                }
                _ if entry.rule.refuse => return Err(FAILED),
                _ => {}
            }
        }
        Ok(Some(publication))
    }

    /// Asks those that take their time about a filter.
    pub(crate) async fn review_subscribe(
        &self,
        client: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        for entry in self.wanting(Events::REVIEW_SUBSCRIBE) {
            let mut changed = (filter.clone(), *options);
            let answer = self
                .wait(entry, Events::REVIEW_SUBSCRIBE, |hook| {
                    hook.review_subscribe(client, &mut changed.0, &mut changed.1)
                })
                .await;
            let sense = is_subscribable(&changed, (filter, *options));
            if entry.passes(answer, sense, PacketType::Suback)? {
                (*filter, *options) = changed;
            }
        }
        Ok(())
    }

    pub(crate) fn received(&self, client: &Identity, packet: &Packet<'_>) -> PacketRuling {
        let ask = |hook: &dyn Hooks, packet: &Packet<'_>| hook.packet_received(client, packet);
        self.inspect(Events::PACKET_RECEIVED, packet, ask, |_, with| is_from_a_client(with))
    }

    fn inspect(
        &self,
        event: Events,
        packet: &Packet<'_>,
        ask: impl Fn(&dyn Hooks, &Packet<'_>) -> PacketVerdict,
        makes_sense: impl Fn(&Packet<'_>, &Packet<'_>) -> bool,
    ) -> PacketRuling {
        let is_sense = |bytes: &[u8]| decode(bytes, Version::V5).is_ok_and(|with| makes_sense(packet, &with));
        let mut replaced: Option<Vec<u8>> = None;
        for entry in self.wanting(event) {
            let now = replaced.as_deref().and_then(|bytes| decode(bytes, Version::V5).ok());
            let verdict = self.call(entry, event, |hook| ask(hook, now.as_ref().unwrap_or(packet)));
            match verdict {
                Some(PacketVerdict::Pass) => {}
                Some(PacketVerdict::Replace(bytes)) if is_sense(&bytes) => replaced = Some(bytes),
                Some(PacketVerdict::Ignore) => return PacketRuling::Ignore,
                Some(PacketVerdict::Reject(reason)) if reason.is_error() => {
                    return PacketRuling::Reject(error_for(PacketType::Disconnect, reason));
                }
                _ if entry.rule.refuse => return PacketRuling::Reject(FAILED),
                _ => {}
            }
        }
        replaced.map_or(PacketRuling::Pass, PacketRuling::Replaced)
    }

    /// Shows what was appended to `out` from here on, packet by packet, and puts what the hooks make of it in its place.
    /// No packet becomes larger than the client takes ([MQTT-3.1.2-24]).
    pub(crate) fn sending(
        &self,
        client: &Identity,
        version: Version,
        bytes_max: u32,
        out: &mut Vec<u8>,
        from: usize,
    ) {
        let written = out.split_off(from);
        let mut rest = &*written;
        while let Ok(Framing::Complete { frame_len, .. }) = frame(rest, PACKET_BYTES_MAX) {
            let (bytes, after) = rest.split_at(frame_len);
            rest = after;
            let Ok(packet) = decode(bytes, version) else {
                out.extend_from_slice(bytes);
                continue;
            };
            let ask = |hook: &dyn Hooks, packet: &Packet<'_>| hook.packet_sending(client, packet);
            let makes_sense =
                |packet: &Packet<'_>, with: &Packet<'_>| stands_for(packet, with, version, bytes_max);
            match self.inspect(Events::PACKET_SENDING, &packet, ask, makes_sense) {
                PacketRuling::Pass => out.extend_from_slice(bytes),
                PacketRuling::Ignore | PacketRuling::Reject(_) => {}
                PacketRuling::Replaced(replaced) => {
                    let again = decode(&replaced, Version::V5).expect("it was decoded before");
                    encode(&again, version, out).expect("it was measured before");
                }
            }
        }
        out.extend_from_slice(rest);
    }

    pub(crate) fn subscribe(
        &self,
        client: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        for entry in self.wanting(Events::SUBSCRIBE) {
            let mut changed = (filter.clone(), *options);
            let answer = self.call(entry, Events::SUBSCRIBE, |hook| {
                hook.subscribe(client, &mut changed.0, &mut changed.1)
            });
            let sense = is_subscribable(&changed, (filter, *options));
            if entry.passes(answer, sense, PacketType::Suback)? {
                (*filter, *options) = changed;
            }
        }
        Ok(())
    }

    pub(crate) fn unsubscribe(&self, client: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        for entry in self.wanting(Events::UNSUBSCRIBE) {
            let mut changed = filter.clone();
            let answer = self.call(entry, Events::UNSUBSCRIBE, |hook| hook.unsubscribe(client, &mut changed));
            let sense = changed == *filter || is_filter(&changed);
            if entry.passes(answer, sense, PacketType::Unsuback)? {
                *filter = changed;
            }
        }
        Ok(())
    }

    pub(crate) fn select_member(&self, topic: &str, members: &[&str]) -> Option<usize> {
        let mut wanting = self.wanting(Events::SELECT_MEMBER);
        let chosen = wanting.find_map(|entry| {
            self.call(entry, Events::SELECT_MEMBER, |hook| hook.select_member(topic, members))?
        });
        chosen.filter(|chosen| *chosen < members.len())
    }

    /// Whether a will goes out, rewritten if a hook wants it so.
    pub(crate) fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        self.wanting(Events::WILL).all(|entry| {
            let mut changed = will.clone();
            match self.call(entry, Events::WILL, |hook| hook.will(client_id, &mut changed)) {
                Some(true) if changed.check().is_ok() => {
                    *will = changed;
                    true
                }
                Some(false) => false,
                _ => !entry.rule.refuse,
            }
        })
    }
}

impl Entry {
    fn new(hook: Arc<dyn Hooks>) -> Self {
        let (events, rule) = (hook.interests(), hook.failure_rule());
        let any: &dyn Any = &*hook;
        let kind = any.type_id();
        Self { hook, kind, events: Waning::new(events), untried: Waning::new(events), rule }
    }

    #[inline]
    fn wants(&self, event: Events) -> bool {
        self.events.events().contains(event)
    }

    /// `None` if the hook panics.
    fn caught<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let called = catch_unwind(AssertUnwindSafe(call));
        if called.is_err() {
            self.note_panic();
        }
        called.ok()
    }

    /// Whether what a hook made of a filter counts. Without an answer, or one that makes no sense, its rule decides: `false`
    /// if it is as if the hook were not there.
    fn passes(
        &self,
        answer: Option<Result<(), ReasonCode>>,
        makes_sense: bool,
        says: PacketType,
    ) -> Result<bool, ReasonCode> {
        match answer {
            Some(Err(reason)) => Err(error_for(says, reason)),
            Some(Ok(())) if makes_sense => Ok(true),
            _ if self.rule.refuse => Err(FAILED),
            _ => Ok(false),
        }
    }

    #[cold]
    fn note_panic(&self) {
        tracing::error!(hook = ?self.hook, "a hook panicked");
    }

    /// `None` if the hook panics or takes too long.
    async fn wait<T>(&self, answer: crate::Answer<'_, T>) -> Option<T> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.rule.deadline, answer).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(_)) => {
                self.note_panic();
                None
            }
            Err(_) => {
                tracing::error!(hook = ?self.hook, "a hook did not answer in time");
                None
            }
        }
    }
}

/// The message that arrived with what a hook made of it; `None` if its topic is none.
pub(crate) fn rewrite<'a>(
    publish: &InboundPublish<'a>,
    with: &'a Publication,
    now: Instant,
) -> Option<InboundPublish<'a>> {
    let mut publish = publish.clone();
    publish.topic = TopicName::parse(with.topic.as_str()).ok()?;
    publish.payload = &with.payload;
    publish.retain = with.retain;
    let interval_s = with.properties.as_properties().message_expiry_interval_s();
    if interval_s != publish.properties.message_expiry_interval_s() {
        publish.expires_at = expiry(interval_s, now);
    }
    publish.properties = with.properties.as_properties();
    Some(publish)
}
