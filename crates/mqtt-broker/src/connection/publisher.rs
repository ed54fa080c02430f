//! A client's publications: authorise, retain, route.

use std::cell::OnceCell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mqtt_access::consult::Consulted;
use mqtt_codec::{PlainPublish, QoS, ReasonCode, Version};
use mqtt_session::{DropReason, InboundPublish, Layout, Mounting, Rights, is_batchable};

use mqtt_store::Source;
use mqtt_topic::TopicName;

use super::paths::{Path, Paths, said};
use super::run::{self, Run};
use crate::access::Identity;
use crate::consulting::Question;
use crate::core::{Core, Touched};
use crate::hooks::{Chain, Objection};
use crate::outbox::Outbox;
use crate::peers::Answer;
use crate::restrict::source_of;

/// The bytes of a message as they arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'a> {
    pub(super) frame: &'a [u8],
    pub(super) layout: Layout,
}

/// The publishing half of a client.
pub(super) struct Publisher {
    core: Arc<Core>,
    identity: Arc<Identity>,
    /// Key of the client's session.
    key: u64,
    /// Whether its acknowledgements carry reasons; without, what cannot be kept is still delivered.
    refusals_are_heard: bool,
    source: OnceCell<Arc<Source>>,
    paths: Paths,
    run: Run,
    pub(super) touched: Touched,
    /// For a client that has names of its own for its topics.
    pub(super) mounting: Option<Box<Mounting>>,
    /// Whether the latest message was refused because the store cannot keep it now.
    pub(super) is_unstored: bool,
    /// Retained messages of this burst, set or cleared.
    retained: u32,
    /// Whether the last burst ended with them.
    pub(super) was_heavy: bool,
}

impl Publisher {
    pub(super) fn new(core: Arc<Core>, identity: Arc<Identity>, key: u64, refusals_are_heard: bool) -> Self {
        let (paths, run, touched) = (Paths::default(), Run::new(), Touched::default());
        let source = OnceCell::new();
        let mounting = identity.mountpoint.clone().map(|mountpoint| Box::new(Mounting::new(mountpoint)));
        let is_unstored = false;
        Self {
            core,
            identity,
            key,
            refusals_are_heard,
            source,
            paths,
            run,
            touched,
            mounting,
            is_unstored,
            retained: 0,
            was_heavy: false,
        }
    }

    /// Routes one message; the reason is what its acknowledgement says, which must not leave before
    /// [`burst_over`](Self::burst_over) has returned: then at the latest the message is in every outbox it belongs to.
    ///
    /// # Errors
    /// Somebody has to be asked first, and takes time: see [`publish_consulted`](Self::publish_consulted).
    pub(super) fn publish(
        &mut self,
        publish: &InboundPublish<'_>,
        now: Instant,
    ) -> Result<ReasonCode, Answer<'static, Consulted>> {
        self.is_unstored = false;
        let number = self.find_path(publish, now);
        let path = self.paths.path(number);
        if let Some(reason) = path.refused {
            self.refuse(publish, DropReason::PublishNotAuthorized);
            return Ok(reason);
        }
        if !path.rights.is_all() && !path.rights.allow(publish.qos, publish.retain) {
            return self.publish_open(number, publish, now);
        }
        Ok(self.publish_allowed(number, publish, now))
    }

    /// A message that is not allowed here; somebody else may be asked.
    #[cold]
    fn publish_open(
        &mut self,
        number: usize,
        publish: &InboundPublish<'_>,
        now: Instant,
    ) -> Result<ReasonCode, Answer<'static, Consulted>> {
        if !self.paths.path(number).open.allow(publish.qos, publish.retain) {
            self.refuse(publish, DropReason::PublishNotAuthorized);
            return Ok(ReasonCode::NotAuthorized);
        }
        let question = Question::about_message(&self.identity, publish.topic, publish.qos, publish.retain);
        let mut answer = self.core.consult(question);
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(consulted) => Ok(self.publish_consulted(publish, consulted, now)),
            Poll::Pending => Err(answer),
        }
    }

    /// Does what was answered about a message.
    pub(super) fn publish_consulted(
        &mut self,
        publish: &InboundPublish<'_>,
        consulted: Consulted,
        now: Instant,
    ) -> ReasonCode {
        self.is_unstored = false;
        let number = self.find_path(publish, now);
        let path = self.paths.path(number);
        let by_rules = path.rights.allow(publish.qos, publish.retain);
        // Rules may have changed since it was asked.
        let allowed =
            by_rules || path.open.allow(publish.qos, publish.retain) && consulted.verdict == Ok(true);
        let holds = consulted.until > now;
        if let (false, true, Ok(verdict)) = (by_rules, holds, consulted.verdict)
            && path.open.allow(publish.qos, publish.retain)
        {
            let kind = Rights::of(publish.qos, publish.retain);
            self.paths.learn(number, kind, verdict, consulted.until);
        }
        if !allowed {
            let undecided = consulted.verdict.is_err();
            self.refuse(
                publish,
                if undecided { DropReason::PublishUndecided } else { DropReason::PublishNotAuthorized },
            );
            return said(consulted).err().unwrap_or(ReasonCode::NotAuthorized);
        }
        let reason = self.publish_allowed(number, publish, now);
        if !by_rules && !holds {
            self.hand_over_run(now);
            self.paths.run_before = None; // the next message on this topic is asked about
        }
        reason
    }

    fn publish_allowed(&mut self, number: usize, publish: &InboundPublish<'_>, now: Instant) -> ReasonCode {
        let path = self.paths.path(number);
        if publish.payload.len() > self.core.settings.limits.payload_bytes_max {
            self.refuse(publish, DropReason::PayloadTooLarge);
            return ReasonCode::QuotaExceeded;
        }
        let transaction = &mut self.touched.transaction;
        transaction.set_durability(path.durability);
        let able = !transaction.keeps_messages() || self.core.keeps_now();
        if !able && !self.core.can_store(transaction, publish.qos, publish.retain, &path.route) {
            self.is_unstored = true;
            return ReasonCode::QuotaExceeded; // what cannot be stored is not acknowledged
        }
        if self.core.peers.is_none() {
            if path.route.is_empty() && !publish.retain {
                return unmatched(publish.qos);
            }
            if is_batchable(publish) && !run::cuts_short(&path.route, publish) {
                self.add_to_run(number, publish, now);
                return ReasonCode::Success;
            }
        }
        self.hand_over_run(now);
        self.publish_singly(number, publish, able, now)
    }

    /// The topic of the run, if whatever is published on it next just joins its batches; between two runs that of the
    /// one before.
    #[inline]
    pub(super) fn topic_in_batches(&self, now: Instant) -> Option<&Arc<str>> {
        let on = if self.run.path().is_some() { self.run.path_in_batches() } else { self.paths.run_before };
        let (number, _) = on?;
        // A mounted client's packets name their topics in another way.
        let is_named_so = self.mounting.is_none() && !self.paths.is_outdated(&self.core, now);
        is_named_so.then(|| &self.paths.path(number).topic)
    }

    /// Whether a message on that topic may join: what was found out for the first message of the run holds for it as well.
    #[inline]
    pub(super) fn goes_on_with(&mut self, publish: &PlainPublish<'_>) -> bool {
        if self.run.path().is_none() {
            self.start_again(publish.qos);
        }
        let same_qos = self.run.path_in_batches().is_some_and(|(_, qos)| qos == publish.qos);
        let stored = publish.qos > QoS::AtMostOnce && self.touched.transaction.keeps_messages();
        same_qos
            && publish.payload.len() <= self.core.settings.limits.payload_bytes_max
            && (!stored || self.core.keeps_now())
    }

    /// Starts a run like the one before, if it is for the same quality of service.
    fn start_again(&mut self, qos: QoS) {
        if let Some((number, _)) = self.paths.run_before.filter(|(_, before)| *before == qos) {
            let path = self.paths.path(number);
            self.is_unstored = false;
            self.touched.transaction.set_durability(path.durability);
            self.run.start(number, qos, &path.route);
        }
    }

    /// What hooks have against a message on the topic of the run.
    #[inline]
    pub(super) fn object(
        &self,
        hooks: &Chain,
        client: &Identity,
        publish: &PlainPublish<'_>,
    ) -> Option<Box<Objection>> {
        let (number, _) = self.run.path_in_batches()?;
        let topic = TopicName::assume_valid(&*self.paths.path(number).topic);
        hooks.object(client, &InboundPublish::plain(publish, topic))
    }

    /// Adds a message that [may](Self::goes_on_with) join the run.
    #[inline]
    pub(super) fn go_on_with(
        &mut self,
        arrived: Arrived<'_>,
        publish: &InboundPublish<'_>,
        now: Instant,
    ) -> ReasonCode {
        if self.run.add_plain(arrived, publish, &self.core.outbox_limits.queue) {
            self.hand_over_run(now);
        }
        ReasonCode::Success
    }

    /// The same on the topic of the run.
    #[inline]
    pub(super) fn go_on_with_plain(
        &mut self,
        arrived: Arrived<'_>,
        publish: &PlainPublish<'_>,
        now: Instant,
    ) {
        let Some((number, _)) = self.run.path_in_batches() else { return };
        let topic = TopicName::assume_valid(&*self.paths.path(number).topic);
        let publish = InboundPublish::plain(publish, topic);
        if self.run.add_plain(arrived, &publish, &self.core.outbox_limits.queue) {
            self.hand_over_run(now);
        }
    }

    /// Number of the path of a message. A run on another path, or on one that is no longer valid, is handed
    /// over before.
    fn find_path(&mut self, publish: &InboundPublish<'_>, now: Instant) -> usize {
        if self.paths.is_outdated(&self.core, now) {
            self.hand_over_run(now);
            self.paths.renew(&self.core);
        }
        match self.paths.known(publish.topic) {
            Some(number) => {
                if !self.run.is_on(number, publish.qos) {
                    self.hand_over_run(now);
                }
                number
            }
            None => {
                self.hand_over_run(now);
                self.paths.look_up(&self.core, &self.identity, self.key, publish.topic)
            }
        }
    }

    fn add_to_run(&mut self, number: usize, publish: &InboundPublish<'_>, now: Instant) {
        let route = &self.paths.path(number).route;
        if !self.run.is_on(number, publish.qos) {
            self.run.start(number, publish.qos, route);
        }
        if self.run.add(&self.core, route, publish, self.key, now, &mut self.touched) {
            self.hand_over_run(now);
        }
    }

    pub(super) fn hand_over_run(&mut self, now: Instant) {
        if let Some(number) = self.run.path() {
            self.paths.run_before = self.run.path_in_batches();
            let route = &self.paths.path(number).route;
            self.run.hand_over(&self.core, route, self.key, now, &mut self.touched);
        }
    }

    fn publish_singly(
        &mut self,
        number: usize,
        publish: &InboundPublish<'_>,
        able: bool,
        now: Instant,
    ) -> ReasonCode {
        let core = &self.core;
        let Path { route, .. } = self.paths.path(number);
        let message = publish.message(self.key);
        let source = self.source();
        self.retained += u32::from(publish.retain);
        let transaction = &mut self.touched.transaction;
        let id = &self.identity.client_id;
        let kept =
            !publish.retain || (able && core.retain(&message, publish.qos, id, source, transaction).is_ok());
        if !kept && self.refusals_are_heard && publish.qos > QoS::AtMostOnce {
            return ReasonCode::QuotaExceeded; // refused as a whole: the publisher may try again
        }
        core.tell_peers(&message, publish.qos, publish.retain);
        let routed = core.deliver(route, &message, publish.qos, publish.retain, now, &mut self.touched);
        // Other nodes may have subscribers that this one does not know of.
        let somebody = routed.matched || publish.retain || core.peers.is_some();
        if somebody { ReasonCode::Success } else { unmatched(publish.qos) }
    }

    pub(super) fn refuse(&self, publish: &InboundPublish<'_>, reason: DropReason) {
        let (core, id, topic) = (&self.core, &self.identity.client_id, publish.topic.as_str());
        core.drops.record_for(&core.metrics, reason, id, topic, publish.qos);
    }

    /// Whether a receiver is over its budget, so that this client has to wait, or it is the turn of others.
    pub(super) fn must_pause(&self) -> bool {
        !self.touched.congested.is_empty() || self.retained >= RETAINED_MAX
    }

    /// The publisher of retained messages, made with the first one.
    fn source(&self) -> Option<Arc<Source>> {
        Some(self.source.get_or_init(|| source_of(&self.identity)).clone())
    }

    /// After a read burst: hands over what was collected and wakes the receivers, once each.
    pub(super) fn burst_over(&mut self, now: Instant) {
        self.hand_over_run(now);
        self.paths.trim();
        self.core.settle(&mut self.touched);
        self.was_heavy = std::mem::take(&mut self.retained) >= RETAINED_MAX;
    }
}

/// Retained messages that one client sets or clears before others get their turn.
const RETAINED_MAX: u32 = 64;

/// The publishing half of a client, made with its first message.
#[inline]
pub(super) fn publisher<'a>(
    made: &'a mut Option<Box<Publisher>>,
    core: &Arc<Core>,
    identity: &Arc<Identity>,
    outbox: &Outbox,
    version: Version,
) -> &'a mut Publisher {
    made.get_or_insert_with(|| {
        let refusals_are_heard = version == Version::V5;
        Box::new(Publisher::new(core.clone(), identity.clone(), outbox.key, refusals_are_heard))
    })
}

/// What a publisher above QoS 0 is told when nobody subscribed (section 3.4.2.1).
fn unmatched(qos: QoS) -> ReasonCode {
    if qos == QoS::AtMostOnce { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
}
