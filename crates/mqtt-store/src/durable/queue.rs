//! The queue of a session that is kept.

use mqtt_codec::QoS;
use mqtt_session::Delivery;

use crate::{MemoryQueue, Pushed, Queue, QueueLimits, SessionId, Transaction};

/// Messages in memory, each with its place in the store.
#[derive(Debug)]
pub(crate) struct DurableQueue {
    waiting: MemoryQueue,
    session: SessionId,
    last_place: u64,
}

impl DurableQueue {
    pub(crate) fn new(session: SessionId, last_place: u64, limits: QueueLimits) -> Self {
        Self { waiting: MemoryQueue::new(limits), session, last_place }
    }

    /// Puts a message back that was kept, whatever the limits are now.
    pub(crate) fn restore(&mut self, delivery: Delivery) {
        self.waiting.restore(delivery);
    }
}

impl Queue for DurableQueue {
    fn push(&mut self, delivery: Delivery) -> Pushed {
        self.waiting.push(delivery)
    }

    fn push_in(&mut self, mut delivery: Delivery, transaction: &mut Transaction) -> Pushed {
        if delivery.hop.qos == QoS::AtMostOnce || !transaction.keeps_messages() {
            return self.waiting.push(delivery);
        }
        delivery.hop.place = self.last_place + 1;
        let kept = delivery.clone();
        match self.waiting.push(delivery) {
            Pushed::Refused(mut delivery, reason) => {
                delivery.hop.place = 0; // it was never there
                Pushed::Refused(delivery, reason)
            }
            queued => {
                self.last_place += 1;
                transaction.enqueue(self.session, self.last_place, &kept);
                queued
            }
        }
    }

    fn session(&self) -> Option<SessionId> {
        Some(self.session)
    }

    fn front(&self) -> Option<&Delivery> {
        self.waiting.front()
    }

    fn pop(&mut self) -> Option<Delivery> {
        self.waiting.pop()
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn bytes(&self) -> usize {
        self.waiting.bytes()
    }
}
