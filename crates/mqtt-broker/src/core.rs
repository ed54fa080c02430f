//! What all connections of a broker share, and what the router does with a message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_access::bans::Bans;
use mqtt_codec::QoS;
use mqtt_session::{AuthenticationMethod, Batch, Delivery, DropReason, Hop, Message, Session};
use mqtt_store::{RetainOutcome, Retained, Source, Store, StoreError, Transaction};
use mqtt_topic::{TopicFilter, TopicName};
use tokio::sync::watch;

use crate::Settings;
use crate::access::Access;
use crate::alarms::Alarms;
use crate::calendar::Calendar;
use crate::certificates::Certificates;
use crate::clients::{Away, Clients};
use crate::drops::DropLedger;
use crate::gate::Gate;
use crate::group::Group;
use crate::hooks::{Chain, Events};
use crate::index::{Index, Route, Target};
use crate::leftovers::Leftovers;
use crate::listening::ListenerRules;
use crate::local::Locals;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::mountpoint::MountpointTemplate;
use crate::outbox::{Left, Outbox, OutboxLimits, Signals};
use crate::peers::Peers;
use crate::sweep::Sweep;
use crate::timetable::{Due, Timetable};

/// The shared parts of one broker.
#[derive(Debug)]
pub(crate) struct Core {
    /// The certificates of the listeners.
    pub(crate) certificates: Certificates,
    /// Where clients are mounted, by the name of their listener.
    pub(crate) mountpoints: HashMap<Arc<str>, MountpointTemplate>,
    pub(crate) settings: Settings,
    pub(crate) outbox_limits: OutboxLimits,
    pub(crate) store: Arc<dyn Store>,
    /// Whether anything outlives the process.
    pub(crate) is_durable: bool,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) peers: Option<Arc<dyn Peers>>,
    pub(crate) hooks: Arc<Chain>,
    pub(crate) methods: HashMap<Box<str>, Arc<dyn AuthenticationMethod>>,
    pub(crate) index: Index,
    pub(crate) clients: Clients,
    pub(crate) timetable: Timetable,
    pub(crate) alarms: Alarms,
    pub(crate) sweep: Sweep,
    pub(crate) leftovers: Leftovers,
    pub(crate) bans: Bans,
    pub(crate) gate: Gate,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    pub(crate) drops: DropLedger,
    pub(crate) locals: Locals,
    /// Stands for the publisher of messages from other nodes in the drop ledger.
    pub(crate) peer_id: Arc<str>,
    pub(crate) started_at: Instant,
    pub(crate) calendar: Calendar,
    /// Set once, when the broker stops.
    pub(crate) stopping: watch::Sender<bool>,
    /// Keyed with random bytes of the system (SipHash), for identifiers that we assign.
    pub(crate) id_hasher: std::hash::RandomState,
}

/// Collects the outboxes that a burst of publications touched, so that each owner is woken once.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    to_wake: Vec<Arc<Outbox>>,
    /// Outboxes over their budget, which the publisher has to wait for.
    pub(crate) congested: Vec<Arc<Outbox>>,
    /// What has to be stored for them.
    pub(crate) transaction: Transaction,
}

impl Touched {
    /// Notes what a push asks for.
    fn note(&mut self, outbox: &Arc<Outbox>, signals: Signals) {
        if signals.wake {
            self.to_wake.push(outbox.clone());
        }
        if signals.congested && !self.congested.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            self.congested.push(outbox.clone());
        }
    }

    /// Wakes every owner that was touched.
    pub(crate) fn wake(&mut self) {
        for outbox in self.to_wake.drain(..) {
            outbox.wake();
        }
    }
}

/// What became of one publication.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routed {
    /// Whether any subscription matched.
    pub(crate) matched: bool,
}

impl Core {
    /// The time that all deadlines are compared with. Follows tokio's clock, so tests can stop it.
    pub(crate) fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// A client identifier for a client that left the choice to us ([MQTT-3.1.3-6]). It cannot be guessed,
    /// so nobody can wait for it to take the session over.
    pub(crate) fn assigned_client_id(&self) -> Box<str> {
        use std::hash::BuildHasher;
        let serial = self.index.new_key();
        let [a, b] = [0u8, 1].map(|salt| self.id_hasher.hash_one((serial, salt)));
        format!("auto-{serial:x}-{a:016x}{b:016x}").into()
    }

    /// Runs what must not hold up a shutdown; `None` if the broker stops first.
    pub(crate) async fn unless_stopping<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            output = work => Some(output),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        }
    }

    /// The method of enhanced authentication of this name that clients of a listener may use.
    pub(crate) fn method(
        &self,
        name: &str,
        listener: &ListenerRules,
    ) -> Option<Arc<dyn AuthenticationMethod>> {
        self.methods.get(name).cloned().or_else(|| self.access.method(name, listener))
    }

    /// Whether one more session may be kept for a client that is away.
    pub(crate) fn may_park(&self) -> bool {
        self.clients.len().1 < self.settings.limits.parked_sessions_max
    }

    /// What a publication on this topic touches is collected in this.
    pub(crate) fn touched_by(&self, topic: &str) -> Touched {
        let mut touched = Touched::default();
        touched.transaction.set_durability(self.durability(topic));
        touched
    }

    /// Stores what has to be, without waiting for it, and wakes every owner that was touched.
    pub(crate) fn settle(&self, touched: &mut Touched) {
        self.submit(&mut touched.transaction);
        touched.wake();
    }

    /// Hands a message to every session on its route.
    pub(crate) fn deliver(
        &self,
        route: &Route,
        message: &Message,
        qos: QoS,
        retain: bool,
        now: Instant,
        touched: &mut Touched,
    ) -> Routed {
        for target in &route.targets {
            self.push(target, message, qos, retain, now, touched);
        }
        let chosen = self.deliver_to_groups(route, message, qos, retain, now, touched);
        Routed { matched: chosen || !route.targets.is_empty() }
    }

    /// Hands a message to one member of each shared subscription on its route. Whether there was any.
    pub(crate) fn deliver_to_groups(
        &self,
        route: &Route,
        message: &Message,
        qos: QoS,
        retain: bool,
        now: Instant,
        touched: &mut Touched,
    ) -> bool {
        let mut any = false;
        for group in &route.groups {
            let (topic, publisher) = (message.topic(), message.publisher());
            if let Some(target) = self.choose(group, topic, publisher, &route.denied) {
                self.push(&target, message, qos, retain, now, touched);
                any = true;
            }
        }
        any
    }

    /// The member of a group that gets a message; `None` if the group has none.
    fn choose(&self, group: &Group, topic: &str, publisher: u64, denied: &[u64]) -> Option<Target> {
        let asked = self.hooks.wants(Events::SELECT_MEMBER);
        let chosen =
            asked.then(|| group.choose_by(denied, |members| self.hooks.select_member(topic, members)));
        chosen.flatten().or_else(|| self.index.choose(group, topic, publisher, denied))
    }

    /// Hands a batch of QoS 0 messages to one receiver, in one piece if it can take it so.
    pub(crate) fn push_batch(
        &self,
        outbox: &Arc<Outbox>,
        batch: &Batch,
        now: Instant,
        touched: &mut Touched,
    ) {
        match outbox.push_batch(batch, &self.outbox_limits, now, &mut touched.transaction) {
            Some(signals) => touched.note(outbox, signals),
            None => {
                for delivery in batch.deliveries() {
                    self.push_delivery(outbox, delivery, now, touched);
                }
            }
        }
    }

    /// Hands a message to one session on its route.
    pub(crate) fn push(
        &self,
        target: &Target,
        message: &Message,
        qos: QoS,
        retain: bool,
        now: Instant,
        touched: &mut Touched,
    ) {
        let hop = Hop {
            qos: qos.min(target.qos),                     // [MQTT-3.8.4-8]
            retain: retain && target.retain_as_published, // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
            subscription_ids: target.subscription_ids.clone(),
            share: target.share,
            place: 0,
        };
        let allowed = target.rights.is_all() || target.rights.allow(hop.qos, retain);
        let delivery = Delivery { hop, message: message.clone() };
        if !allowed {
            return self.dropped(DropReason::ReceiveNotAuthorized, &target.outbox, &delivery);
        }
        self.push_delivery(&target.outbox, delivery, now, touched);
    }

    fn push_delivery(&self, outbox: &Arc<Outbox>, delivery: Delivery, now: Instant, touched: &mut Touched) {
        let outcome = outbox.push(delivery, &self.outbox_limits, now, &mut touched.transaction);
        touched.note(outbox, outcome.signals);
        for (delivery, reason) in outcome.dropped {
            if reason == DropReason::SessionEnded {
                // It was chosen while it left: another member of its group may be there.
                self.give_up(delivery, outbox, true, touched);
            } else {
                self.dropped(reason, outbox, &delivery);
            }
        }
    }

    /// Counts a delivery that its receiver will not get.
    pub(crate) fn dropped(&self, reason: DropReason, outbox: &Outbox, delivery: &Delivery) {
        self.drops.record(&self.metrics, reason, outbox, delivery.message.topic(), delivery.hop.qos);
        self.forget(outbox, delivery.hop.place);
    }

    /// Stores or clears a retained message ([MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7]).
    pub(crate) fn retain(
        &self,
        message: &Message,
        qos: QoS,
        publisher_id: &Arc<str>,
        source: Option<Arc<Source>>,
        transaction: &mut Transaction,
    ) -> Result<RetainOutcome, StoreError> {
        let retained = Retained { message: message.clone(), qos, source };
        let stored_by = Some(publisher_id);
        let clears = message.payload().is_empty();
        let over = self.memory.is_over() && !clears;
        let mut outcome = if over {
            Err(StoreError::Full)
        } else {
            self.store.retain_in(retained.clone(), stored_by, transaction)
        };
        // What has expired must not keep anything out.
        if outcome == Err(StoreError::Full) && !over && self.expire_retained(self.now()) > 0 {
            outcome = self.store.retain_in(retained, stored_by, transaction);
        }
        if outcome.is_err() {
            let topic = message.topic();
            self.drops.record_for(&self.metrics, DropReason::RetainedFull, publisher_id, topic, qos);
        } else if let Some(at) = message.expires_at() {
            self.sweep.expect(at);
        }
        if outcome.is_ok() {
            self.hooks.tell(Events::RETAINED, |hook| hook.retained(message));
        }
        outcome
    }

    /// Removes some of the retained messages that have expired, and tells the hooks which; how many.
    pub(crate) fn expire_retained(&self, now: Instant) -> usize {
        let expired = self.store.expire_retained(now);
        for topic in &expired {
            self.hooks.tell(Events::RETAINED_EXPIRED, |hook| hook.retained_expired(topic));
        }
        expired.len()
    }

    /// Tells the hooks that a retained message goes out for a new subscription.
    pub(crate) fn tell_replayed(&self, client_id: &str, delivery: &Delivery) {
        let Delivery { hop, message } = delivery;
        self.hooks
            .tell(Events::RETAINED_REPLAYED, |hook| hook.retained_replayed(client_id, message, hop.qos));
    }

    /// Tells the other nodes, if there are any, of a message published here.
    pub(crate) fn tell_peers(&self, message: &Message, qos: QoS, retain: bool) {
        if let Some(peers) = &self.peers {
            peers.published(message, qos, retain);
        }
    }

    /// Publishes a message that no connection sent: a will, a `$SYS` figure.
    pub(crate) fn publish(&self, message: &Message, qos: QoS, retain: bool, publisher_id: &Arc<str>) {
        self.tell_peers(message, qos, retain);
        self.publish_here(message, qos, retain, publisher_id, None);
    }

    /// Stores and routes a message on this node alone.
    pub(crate) fn publish_here(
        &self,
        message: &Message,
        qos: QoS,
        retain: bool,
        publisher_id: &Arc<str>,
        source: Option<Arc<Source>>,
    ) {
        let mut touched = self.touched_by(message.topic());
        self.publish_together(message, (qos, retain), publisher_id, source, &mut touched);
    }

    /// The same, stored together with what was noted before.
    pub(crate) fn publish_together(
        &self,
        message: &Message,
        (qos, retain): (QoS, bool),
        publisher_id: &Arc<str>,
        source: Option<Arc<Source>>,
        touched: &mut Touched,
    ) {
        if retain {
            // A full store was counted; receivers that are subscribed now still get it.
            self.retain(message, qos, publisher_id, source, &mut touched.transaction).ok();
        }
        let topic = TopicName::assume_valid(message.topic());
        let route = self.route(topic, message.publisher());
        self.deliver(&route, message, qos, retain, self.now(), touched);
        self.settle(touched);
    }

    /// Ends a session: its subscriptions go, and what it never received is offered to the other members
    /// of its shared subscriptions or counted as dropped.
    pub(crate) fn end_session(&self, session: Session, outbox: &Arc<Outbox>) {
        self.end_subscriber(session, outbox);
        self.hooks.tell(Events::SESSION_ENDED, |hook| hook.session_ended(&outbox.client_id));
    }

    /// The same for whoever is subscribed without being a client's session.
    pub(crate) fn end_subscriber(&self, session: Session, outbox: &Arc<Outbox>) {
        for (filter, _) in session.subscriptions() {
            let filter = TopicFilter::parse(filter).expect("a session holds valid filters");
            self.index.unsubscribe(&filter, outbox.key);
        }
        let mut touched = Touched::default();
        for delivery in session.into_unacknowledged() {
            // [MQTT-4.8.2-5]: a QoS 2 message that was sent must not reach another member.
            let movable = delivery.hop.qos == QoS::AtLeastOnce;
            self.give_up(delivery, outbox, movable, &mut touched);
        }
        match outbox.close() {
            Left::Few(left) => {
                left.into_iter().for_each(|delivery| self.give_up(delivery, outbox, true, &mut touched));
            }
            // What the store has of it ends with the session.
            Left::Many(queue) => self.leftovers.add(outbox.clone(), queue),
        }
        if let Some(session) = outbox.kept.or(outbox.will) {
            touched.transaction.end(session);
        }
        self.settle(&mut touched);
    }

    /// Offers what a receiver will not get to another member of its shared subscription, or counts it as dropped.
    pub(crate) fn give_up(
        &self,
        delivery: Delivery,
        outbox: &Arc<Outbox>,
        movable: bool,
        touched: &mut Touched,
    ) {
        let group = match delivery.hop.share {
            share if share > 0 && movable => self.index.group(share),
            _ => None,
        };
        let (topic, publisher) = (delivery.message.topic(), delivery.message.publisher());
        let chosen = group.and_then(|group| {
            let name = TopicName::assume_valid(topic);
            let denied = self.denied_members(std::slice::from_ref(&group), name);
            self.choose(&group, topic, publisher, &denied)
        });
        match chosen {
            Some(target) => {
                let retain = delivery.hop.retain;
                self.push(&target, &delivery.message, delivery.hop.qos, retain, self.now(), touched);
            }
            None => {
                // What the store has of it ends with the session.
                let (reason, qos) = (DropReason::SessionEnded, delivery.hop.qos);
                self.drops.record(&self.metrics, reason, outbox, topic, qos);
            }
        }
    }

    /// Waits for ends of sessions and delayed wills, for as long as the broker runs.
    pub(crate) async fn keep_timetable(self: Arc<Self>) {
        loop {
            let (epoch, due, client_id) = self.timetable.next().await;
            self.try_due(epoch, due, &client_id);
        }
    }

    /// Does what is due now, before anybody else can do anything.
    pub(crate) fn do_what_is_due(&self) {
        while let Some((epoch, due, client_id)) = self.timetable.take_due(self.now()) {
            self.try_due(epoch, due, &client_id);
        }
    }

    /// Code of an embedder may panic: a store, or the way to other nodes. No other entry suffers.
    fn try_due(&self, epoch: u64, due: Due, client_id: &str) {
        let done = catch_unwind(AssertUnwindSafe(|| self.do_due(epoch, due, client_id)));
        if done.is_err() {
            tracing::error!(client_id, ?due, "a panic at the end of an absence");
        }
    }

    fn do_due(&self, epoch: u64, due: Due, client_id: &str) {
        match due {
            Due::Will => {
                if let Some((will, outbox)) = self.clients.take_will(client_id, epoch) {
                    self.publish_will(&will, &outbox);
                }
            }
            Due::SessionEnd => {
                if let Some(away) = self.clients.end_absence(client_id, epoch) {
                    self.metrics.sessions_expired.add(1);
                    self.end_away(&away);
                }
            }
        }
    }

    /// Ends the session of a client that is away. A will that still waits goes out: the session's end
    /// comes before the end of its delay ([MQTT-3.1.2-8]).
    pub(crate) fn end_away(&self, away: &Away) {
        if let Some((will, at)) = &away.will {
            self.timetable.remove(*at, away.epoch, Due::Will);
            self.publish_will(will, &away.outbox);
        }
        if let Some(at) = away.ends_at {
            self.timetable.remove(at, away.epoch, Due::SessionEnd);
        }
        let parked = self.store.unpark(&away.outbox.client_id);
        let session = match parked {
            Ok(parked) => parked.map(|parked| parked.session).unwrap_or_default(),
            Err(error) => {
                tracing::error!(client_id = &*away.outbox.client_id, %error, "a session cannot be read");
                Session::default()
            }
        };
        self.end_session(session, &away.outbox);
    }
}

#[cfg(test)]
mod tests;
