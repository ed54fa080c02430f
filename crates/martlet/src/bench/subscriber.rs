//! A client that receives, and checks what it receives.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use mqtt_codec::{PacketType, Version};

use super::gate::Gate;
use super::histogram::Histogram;
use super::ledger::Ledger;
use super::link::{Answers, Broken, Link, farewell};
use super::packets::{acknowledgement, received};
use super::sequence::{Arrival, Flaws, Sequence};
use super::stamp::{Clock, Stamp};

/// What several subscribers count together.
#[derive(Debug)]
pub(super) struct Tally {
    /// Messages received, duplicates included.
    pub(super) delivered: u64,
    /// From leaving the publisher to being received, in nanoseconds.
    pub(super) latency: Histogram,
    /// When the latest message came, on the clock of the run.
    pub(super) latest_ns: u64,
}

impl Tally {
    /// One without messages.
    pub(super) fn new() -> Self {
        Self { delivered: 0, latency: Histogram::new(), latest_ns: 0 }
    }
}

/// What a subscriber has to do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) filter: String,
    /// The publishers whose messages it receives.
    pub(super) sources: Range<u32>,
    pub(super) payload_bytes: usize,
}

/// A receiving client.
#[derive(Debug)]
pub(super) struct Subscriber {
    link: Link,
    tally: Arc<Mutex<Tally>>,
    clock: Clock,
    inbox: Inbox,
}

/// What is checked and counted for each message.
#[derive(Debug)]
struct Inbox {
    version: Version,
    payload_bytes: usize,
    first_source: u32,
    sources: Vec<Source>,
    /// Of the members of a shared subscription; then not each of them receives everything.
    ledger: Option<Arc<Mutex<Ledger>>>,
    /// Sources with credit, by their place.
    touched: Vec<usize>,
    flaws: Flaws,
    trouble: Option<Broken>,
}

/// One publisher, as a subscriber sees it.
#[derive(Debug)]
struct Source {
    gate: Arc<Gate>,
    sequence: Sequence,
    /// Deliveries of the present burst that its gate has not been told yet.
    credit: u64,
}

/// What one read brought: its time, and the messages of the same departure that were counted last.
#[derive(Default)]
struct Burst {
    now_ns: Option<u64>,
    sent_ns: u64,
    same: u64,
}

impl Subscriber {
    /// Makes a subscriber of a connection that has subscribed; `gates` are those of its sources, in their order.
    pub(super) fn new(
        link: Link,
        task: &Task,
        gates: &[Arc<Gate>],
        ledger: Option<Arc<Mutex<Ledger>>>,
        tally: Arc<Mutex<Tally>>,
        clock: Clock,
    ) -> Self {
        let source = |gate| Source { gate: Arc::clone(gate), sequence: Sequence::default(), credit: 0 };
        let inbox = Inbox {
            version: link.version,
            payload_bytes: task.payload_bytes,
            first_source: task.sources.start,
            sources: gates.iter().map(source).collect(),
            ledger,
            touched: Vec::new(),
            flaws: Flaws::default(),
            trouble: None,
        };
        Self { link, tally, clock, inbox }
    }

    /// Receives until the connection breaks, which is the only thing that makes it ready.
    pub(super) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        loop {
            // A broker that does not read its acknowledgements gets no chance to send more.
            if let Err(broken) = ready!(self.link.poll_answer(cx)) {
                return Poll::Ready(broken);
            }
            if let Err(broken) = ready!(self.poll_receive(cx)) {
                return Poll::Ready(broken);
            }
        }
    }

    /// What was wrong with the arrivals, once it is known how many each source has published.
    pub(super) fn flaws(&self) -> Flaws {
        let mut flaws = self.inbox.flaws;
        for source in &self.inbox.sources {
            let found = source.sequence.flaws(source.gate.sent_messages());
            flaws += if self.inbox.ledger.is_some() {
                // What is missing here another member may have; what came twice here is in the ledger, too.
                Flaws { out_of_order: found.out_of_order, ..Flaws::default() }
            } else {
                found
            };
        }
        flaws
    }

    /// Ends the connection properly.
    pub(super) async fn end(self) {
        self.link.disconnect().await;
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Self { link, tally, clock, inbox } = self;
        let ledger = inbox.ledger.clone();
        let mut ledger = ledger.as_ref().map(|ledger| ledger.lock().expect(UNPOISONED));
        let mut tally = tally.lock().expect(UNPOISONED);
        let mut burst = Burst::default();
        let read = link.poll_frames(cx, |frame, answers| {
            let now_ns = *burst.now_ns.get_or_insert_with(|| clock.now_ns());
            if let Some(stamp) = inbox.take(frame, answers, ledger.as_mut()) {
                burst.count(stamp.sent_ns, now_ns, &mut tally);
            }
        });
        burst.finish(&mut tally);
        drop((tally, ledger));
        inbox.tell_gates();
        match inbox.trouble.take() {
            Some(broken) => Poll::Ready(Err(broken)),
            None => read,
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

impl Burst {
    /// Counts a message; messages that left together are added to the histogram together.
    #[inline]
    fn count(&mut self, sent_ns: u64, now_ns: u64, tally: &mut Tally) {
        if sent_ns != self.sent_ns {
            self.record(now_ns, tally);
            self.sent_ns = sent_ns;
        }
        self.same += 1;
    }

    fn record(&mut self, now_ns: u64, tally: &mut Tally) {
        if self.same > 0 {
            tally.latency.record(now_ns.saturating_sub(self.sent_ns), self.same);
            tally.delivered += self.same;
            tally.latest_ns = tally.latest_ns.max(now_ns);
            self.same = 0;
        }
    }

    fn finish(mut self, tally: &mut Tally) {
        if let Some(now_ns) = self.now_ns {
            self.record(now_ns, tally);
        }
    }
}

impl Inbox {
    /// Takes a packet; if it is a message of this run, its stamp comes back.
    #[inline]
    fn take(
        &mut self,
        frame: &[u8],
        answers: &mut Answers,
        ledger: Option<&mut MutexGuard<'_, Ledger>>,
    ) -> Option<Stamp> {
        if frame[0] >> 4 != PacketType::Publish as u8 {
            self.take_other(frame, answers);
            return None;
        }
        let Some(message) = received(frame, self.version) else {
            self.trouble = Some("a malformed PUBLISH".to_owned());
            return None;
        };
        if let Some(id) = message.id {
            let acknowledges = if frame[0] & 0b0100 == 0 { 0x40 } else { 0x50 };
            answers.push(acknowledgement(acknowledges, id));
        }
        if message.payload.len() != self.payload_bytes {
            self.flaws.damaged += 1;
            return None;
        }
        Stamp::read(message.payload).filter(|stamp| self.check(*stamp, ledger))
    }

    /// Checks a message against those before it; `false` when it is none of this run.
    #[inline]
    fn check(&mut self, stamp: Stamp, ledger: Option<&mut MutexGuard<'_, Ledger>>) -> bool {
        let place = stamp.publisher.wrapping_sub(self.first_source) as usize;
        let Some(source) = self.sources.get_mut(place) else {
            self.flaws.foreign += 1;
            return false;
        };
        let arrival = source.sequence.arrive(stamp.sequence);
        let settled = match (ledger, arrival) {
            (Some(ledger), _) => u64::from(ledger.arrive(place, stamp.sequence)),
            (None, Arrival::InOrder) => 1,
            (None, Arrival::AfterGap(missing)) => 1 + u64::from(missing),
            (None, Arrival::Late | Arrival::Duplicate) => 0,
        };
        if source.credit == 0 && settled > 0 {
            self.touched.push(place);
        }
        source.credit += settled;
        true
    }

    fn take_other(&mut self, frame: &[u8], answers: &mut Answers) {
        match (PacketType::from_first_byte(frame[0]), frame) {
            (Some(PacketType::Pubrel), &[_, _, high, low, ..]) => {
                answers.push(acknowledgement(0x70, [high, low]));
            }
            (Some(PacketType::Disconnect), _) => self.trouble = Some(farewell(frame, self.version)),
            _ => {
                self.trouble = Some(format!("a subscriber got a packet of type {}", frame[0] >> 4));
            }
        }
    }

    fn tell_gates(&mut self) {
        for place in self.touched.drain(..) {
            let source = &mut self.sources[place];
            source.gate.settle(std::mem::take(&mut source.credit));
        }
    }
}
