//! Batches under way: messages that were sent together with identifiers in a row, and whose acknowledgements come in
//! the same order, as the standard wants it ([MQTT-4.6.0-2], [MQTT-4.6.0-3]). So one number stands for all of them.
//! A peer that answers in another order is served too: then everything here is [taken apart](Series::take_sent).

use std::collections::VecDeque;

use mqtt_codec::{PacketId, QoS};

use crate::{Batch, Delivery};

/// One batch that was sent.
#[derive(Debug)]
struct Sent {
    batch: Batch,
    ids: Ids,
    /// Messages that have been acknowledged, those in front.
    done: u16,
}

/// Identifiers in a row, in the order of their sequence numbers.
#[derive(Clone, Copy, Debug)]
struct Ids {
    first: u16,
    count: u16,
    first_sequence: u64,
}

/// Messages under way that are remembered batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Series {
    at_least_once: VecDeque<Sent>,
    exactly_once: VecDeque<Sent>,
    /// Between PUBREC and PUBCOMP. Their sequence numbers may have gaps.
    released: VecDeque<Ids>,
    /// The sequence number of the last PUBREC that went into `released`.
    last_release: u64,
    len: usize,
}

/// One message that was under way in a batch.
pub(crate) struct Apart {
    pub(crate) id: PacketId,
    pub(crate) sequence: u64,
    pub(crate) delivery: Delivery,
}

/// More batches than this are not remembered as such, so that searching them stays cheap.
const SENT_MAX: usize = 64;
const RELEASED_MAX: usize = 64;

impl Ids {
    fn end(self) -> u32 {
        u32::from(self.first) + u32::from(self.count)
    }

    fn overlaps(self, other: Self) -> bool {
        u32::from(self.first) < other.end() && u32::from(other.first) < self.end()
    }
}

impl Series {
    /// Identifiers in use.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn sent_mut(&mut self, qos: QoS) -> &mut VecDeque<Sent> {
        if qos == QoS::ExactlyOnce { &mut self.exactly_once } else { &mut self.at_least_once }
    }

    fn all(&self) -> impl Iterator<Item = Ids> {
        let sent = self.at_least_once.iter().chain(&self.exactly_once);
        sent.map(|sent| sent.ids).chain(self.released.iter().copied())
    }

    /// Whether one of `count` identifiers from `first` on is in use, or was until a moment ago.
    #[inline]
    pub(crate) fn uses(&self, first: u16, count: u16) -> bool {
        self.len > 0 && self.is_among_all(Ids { first, count, first_sequence: 0 })
    }

    fn is_among_all(&self, wanted: Ids) -> bool {
        self.all().any(|ids| ids.overlaps(wanted))
    }

    /// Whether one more batch can be remembered.
    pub(crate) fn has_room(&self) -> bool {
        self.at_least_once.len() + self.exactly_once.len() < SENT_MAX
    }

    /// Remembers a batch whose messages were given the identifiers from `first` and the sequence numbers from
    /// `first_sequence` on.
    pub(crate) fn add(&mut self, batch: Batch, first: u16, count: u16, first_sequence: u64) {
        let qos = batch.qos();
        self.len += usize::from(count);
        self.sent_mut(qos).push_back(Sent { batch, ids: Ids { first, count, first_sequence }, done: 0 });
    }

    /// Takes note of a PUBACK or PUBREC if it answers the message that is next. Whether it did.
    pub(crate) fn acknowledge(&mut self, id: PacketId, qos: QoS) -> bool {
        let sent = self.sent_mut(qos);
        let Some(front) = sent.front_mut().filter(|front| front.ids.first + front.done == id.get()) else {
            return false;
        };
        front.done += 1;
        if front.done == front.ids.count {
            sent.pop_front();
            release(sent);
        }
        self.len -= 1;
        true
    }

    /// Remembers an identifier between PUBREC and PUBCOMP. Whether there was room.
    pub(crate) fn release(&mut self, id: PacketId, sequence: u64) -> bool {
        let rows = self.released.len();
        match self.released.back_mut() {
            // If nothing else was released in between, the order of the row is the order of all.
            Some(last) if last.end() == u32::from(id.get()) && last.first_sequence <= self.last_release => {
                last.count += 1;
            }
            _ if rows == RELEASED_MAX => return false,
            _ => self.released.push_back(Ids { first: id.get(), count: 1, first_sequence: sequence }),
        }
        self.last_release = sequence;
        self.len += 1;
        true
    }

    /// Something was released that is remembered elsewhere: later identifiers begin a row of their own.
    pub(crate) fn note_release_elsewhere(&mut self) {
        self.last_release = 0;
    }

    /// Takes note of a PUBCOMP if it answers the identifier that is next. Whether it did.
    pub(crate) fn complete(&mut self, id: PacketId) -> bool {
        let Some(front) = self.released.front_mut().filter(|front| front.first == id.get()) else {
            return false;
        };
        front.first = front.first.wrapping_add(1);
        front.count -= 1;
        if front.count == 0 {
            self.released.pop_front();
            release(&mut self.released);
        }
        self.len -= 1;
        true
    }

    /// Whether an identifier is in use here.
    pub(crate) fn contains(&self, id: PacketId) -> bool {
        self.uses(id.get(), 1)
    }

    /// Gives all messages up that await a PUBACK or PUBREC, one by one.
    pub(crate) fn take_sent(&mut self) -> impl Iterator<Item = Apart> {
        let sent = core::mem::take(&mut self.at_least_once).into_iter();
        let sent = sent.chain(core::mem::take(&mut self.exactly_once));
        self.len = self.released.iter().map(|ids| usize::from(ids.count)).sum();
        sent.flat_map(Sent::into_rest)
    }

    /// Gives all identifiers up that await a PUBCOMP, with their sequence numbers.
    pub(crate) fn take_released(&mut self) -> impl Iterator<Item = (PacketId, u64)> {
        let released = core::mem::take(&mut self.released);
        self.len -= released.iter().map(|ids| usize::from(ids.count)).sum::<usize>();
        released.into_iter().flat_map(|Ids { first, count, first_sequence }| {
            (first..=first + (count - 1)).filter_map(PacketId::new).zip(first_sequence..)
        })
    }
}

impl Sent {
    /// What has not been acknowledged.
    fn into_rest(self) -> impl Iterator<Item = Apart> {
        let Self { batch, ids, done } = self;
        let rest: Vec<Delivery> = batch.deliveries().skip(done.into()).collect();
        let numbers = (ids.first..=u16::MAX).zip(ids.first_sequence..).skip(done.into());
        numbers.zip(rest).filter_map(|((id, sequence), delivery)| {
            Some(Apart { id: PacketId::new(id)?, sequence, delivery })
        })
    }
}

/// Room for this many batches is kept while none is under way.
const SPARE: usize = 8;

fn release<T>(empty: &mut VecDeque<T>) {
    if empty.is_empty() && empty.capacity() > SPARE {
        *empty = VecDeque::new();
    }
}
