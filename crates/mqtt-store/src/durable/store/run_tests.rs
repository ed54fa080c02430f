//! Batches, of which the image keeps runs: whatever becomes of parts of them, the next process finds what is left.

use std::collections::VecDeque;

use mqtt_codec::{PacketId, PlainPublish, QoS};
use mqtt_session::{Batch, BatchBuilder, InboundPublish, Layout};
use proptest::prelude::*;

use super::*;
use crate::durable::simulated::SimulatedMedium;
use crate::{Durability, SessionHead};

/// What happens to one of two sessions, or to both.
#[derive(Clone, Debug)]
enum Step {
    /// So many messages come for the first, the second or both, with properties or without.
    Publish {
        messages: u8,
        to: u8,
        layout: bool,
    },
    /// So many of those that wait are sent, as one or one by one.
    Send {
        session: bool,
        messages: u8,
        at_once: bool,
    },
    /// Of those under way, so many are acknowledged, from the one at this place on.
    Settle {
        session: bool,
        from: u8,
        messages: u8,
    },
    /// One that waits is given up.
    GiveUp {
        session: bool,
        at: u8,
    },
    /// All that was collected is stored.
    Submit,
    /// One is looked up by itself.
    Dissolve {
        session: bool,
        at: u8,
    },
    Compact,
    /// The second ends.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u8..12, 0_u8..3, any::<bool>())
            .prop_map(|(messages, to, layout)| Step::Publish { messages, to, layout }),
        4 => (any::<bool>(), 1_u8..12, any::<bool>())
            .prop_map(|(session, messages, at_once)| Step::Send { session, messages, at_once }),
        4 => (any::<bool>(), 0_u8..12, 1_u8..12)
            .prop_map(|(session, from, messages)| Step::Settle { session, from, messages }),
        1 => (any::<bool>(), 0_u8..12).prop_map(|(session, at)| Step::GiveUp { session, at }),
        4 => Just(Step::Submit),
        1 => (any::<bool>(), 0_u8..12).prop_map(|(session, at)| Step::Dissolve { session, at }),
        1 => Just(Step::Compact),
        1 => Just(Step::End),
    ]
}

/// A session and what should be found of it.
struct Receiver {
    id: SessionId,
    queue: Box<dyn Queue>,
    waiting: VecDeque<(Batch, Vec<String>)>,
    under_way: Vec<(u16, String)>,
    next_id: u16,
}

struct Rig {
    store: DurableStore,
    medium: SimulatedMedium,
    transaction: Transaction,
    receivers: Vec<Receiver>,
    published: u32,
}

fn open(medium: &SimulatedMedium) -> DurableStore {
    let settings = DurableSettings { memory_bytes_max: 1 << 20, ..DurableSettings::default() };
    DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("nothing is damaged")
}

impl Rig {
    fn new() -> Self {
        let medium = SimulatedMedium::new();
        let store = open(&medium);
        let mut transaction = Transaction::default();
        transaction.set_durability(Durability::Periodic);
        let receivers = ["a", "b"].map(|client_id| {
            let queue = store.open_kept_queue(client_id, QueueLimits::default()).expect("the medium is good");
            let id = queue.session().expect("it is kept");
            let (client_id, owner, will) = (client_id.into(), None, None);
            transaction
                .head(id, SessionHead { client_id, owner, session_expiry_s: 9, away_since_ms: None, will });
            Receiver { id, queue, waiting: VecDeque::new(), under_way: Vec::new(), next_id: 1 }
        });
        Self { store, medium, transaction, receivers: receivers.into(), published: 0 }
    }

    fn publish(&mut self, messages: u8, to: u8, layout: bool) {
        let layout = if layout { Layout::WithProperties } else { Layout::Plain };
        let mut builder = BatchBuilder::new(layout, QoS::AtLeastOnce);
        let texts: Vec<String> = (0..messages).map(|one| format!("{}-{one}", self.published)).collect();
        self.published += 1;
        for text in &texts {
            let topic = TopicName::assume_valid(if text.ends_with('3') { "other" } else { "topic" });
            let (qos, packet_id) = (QoS::AtLeastOnce, PacketId::new(1));
            let plain = PlainPublish { qos, packet_id, payload: text.as_bytes() };
            builder.push(&InboundPublish::plain(&plain, topic));
        }
        let batch = builder.finish(1).expect("there is one message at least");
        for (index, receiver) in self.receivers.iter_mut().enumerate() {
            if usize::from(to) == index || to == 2 {
                let batch = receiver.queue.pass_in(&batch, &mut self.transaction);
                receiver.waiting.push_back((batch, texts.clone()));
            }
        }
    }

    fn send(&mut self, session: usize, messages: u8, at_once: bool) {
        let Some(receiver) = self.receivers.get_mut(session) else { return };
        let Some((batch, texts)) = receiver.waiting.front_mut() else { return };
        let count = u32::from(messages).min(batch.messages());
        let part = if count < batch.messages() { batch.split_front(count) } else { batch.clone() };
        let sent: Vec<String> = texts.drain(..count as usize).collect();
        if texts.is_empty() {
            receiver.waiting.pop_front();
        }
        let first = PacketId::new(receiver.next_id).expect("above zero");
        if at_once {
            self.transaction.sent_batch(receiver.id, &part, first);
        }
        for (place, text) in (part.place()..).zip(sent) {
            let id = receiver.next_id;
            if !at_once {
                let id = PacketId::new(id).expect("above zero");
                self.transaction.sent(receiver.id, place, id, QoS::AtLeastOnce);
            }
            receiver.under_way.push((id, text));
            receiver.next_id += 1;
        }
    }

    fn settle(&mut self, session: usize, from: u8, messages: u8) {
        let Some(receiver) = self.receivers.get_mut(session) else { return };
        let len = receiver.under_way.len();
        let from = usize::from(from).min(len);
        let to = (from + usize::from(messages)).min(len);
        for (id, _) in receiver.under_way.drain(from..to) {
            self.transaction.settled(receiver.id, PacketId::new(id).expect("above zero"));
        }
    }

    /// Gives one up that waits: it leaves the batch in two.
    fn give_up(&mut self, session: usize, at: u8) {
        let Some(receiver) = self.receivers.get_mut(session) else { return };
        let Some((batch, texts)) = receiver.waiting.back_mut() else { return };
        let at = u32::from(at).min(batch.messages() - 1);
        self.transaction.give_up(receiver.id, batch.place() + u64::from(at));
        let mut texts = std::mem::take(texts);
        let (_, mut rest) = receiver.waiting.pop_back().map(|(batch, _)| ((), batch)).expect("it is there");
        if at > 0 {
            let front = rest.split_front(at);
            receiver.waiting.push_back((front, texts.drain(..at as usize).collect()));
        }
        texts.remove(0);
        if rest.messages() > 1 {
            let _given_up = rest.split_front(1);
            receiver.waiting.push_back((rest, texts));
        }
    }

    fn submit(&mut self) {
        self.store.submit(&mut self.transaction, None);
        self.transaction.set_durability(Durability::Periodic);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Publish { messages, to, layout } => self.publish(messages, to, layout),
            Step::Send { session, messages, at_once } => self.send(session.into(), messages, at_once),
            Step::Settle { session, from, messages } => self.settle(session.into(), from, messages),
            Step::GiveUp { session, at } => self.give_up(session.into(), at),
            Step::Submit => self.submit(),
            Step::Dissolve { session, at } => {
                let Some(receiver) = self.receivers.get(usize::from(session)) else { return };
                let Some((batch, _)) = receiver.waiting.front() else { return };
                let place = batch.place() + u64::from(at) % u64::from(batch.messages());
                self.store.kept.lock().image.dissolve_at(receiver.id.0.get(), place);
            }
            Step::Compact => self.store.compact().expect("nothing fails"),
            Step::End if self.receivers.len() > 1 => {
                let receiver = self.receivers.pop().expect("there are two");
                self.transaction.end(receiver.id);
            }
            Step::End => {}
        }
    }

    /// What the next process should find: texts that are sent again, and those that wait.
    fn expected(&self) -> Vec<(Vec<String>, Vec<String>)> {
        let of = |receiver: &Receiver| {
            let sent = receiver.under_way.iter().map(|(_, text)| text.clone()).collect();
            (sent, receiver.waiting.iter().flat_map(|(_, texts)| texts.clone()).collect())
        };
        self.receivers.iter().map(of).collect()
    }
}

fn found(store: &DurableStore) -> Vec<(Vec<String>, Vec<String>)> {
    let mut recovered = store.take_recovered();
    recovered.sort_by_key(|recovered| recovered.id.0);
    let text = |message: &Message| String::from_utf8_lossy(message.payload()).into_owned();
    let of = |Recovered { session, mut queue, .. }: Recovered| {
        let sent = session.into_unacknowledged().iter().map(|delivery| text(&delivery.message)).collect();
        let mut waiting = Vec::new();
        loop {
            queue.refill(&|| Waker::noop().clone());
            let Some(delivery) = queue.pop() else { break };
            waiting.push(text(&delivery.message));
        }
        (sent, waiting)
    };
    recovered.into_iter().map(of).collect()
}

proptest! {
    #[test]
    fn whatever_becomes_of_parts_of_batches_the_next_process_finds_what_is_left(
        steps in proptest::collection::vec(step(), 0..40),
        compacted: bool,
    ) {
        let mut rig = Rig::new();
        steps.iter().for_each(|step| rig.take(step));
        rig.submit();
        let kept = |store: &DurableStore| store.kept.lock().image.messages;
        let expected = rig.expected();
        let left: usize = expected.iter().map(|(sent, waiting)| sent.len() + waiting.len()).sum();
        prop_assert_eq!(kept(&rig.store), left as u64);
        if compacted {
            rig.store.compact().expect("nothing fails");
        }
        let next = open(&rig.medium.after_kill());
        prop_assert_eq!(found(&next), expected.clone());
        next.compact().expect("nothing fails");
        let third = open(&rig.medium.after_kill());
        prop_assert_eq!(found(&third), expected);
    }
}
