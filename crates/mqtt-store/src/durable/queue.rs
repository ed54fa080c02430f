//! The queue of a session that is kept: the first messages are in memory, those behind may be on the medium only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use mqtt_codec::QoS;
use mqtt_session::{Batch, Delivery, DropReason, Hop, Message};

use super::budget::{Budget, Share};
use super::loader::{Fetched, Loader, Wanted};
use crate::{Overflow, Pushed, Queue, QueueLimits, SessionId, Transaction};

/// Messages, each with its place in the store if it is kept there.
#[derive(Debug)]
pub(crate) struct DurableQueue {
    session: SessionId,
    last_place: u64,
    limits: QueueLimits,
    /// The first ones.
    ready: VecDeque<Delivery>,
    /// The others, once any is on the medium only.
    stored: Option<Box<Stored>>,
    messages: usize,
    bytes: usize,
    share: Share,
    /// Nobody takes from it now.
    is_away: bool,
    loader: Arc<Loader>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Being read; they come before the runs.
    asked: VecDeque<Stub>,
    runs: VecDeque<Run>,
    fetched: Option<Arc<Fetched>>,
}

/// Messages next to each other that are in the same way.
#[derive(Debug)]
enum Run {
    Here(VecDeque<Delivery>),
    Stored(VecDeque<Stub>),
}

/// A message whose body is on the medium.
#[derive(Clone, Copy, Debug)]
struct Stub {
    place: u64,
    expires_at: Option<Instant>,
    size_bytes: u32,
    qos: QoS,
}

/// Bodies that an online client's queue keeps in memory whatever the budget is, so that what is taken at once is not
/// read from the medium.
const WINDOW_BYTES: usize = 64 << 10;
/// Messages and bytes that are read at a time, and in advance while so many or fewer are ready.
const FETCH_MESSAGES: usize = 256;
const FETCH_BYTES: usize = 256 << 10;
const READY_MESSAGES_LOW: usize = 128;
/// An empty queue keeps room for this many messages, so that steady traffic does not allocate.
const SPARE_MESSAGES: usize = 512;

impl DurableQueue {
    pub(crate) fn new(
        session: SessionId,
        last_place: u64,
        limits: QueueLimits,
        budget: Arc<Budget>,
        loader: Arc<Loader>,
    ) -> Self {
        Self {
            session,
            last_place,
            limits,
            ready: VecDeque::new(),
            stored: None,
            messages: 0,
            bytes: 0,
            share: Share::new(budget),
            is_away: false,
            loader,
        }
    }

    /// Puts a message back that was kept, whatever the limits are now. Its body is on the medium.
    pub(crate) fn restore(&mut self, hop: &Hop, size_bytes: u32, expires_at: Option<Instant>) {
        self.is_away = true;
        let stub = Stub { place: hop.place, expires_at, size_bytes, qos: hop.qos };
        self.messages += 1;
        self.bytes += stub.delivery_bytes();
        self.stored.get_or_insert_default().push_stub(stub);
    }

    /// The same with its body.
    pub(crate) fn restore_here(&mut self, delivery: Delivery) {
        self.is_away = true;
        let bytes = delivery.size_bytes();
        self.messages += 1;
        self.bytes += bytes;
        self.share.add(bytes);
        self.ready.push_back(delivery);
    }

    fn overfull(&self, extra_bytes: usize) -> Option<DropReason> {
        if self.messages >= self.limits.messages_max {
            return Some(DropReason::QueueFullMessages);
        }
        (self.bytes + extra_bytes > self.limits.bytes_max).then_some(DropReason::QueueFullBytes)
    }

    fn push_instead(&mut self, delivery: Delivery, bytes: usize, reason: DropReason) -> Pushed {
        let mut given_up = Vec::new();
        while self.overfull(bytes).is_some()
            && let Some(oldest) = self.pop()
        {
            given_up.push(oldest);
        }
        self.append(delivery);
        Pushed::QueuedInsteadOf(given_up, reason)
    }

    /// Whether the body of a message need not be in memory.
    fn leaves(&self, delivery: &Delivery) -> bool {
        let window_bytes = if self.is_away { 0 } else { WINDOW_BYTES };
        delivery.message.is_absent()
            || is_storable(delivery) && self.share.held_bytes() >= window_bytes && self.share.is_over()
    }

    fn append(&mut self, delivery: Delivery) {
        let bytes = delivery.size_bytes();
        self.messages += 1;
        self.bytes += bytes;
        if self.leaves(&delivery) {
            self.stored.get_or_insert_default().push_stub(Stub::of(&delivery));
            return;
        }
        self.share.add(bytes);
        match &mut self.stored {
            None => self.ready.push_back(delivery),
            Some(stored) => stored.push_here(delivery),
        }
    }

    /// Takes over what was read.
    fn receive(&mut self) {
        let Some(stored) = &mut self.stored else { return };
        let Some(found) = stored.fetched.as_ref().and_then(|fetched| fetched.take()) else { return };
        stored.fetched = None;
        let places: Vec<u64> = found.iter().flatten().map(|delivery| delivery.hop.place).collect();
        let mut found = found.into_iter().flatten().zip(places).peekable();
        // What was given up meanwhile is not asked for any more.
        while let Some(stub) = stored.asked.pop_front() {
            while found.next_if(|(_, place)| *place < stub.place).is_some() {}
            let read = found.next_if(|(_, place)| *place == stub.place);
            // Whoever takes one that cannot be read counts it as dropped.
            let delivery = read.map_or_else(|| stub.absent(), |(delivery, _)| delivery);
            let read_bytes = delivery.size_bytes();
            self.bytes = self.bytes - stub.delivery_bytes() + read_bytes;
            if !delivery.message.is_absent() {
                self.share.add(read_bytes);
            }
            self.ready.push_back(delivery);
        }
    }

    /// Asks for more if little is ready.
    fn ask(&mut self, waker: &dyn Fn() -> Waker) {
        let Some(stored) = &mut self.stored else { return };
        if stored.fetched.is_some() || !stored.asked.is_empty() {
            return;
        }
        loop {
            match stored.runs.front_mut() {
                None => {
                    self.stored = None;
                    return;
                }
                Some(Run::Here(run)) => {
                    self.ready.append(run);
                    stored.runs.pop_front();
                }
                Some(Run::Stored(run)) => {
                    if self.ready.len() > READY_MESSAGES_LOW {
                        return;
                    }
                    let len = fetch_len(run);
                    stored.asked.extend(run.drain(..len));
                    if run.is_empty() {
                        stored.runs.pop_front();
                    }
                    break;
                }
            }
        }
        let places = stored.asked.iter().map(|stub| stub.place).collect();
        let wanted = Wanted::Queued { session: self.session.0.get(), places };
        stored.fetched = Some(self.loader.fetch(wanted, waker()));
    }

    /// Nobody takes from it: bodies leave the memory if there are too many.
    fn put_away(&mut self) {
        self.share.tell();
        if !self.share.is_over() || self.ready.is_empty() {
            return;
        }
        let mut stored = self.stored.take().unwrap_or_default();
        stored.fetched = None; // what was asked for is not waited for
        while let Some(stub) = stored.asked.pop_back() {
            stored.push_stub_front(stub);
        }
        while let Some(delivery) = self.ready.pop_back() {
            if is_storable(&delivery) || delivery.message.is_absent() {
                if !delivery.message.is_absent() {
                    self.share.remove(delivery.size_bytes());
                }
                stored.push_stub_front(Stub::of(&delivery));
            } else {
                stored.push_here_front(delivery);
            }
        }
        self.stored = Some(stored);
        self.share.tell();
    }
}

/// What of a shared subscription is not acknowledged may have to go to another member, at once.
fn is_storable(delivery: &Delivery) -> bool {
    delivery.hop.place > 0 && delivery.hop.share == 0
}

/// How many of the first stubs are read at a time.
fn fetch_len(run: &VecDeque<Stub>) -> usize {
    let mut bytes = 0;
    let fits = run.iter().take(FETCH_MESSAGES).take_while(|stub| {
        bytes += stub.size_bytes as usize;
        bytes <= FETCH_BYTES
    });
    fits.count().max(1)
}

impl Stub {
    fn of(delivery: &Delivery) -> Self {
        Self {
            place: delivery.hop.place,
            expires_at: delivery.message.expires_at(),
            size_bytes: u32::try_from(delivery.message.size_bytes()).unwrap_or(u32::MAX),
            qos: delivery.hop.qos,
        }
    }

    fn delivery_bytes(&self) -> usize {
        self.size_bytes as usize + size_of::<Hop>()
    }

    fn absent(&self) -> Delivery {
        let hop = Hop { place: self.place, ..Hop::new(self.qos) };
        Delivery { hop, message: Message::absent(self.size_bytes, self.expires_at) }
    }
}

impl Stored {
    fn push_stub(&mut self, stub: Stub) {
        match self.runs.back_mut() {
            Some(Run::Stored(run)) => run.push_back(stub),
            _ => self.runs.push_back(Run::Stored(VecDeque::from([stub]))),
        }
    }

    fn push_here(&mut self, delivery: Delivery) {
        match self.runs.back_mut() {
            Some(Run::Here(run)) => run.push_back(delivery),
            _ => self.runs.push_back(Run::Here(VecDeque::from([delivery]))),
        }
    }

    fn push_stub_front(&mut self, stub: Stub) {
        match self.runs.front_mut() {
            Some(Run::Stored(run)) => run.push_front(stub),
            _ => self.runs.push_front(Run::Stored(VecDeque::from([stub]))),
        }
    }

    fn push_here_front(&mut self, delivery: Delivery) {
        match self.runs.front_mut() {
            Some(Run::Here(run)) => run.push_front(delivery),
            _ => self.runs.push_front(Run::Here(VecDeque::from([delivery]))),
        }
    }

    /// Takes the first; whether nothing is left is told with it.
    fn pop(&mut self) -> Option<Delivery> {
        if let Some(stub) = self.asked.pop_front() {
            return Some(stub.absent());
        }
        let (popped, is_over) = match self.runs.front_mut()? {
            Run::Here(run) => (run.pop_front(), run.is_empty()),
            Run::Stored(run) => (run.pop_front().map(|stub| stub.absent()), run.is_empty()),
        };
        if is_over {
            self.runs.pop_front();
        }
        popped
    }

    fn front_expires_at(&self) -> Option<Instant> {
        if let Some(stub) = self.asked.front() {
            return stub.expires_at;
        }
        match self.runs.front()? {
            Run::Here(run) => run.front()?.message.expires_at(),
            Run::Stored(run) => run.front()?.expires_at,
        }
    }

    fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.runs.is_empty()
    }
}

impl Queue for DurableQueue {
    fn push(&mut self, delivery: Delivery) -> Pushed {
        let bytes = delivery.size_bytes();
        let Some(reason) = self.overfull(bytes) else {
            self.append(delivery);
            return Pushed::Queued;
        };
        let never_fits = bytes > self.limits.bytes_max || self.limits.messages_max == 0;
        if never_fits || self.limits.overflow == Overflow::DropNewest {
            return Pushed::Refused(delivery, reason);
        }
        self.push_instead(delivery, bytes, reason)
    }

    fn push_in(&mut self, mut delivery: Delivery, transaction: &mut Transaction) -> Pushed {
        if delivery.hop.qos == QoS::AtMostOnce || !transaction.keeps_messages() {
            return self.push(delivery);
        }
        delivery.hop.place = self.last_place + 1;
        let kept = delivery.clone();
        match self.push(delivery) {
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

    fn pass_in(&mut self, batch: &Batch, transaction: &mut Transaction) -> Batch {
        if batch.qos() == QoS::AtMostOnce || !transaction.keeps_messages() {
            return batch.clone();
        }
        let batch = batch.at_place(self.last_place + 1);
        self.last_place += u64::from(batch.messages());
        transaction.enqueue_batch(self.session, batch.clone());
        batch
    }

    fn keep_sent(&mut self, delivery: &mut Delivery, transaction: &mut Transaction) {
        self.last_place += 1;
        delivery.hop.place = self.last_place;
        transaction.enqueue(self.session, self.last_place, delivery);
    }

    fn name_shares(&mut self, share_of: &dyn Fn(&str) -> u64) {
        for delivery in &mut self.ready {
            delivery.hop.share = share_of(delivery.message.topic());
        }
        self.put_away();
    }

    fn session(&self) -> Option<SessionId> {
        Some(self.session)
    }

    fn front(&self) -> Option<&Delivery> {
        self.ready.front()
    }

    fn front_expires_at(&self) -> Option<Instant> {
        match (self.ready.front(), &self.stored) {
            (Some(front), _) => front.message.expires_at(),
            (None, Some(stored)) => stored.front_expires_at(),
            (None, None) => None,
        }
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = match self.ready.pop_front() {
            Some(delivery) => delivery,
            None => self.stored.as_mut()?.pop()?,
        };
        let bytes = delivery.size_bytes();
        self.messages -= 1;
        self.bytes -= bytes;
        if !delivery.message.is_absent() {
            self.share.remove(bytes);
        }
        if self.ready.is_empty() && self.ready.capacity() > SPARE_MESSAGES {
            self.ready = VecDeque::new();
        }
        if self.stored.as_ref().is_some_and(|stored| stored.is_empty()) {
            self.stored = None;
        }
        Some(delivery)
    }

    fn refill(&mut self, waker: &dyn Fn() -> Waker) {
        if self.stored.is_some() {
            self.receive();
            self.ask(waker);
            self.receive(); // a loader without a thread has answered
        }
    }

    fn set_away(&mut self, is_away: bool) {
        self.is_away = is_away;
        if is_away {
            self.put_away();
        }
    }

    fn len(&self) -> usize {
        self.messages
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
