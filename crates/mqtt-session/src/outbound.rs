//! What we sent and the peer has not yet acknowledged.

use std::collections::VecDeque;

use hashbrown::HashMap;
use mqtt_codec::{PacketId, QoS};

use crate::series::Series;
use crate::{Batch, Delivery};

/// Where one packet identifier of ours stands (sections 4.3.2 and 4.3.3).
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::enum_variant_names, reason = "each state waits for one packet of the standard")]
pub(crate) enum InFlight {
    AwaitingPuback(Delivery),
    AwaitingPubrec(Delivery),
    AwaitingPubcomp,
    AwaitingSuback,
    AwaitingUnsuback,
}

#[derive(Clone, Debug)]
struct Slot {
    /// Order of sending, or of the PUBREC for a message that was released.
    sequence: u64,
    /// Whether it takes part in the present connection's window.
    in_window: bool,
    state: InFlight,
}

/// Packet identifiers in use, the send window, and what must be sent again on a new connection.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    slots: HashMap<u16, Slot>,
    /// Messages that are remembered batch by batch instead. They belong to this connection and to the window.
    series: Series,
    /// Of an earlier connection, in their order, not yet sent on this one.
    to_resend: VecDeque<PacketId>,
    window_used: u16,
    last_id: u16,
    last_sequence: u64,
}

/// What a PUBREC leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Pubrec {
    /// Answer with a PUBREL.
    Release,
    /// The identifier is not in use.
    Unknown,
    /// The peer refused the message, which ends here ([MQTT-4.3.3-4]).
    Refused(Delivery),
}

impl Outbound {
    pub(crate) fn window_used(&self) -> u16 {
        self.window_used
    }

    pub(crate) fn has_resends(&self) -> bool {
        !self.to_resend.is_empty()
    }

    /// Packet identifiers that are not in use.
    pub(crate) fn ids_free(&self) -> u16 {
        u16::MAX - u16::try_from(self.len()).expect("identifiers are 16 bits wide")
    }

    /// Messages under way, whether sent on this connection or not.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() + self.series.len()
    }

    /// Whether a message at QoS 2 is under way, in whatever state.
    pub(crate) fn has_exactly_once(&self) -> bool {
        let mut states = self.slots.values().map(|slot| &slot.state);
        self.series.len() > 0
            || states.any(|state| matches!(state, InFlight::AwaitingPubrec(_) | InFlight::AwaitingPubcomp))
    }

    /// An identifier that is not in use ([MQTT-2.2.1-3], [MQTT-2.2.1-4]); `None` when all 65,535 are.
    fn free_id(&mut self) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && !self.slots.contains_key(&self.last_id)
                && !self.series.uses(self.last_id, 1)
            {
                return Some(id);
            }
        }
        None
    }

    fn next_sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    /// Gives a message that is being sent its packet identifier.
    pub(crate) fn start_publish(&mut self, delivery: Delivery) -> PacketId {
        let id = self.free_id().expect("the window is smaller than the identifier space");
        let state = awaiting(delivery);
        let sequence = self.next_sequence();
        self.slots.insert(id.get(), Slot { sequence, in_window: true, state });
        self.window_used += 1;
        id
    }

    /// A message of an earlier connection, which has its identifier already.
    pub(crate) fn restore(&mut self, id: PacketId, delivery: Delivery, released: bool) {
        let state = match delivery.hop.qos {
            QoS::ExactlyOnce if released => InFlight::AwaitingPubcomp,
            QoS::ExactlyOnce => InFlight::AwaitingPubrec(delivery),
            _ => InFlight::AwaitingPuback(delivery),
        };
        let sequence = self.next_sequence();
        self.slots.insert(id.get(), Slot { sequence, in_window: false, state });
    }

    /// Gives the messages of a batch identifiers in a row and returns the first; `None` if they must be sent one by
    /// one.
    pub(crate) fn start_batch(&mut self, batch: &Batch) -> Option<PacketId> {
        let count = u16::try_from(batch.messages()).ok().filter(|_| self.series.has_room())?;
        let first = self.last_id.checked_add(1).filter(|first| first.checked_add(count - 1).is_some());
        let first = first.unwrap_or(1);
        let last = first + (count - 1);
        let in_slots = !self.slots.is_empty() && (first..=last).any(|id| self.slots.contains_key(&id));
        if in_slots || self.series.uses(first, count) {
            return None;
        }
        self.series.add(batch.clone(), first, count, self.last_sequence + 1);
        self.last_id = last;
        self.last_sequence += u64::from(count);
        self.window_used += count;
        PacketId::new(first)
    }

    /// Takes note of a PUBACK without an error, if it is for the next message of a batch. Whether it was.
    pub(crate) fn puback_next(&mut self, id: PacketId) -> bool {
        let next = self.series.acknowledge(id, QoS::AtLeastOnce);
        self.window_used -= u16::from(next); // [MQTT-4.9.0-1]
        next
    }

    /// Takes note of a PUBREC without an error, if it is for the next message of a batch. Whether it was.
    pub(crate) fn pubrec_next(&mut self, id: PacketId) -> bool {
        let next = self.series.acknowledge(id, QoS::ExactlyOnce);
        if next {
            let sequence = self.next_sequence();
            if !self.series.release(id, sequence) {
                let slot = Slot { sequence, in_window: true, state: InFlight::AwaitingPubcomp };
                self.slots.insert(id.get(), slot);
                self.series.note_release_elsewhere();
            }
        }
        next
    }

    /// Takes note of a PUBCOMP, if it is for the next identifier that was released. Whether it was.
    pub(crate) fn pubcomp_next(&mut self, id: PacketId) -> bool {
        let next = self.series.complete(id);
        self.window_used -= u16::from(next); // [MQTT-4.9.0-1]
        next
    }

    /// Gives every message a slot of its own if `id` belongs to a batch: it was answered out of turn.
    pub(crate) fn take_apart(&mut self, id: PacketId) {
        if self.series.contains(id) {
            self.take_all_apart();
        }
    }

    /// Gives every message a slot of its own.
    pub(crate) fn take_all_apart(&mut self) {
        for apart in self.series.take_sent() {
            let state = awaiting(apart.delivery);
            let slot = Slot { sequence: apart.sequence, in_window: true, state };
            self.slots.insert(apart.id.get(), slot);
        }
        for (id, sequence) in self.series.take_released() {
            let slot = Slot { sequence, in_window: true, state: InFlight::AwaitingPubcomp };
            self.slots.insert(id.get(), slot);
        }
    }

    /// Gives a SUBSCRIBE or UNSUBSCRIBE its packet identifier; they are outside the window.
    pub(crate) fn start_request(&mut self, state: InFlight) -> Option<PacketId> {
        let id = self.free_id()?;
        let sequence = self.next_sequence();
        self.slots.insert(id.get(), Slot { sequence, in_window: false, state });
        Some(id)
    }

    fn remove(&mut self, id: PacketId) -> Option<InFlight> {
        let slot = self.slots.remove(&id.get())?;
        self.window_used -= u16::from(slot.in_window); // [MQTT-4.9.0-1]
        Some(slot.state)
    }

    pub(crate) fn state(&self, id: PacketId) -> Option<&InFlight> {
        self.slots.get(&id.get()).map(|slot| &slot.state)
    }

    /// Ends a slot whose state was looked at before.
    pub(crate) fn finish(&mut self, id: PacketId) -> Option<Delivery> {
        match self.remove(id)? {
            InFlight::AwaitingPuback(delivery) | InFlight::AwaitingPubrec(delivery) => Some(delivery),
            InFlight::AwaitingPubcomp | InFlight::AwaitingSuback | InFlight::AwaitingUnsuback => None,
        }
    }

    pub(crate) fn pubrec(&mut self, id: PacketId, is_error: bool) -> Pubrec {
        let sequence = self.last_sequence + 1;
        let Some(slot) = self.slots.get_mut(&id.get()) else { return Pubrec::Unknown };
        match &slot.state {
            InFlight::AwaitingPubrec(_) if is_error => {
                let delivery = self.finish(id).expect("it awaits a PUBREC");
                Pubrec::Refused(delivery)
            }
            InFlight::AwaitingPubrec(_) => {
                slot.state = InFlight::AwaitingPubcomp;
                slot.sequence = sequence;
                if !slot.in_window {
                    slot.in_window = true;
                    self.window_used += 1;
                }
                self.last_sequence = sequence;
                self.series.note_release_elsewhere();
                Pubrec::Release
            }
            InFlight::AwaitingPubcomp => Pubrec::Release,
            _ => Pubrec::Unknown,
        }
    }

    /// A new connection begins: everything unacknowledged waits to be sent again, in its order
    /// ([MQTT-4.4.0-1], [MQTT-4.6.0-1]). Returns the identifiers whose PUBREL goes out at once, in the
    /// order of their PUBRECs ([MQTT-4.6.0-4]).
    pub(crate) fn reconnect(&mut self) -> Vec<PacketId> {
        self.take_all_apart();
        self.slots
            .retain(|_, slot| !matches!(slot.state, InFlight::AwaitingSuback | InFlight::AwaitingUnsuback));
        let mut publishes = Vec::new();
        let mut releases = Vec::new();
        for (id, slot) in &mut self.slots {
            let id = PacketId::new(*id).expect("only identifiers above zero are given");
            let released = matches!(slot.state, InFlight::AwaitingPubcomp);
            slot.in_window = released;
            if released { &mut releases } else { &mut publishes }.push((slot.sequence, id));
        }
        publishes.sort_unstable();
        releases.sort_unstable();
        self.window_used = u16::try_from(releases.len()).expect("identifiers are 16 bits wide");
        self.to_resend = publishes.into_iter().map(|(_, id)| id).collect();
        releases.into_iter().map(|(_, id)| id).collect()
    }

    /// The next message of an earlier connection; it enters the window.
    pub(crate) fn next_resend(&mut self) -> Option<(PacketId, Delivery)> {
        while let Some(id) = self.to_resend.pop_front() {
            if let Some(slot) = self.slots.get_mut(&id.get())
                && let InFlight::AwaitingPuback(delivery) | InFlight::AwaitingPubrec(delivery) = &slot.state
                && !slot.in_window
            {
                slot.in_window = true;
                self.window_used += 1;
                return Some((id, delivery.clone()));
            }
        }
        if self.to_resend.capacity() > 0 {
            self.to_resend = VecDeque::new();
        }
        None
    }

    /// Says of messages that were restored which shared subscription chose the session, by their topics.
    pub(crate) fn name_shares(&mut self, share_of: &dyn Fn(&str) -> u64) {
        for slot in self.slots.values_mut() {
            if let InFlight::AwaitingPuback(delivery) | InFlight::AwaitingPubrec(delivery) = &mut slot.state {
                delivery.hop.share = share_of(delivery.message.topic());
            }
        }
    }

    /// All messages that were not acknowledged, in order of sending. The caller must not give those of QoS 2 to
    /// anybody else ([MQTT-4.8.2-5]).
    pub(crate) fn into_unacknowledged(mut self) -> Vec<Delivery> {
        self.take_all_apart();
        let mut slots: Vec<Slot> = self.slots.into_values().collect();
        slots.sort_unstable_by_key(|slot| slot.sequence);
        let deliveries = slots.into_iter().filter_map(|slot| match slot.state {
            InFlight::AwaitingPuback(delivery) | InFlight::AwaitingPubrec(delivery) => Some(delivery),
            _ => None,
        });
        deliveries.collect()
    }
}

/// What a message that was sent waits for.
fn awaiting(delivery: Delivery) -> InFlight {
    match delivery.hop.qos {
        QoS::AtMostOnce => unreachable!("QoS 0 has no packet identifier"),
        QoS::AtLeastOnce => InFlight::AwaitingPuback(delivery),
        QoS::ExactlyOnce => InFlight::AwaitingPubrec(delivery),
    }
}
