//! What outlives the process: which topics, what is written when, and how sessions come back.

use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::QoS;
use mqtt_session::{Session, WillMessage};
use mqtt_store::{Condition, Durability, Progress, Recovered, SessionHead, Transaction};
use mqtt_topic::{FilterTree, TopicFilter, TopicName};

use crate::access::Identity;
use crate::clients::Away;
use crate::core::{Core, Touched};
use crate::hooks::{Events, Restored};
use crate::index::{Member, Route};
use crate::outbox::Outbox;
use crate::restrict::{identity_of, source_of};
use crate::timetable::Due;

impl Core {
    /// What the acknowledgement of a message on this topic promises.
    pub(crate) fn durability(&self, topic: &str) -> Durability {
        if !self.is_durable || topic.starts_with("$SYS/") {
            return Durability::Memory;
        }
        let rules = &self.settings.durability;
        let topic = TopicName::assume_valid(topic);
        let rule = rules.rules.iter().find(|(filter, _)| filter.matches(&topic));
        rule.map_or(rules.default, |(_, durability)| *durability)
    }

    /// Stores a transaction that nobody waits for.
    pub(crate) fn submit(&self, transaction: &mut Transaction) {
        if !transaction.is_empty()
            && let Some(journal) = self.store.journal()
        {
            journal.submit(transaction, None);
        }
    }

    /// Stores what has to be and wakes every owner that was touched. What tells when it is stored as promised, if
    /// anything is promised at this quality of service.
    pub(crate) fn settle_for(&self, qos: QoS, touched: &mut Touched) -> Option<Arc<Progress>> {
        let awaited = qos > QoS::AtMostOnce && touched.transaction.is_awaited();
        let storing = self.store.journal().filter(|_| awaited).map(|journal| {
            let progress = Arc::default();
            journal.submit(&mut touched.transaction, Some((&progress, 1)));
            progress
        });
        self.settle(touched);
        storing
    }

    /// Whether what is promised of a message can be kept now.
    pub(crate) fn can_store(&self, transaction: &Transaction, qos: QoS, retain: bool, route: &Route) -> bool {
        let leads_to_kept =
            || !route.groups.is_empty() || route.targets.iter().any(|target| target.outbox.kept.is_some());
        qos == QoS::AtMostOnce
            || !transaction.keeps_messages()
            || self.keeps_now()
            || !(retain || leads_to_kept())
    }

    /// Whether the store keeps what it is given now.
    pub(crate) fn keeps_now(&self) -> bool {
        self.store.journal().is_none_or(|journal| journal.condition() == Condition::Good)
    }

    /// A queued message will not be delivered.
    pub(crate) fn forget(&self, outbox: &Outbox, place: u64) {
        if place > 0
            && let Some(session) = outbox.kept
        {
            let mut transaction = Transaction::default();
            transaction.give_up(session, place);
            self.submit(&mut transaction);
        }
    }

    /// Writes down how a session stands.
    pub(crate) fn keep_head(
        &self,
        outbox: &Outbox,
        session_expiry_s: u32,
        is_away: bool,
        will: Option<&WillMessage>,
    ) {
        let Some(session) = outbox.kept else { return };
        let mut transaction = Transaction::default();
        transaction.head(
            session,
            self.head(&outbox.client_id, outbox.identity().as_deref(), session_expiry_s, is_away, will),
        );
        self.submit(&mut transaction);
    }

    /// Brings the sessions back that a store has kept: all of them are away.
    pub(crate) fn restore_sessions(&self) {
        let mut restored = Restored::default();
        for recovered in self.store.take_recovered() {
            restored.sessions += usize::from(recovered.head.session_expiry_s > 0); // others only leave a will
            restored.subscriptions += recovered.session.subscriptions().len();
            restored.queued_messages += recovered.queue.len();
            restored.inflight += recovered.session.unacknowledged_len();
            self.restore_session(recovered);
        }
        let totals = self.store.retained_totals();
        (restored.retained_messages, restored.retained_bytes) = (totals.messages, totals.bytes);
        self.hooks.tell(Events::RESTORED, |hook| hook.restored(&restored));
        if let Some(at) = self.store.next_retained_expiry() {
            self.sweep.expect(at);
        }
        self.do_what_is_due(); // nobody finds a session that is over
    }

    fn restore_session(&self, recovered: Recovered) {
        let Recovered { id: _, head, mut session, queue } = recovered;
        let now = self.now();
        let away_s =
            head.away_since_ms.map_or(0, |since| self.calendar.unix_ms().saturating_sub(since) / 1000);
        let left = |seconds: u32| now + Duration::from_secs(u64::from(seconds).saturating_sub(away_s));
        let expires = head.session_expiry_s != u32::MAX;
        let ends_at = expires.then(|| left(head.session_expiry_s));
        let will = head.will.map(|will| {
            let at = left(will.delay_interval_s.min(head.session_expiry_s));
            (will, at)
        });
        let outbox = Arc::new(Outbox::new(self.index.new_key(), head.client_id.clone(), queue));
        if let Some(owner) = &head.owner {
            outbox.set_identity(&Arc::new(identity_of(self, owner)));
        }
        for (filter, subscription) in session.subscriptions() {
            let filter = TopicFilter::parse(filter).expect("a session holds valid filters");
            self.index.subscribe(&filter, Member { outbox: outbox.clone(), subscription });
        }
        self.name_shares(&mut session, &outbox);
        let user = head.owner.as_ref().and_then(|owner| owner.username.clone());
        if let Err(error) =
            self.store.park(&head.client_id, mqtt_store::Parked { session, ends_at, owner: user })
        {
            tracing::error!(client_id = &*head.client_id, %error, "a session cannot be kept");
        }
        let epoch = self.index.new_key();
        if let Some((_, at)) = &will {
            self.timetable.add(*at, epoch, Due::Will, &head.client_id);
        }
        if let Some(at) = ends_at {
            self.timetable.add(at, epoch, Due::SessionEnd, &head.client_id);
        }
        let away = Box::new(Away { outbox, epoch, ends_at, will, replays: None });
        if let Some(older) = self.clients.restore(&head.client_id, away) {
            tracing::warn!(client_id = &*head.client_id, "two sessions were kept; the older one ends");
            self.end_session(mqtt_session::Session::default(), &older.outbox);
        }
    }

    /// Finds out which messages of a session came through a shared subscription, which is not stored with each: those on
    /// topics that no other subscription of the session has.
    fn name_shares(&self, session: &mut Session, outbox: &Outbox) {
        let is_shared = |filter: &str| filter.starts_with("$share/");
        if !session.subscriptions().any(|(filter, _)| is_shared(filter)) {
            return;
        }
        // A tree, since a session may have as many filters as it has messages. Key 0 stands for its own subscriptions.
        let mut filters = FilterTree::new();
        for (filter, _) in session.subscriptions() {
            let filter = TopicFilter::parse(filter).expect("a session holds valid filters");
            let group = filter.share_name().and_then(|_| self.index.group_of(&filter));
            filters.insert(&filter, group.map_or(0, |group| group.key), ());
        }
        let share_of = |topic: &str| {
            let (mut is_own, mut share) = (false, 0);
            filters.for_each_match(TopicName::assume_valid(topic), |key, ()| match key {
                0 => is_own = true,
                key => share = *key,
            });
            if is_own { 0 } else { share }
        };
        session.name_shares(&share_of);
        outbox.name_shares(&share_of);
    }

    /// A session as it is written down.
    pub(crate) fn head(
        &self,
        client_id: &Arc<str>,
        owner: Option<&Identity>,
        session_expiry_s: u32,
        is_away: bool,
        will: Option<&WillMessage>,
    ) -> SessionHead {
        SessionHead {
            client_id: client_id.clone(),
            owner: owner.map(source_of),
            session_expiry_s,
            away_since_ms: is_away.then(|| self.calendar.unix_ms()),
            will: will.cloned(),
        }
    }
}

/// What one connection has to store, and which of its bytes wait for it.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    pub(crate) transaction: Transaction,
    progress: Arc<Progress>,
    submitted: u64,
    /// Places in what is written to the client, with the transaction that they wait for.
    gates: std::collections::VecDeque<(u64, u64)>,
}

impl Keeping {
    /// Stores what was collected. Bytes from this place on leave when that is done, if they have to wait.
    pub(crate) fn submit(&mut self, core: &Core, from: u64) {
        if self.transaction.is_empty() {
            return;
        }
        let Some(journal) = core.store.journal() else { return };
        if self.transaction.is_awaited() {
            self.submitted += 1;
            self.gates.push_back((from, self.submitted));
            journal.submit(&mut self.transaction, Some((&self.progress, self.submitted)));
        } else {
            journal.submit(&mut self.transaction, Some((&self.progress, 0)));
        }
    }

    /// From where on bytes have to wait. Whoever asks is woken when that changes.
    pub(crate) fn held_from(&mut self, waker: &std::task::Waker) -> Option<u64> {
        if self.gates.is_empty() {
            return None;
        }
        self.progress.register(waker);
        let done = self.progress.done();
        while self.gates.front().is_some_and(|(_, number)| *number <= done) {
            self.gates.pop_front();
        }
        self.gates.front().map(|(from, _)| *from)
    }

    /// Whether something waits that will never be stored.
    pub(crate) fn has_failed(&self) -> bool {
        !self.gates.is_empty() && self.progress.has_failed()
    }
}
