//! Clients with sessions that outlive kills, and the rules for what they may receive.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::mortal::{NAMES, Will};
use super::publisher::{Progress, qos};
use super::wire::{self, Link, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet};
use super::{Mode, PUBLISHERS, Place, RETRY};

/// How many faults of one kind are told; the rest is as good.
const FAULTS_SHOWN: usize = 10;
/// How long to listen for what should not come.
const LINGER: Duration = Duration::from_millis(500);

/// What was received of one publisher.
#[derive(Default)]
pub(super) struct Received {
    numbers: BTreeSet<u64>,
}

impl Received {
    /// Takes a number, and says what is wrong with its coming now.
    pub(super) fn take(&mut self, number: u64, qos: u8) -> Option<String> {
        let last = self.numbers.last().copied().unwrap_or_default();
        if !self.numbers.insert(number) {
            return (qos == 2).then(|| format!("message {number} came twice at QoS 2"));
        }
        (number < last).then(|| format!("message {number} came for the first time after {last}"))
    }

    /// The numbers behind `from` and up to `sent` that never came, without those that were refused.
    pub(super) fn missing(&self, from: u64, sent: u64, refused: &BTreeSet<u64>) -> Vec<u64> {
        (from + 1..=sent)
            .filter(|number| !self.numbers.contains(number) && !refused.contains(number))
            .collect()
    }
}

/// Those who must have everything together: one client, or the members of a shared group.
pub(super) struct Group {
    name: &'static str,
    is_shared: bool,
    received: Mutex<Vec<Received>>,
    wills: Mutex<BTreeSet<Will>>,
    expected_wills: Mutex<Vec<Will>>,
    faults: Mutex<Vec<String>>,
}

impl Group {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            is_shared: false,
            received: Mutex::new((0..PUBLISHERS).map(|_| Received::default()).collect()),
            wills: Mutex::default(),
            expected_wills: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(super) fn shared(name: &'static str) -> Self {
        Self { is_shared: true, ..Self::new(name) }
    }

    /// What each of them is subscribed to.
    pub(super) fn filters(&self) -> &'static [&'static str] {
        if self.is_shared { &["$share/g/torture/#"] } else { &["torture/#", "wills/#"] }
    }

    /// Wills that have to come, unless nobody here is subscribed to wills.
    pub(super) fn expect_wills(&self, wills: &[Will]) {
        if !self.is_shared {
            self.expected_wills.lock().expect("nobody panicked").extend(wills);
        }
    }

    fn fault(&self, fault: String) {
        self.faults.lock().expect("nobody panicked").push(fault);
    }

    fn deliver(&self, mode: Mode, progress: &[Progress], topic: &str, payload: &str) {
        let Ok(number) = payload.parse() else {
            return self.fault(format!("unexpected `{payload}` on {topic}"));
        };
        if let Some((name, _)) = NAMES.iter().find(|(name, _)| topic.strip_prefix("wills/") == Some(name)) {
            self.wills.lock().expect("nobody panicked").insert((name, number));
            return;
        }
        let publisher = topic.strip_prefix("torture/").and_then(|rest| rest.parse::<usize>().ok());
        let mut all = self.received.lock().expect("nobody panicked");
        let Some((publisher, received)) = publisher.and_then(|at| Some((at, all.get_mut(at)?))) else {
            return self.fault(format!("unexpected topic {topic}"));
        };
        // Members of a group are not in step, and what is in memory only is published again after a kill.
        let is_new = !received.numbers.contains(&number);
        let may_be_late = || {
            self.is_shared || progress[publisher].repeated.lock().expect("nobody panicked").contains(&number)
        };
        let fault = received.take(number, qos(publisher));
        if let Some(fault) = fault.filter(|_| if is_new { !may_be_late() } else { mode != Mode::Memory }) {
            self.fault(format!("publisher {publisher}: {fault}"));
        }
    }

    fn is_complete(&self, progress: &[Progress]) -> bool {
        let all = self.received.lock().expect("nobody panicked");
        let nothing_missing = all.iter().zip(progress).all(|(received, progress)| {
            let sent = progress.sent.load(Ordering::SeqCst);
            let refused = progress.refused.lock().expect("nobody panicked");
            received.numbers.len() as u64 + refused.len() as u64 >= sent
                && received.missing(0, sent, &refused).is_empty()
        });
        nothing_missing && self.missing_wills().is_empty()
    }

    fn missing_wills(&self) -> Vec<Will> {
        let wills = self.wills.lock().expect("nobody panicked");
        let expected = self.expected_wills.lock().expect("nobody panicked");
        expected.iter().filter(|number| !wills.contains(number)).copied().collect()
    }

    /// Everything that is wrong. In memory only what was sent after the last kill has to be there.
    pub(super) fn verdict(&self, place: &Place, progress: &[Progress], sent_before: &[u64]) -> Vec<String> {
        let mut faults = std::mem::take(&mut *self.faults.lock().expect("nobody panicked"));
        let more = faults.len().saturating_sub(FAULTS_SHOWN);
        faults.truncate(FAULTS_SHOWN);
        if more > 0 {
            faults.push(format!("{more} more of these"));
        }
        for (at, received) in self.received.lock().expect("nobody panicked").iter().enumerate() {
            let sent = progress[at].sent.load(Ordering::SeqCst);
            let from = if place.mode == Mode::Memory { sent_before[at] } else { 0 };
            let missing =
                received.missing(from, sent, &progress[at].refused.lock().expect("nobody panicked"));
            if !missing.is_empty() {
                let (count, some) = (missing.len(), &missing[..missing.len().min(FAULTS_SHOWN)]);
                faults.push(format!("publisher {at} (QoS {}): {count} of {sent} lost: {some:?}", qos(at)));
            }
        }
        let wills = self.missing_wills();
        if !wills.is_empty() {
            faults.push(format!("the wills {wills:?} are lost"));
        }
        faults.iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }
}

pub(super) struct Subscriber<'a> {
    name: String,
    place: &'a Place,
    /// It stays away this long after each connection, so that its queue fills.
    away: Duration,
    group: &'a Group,
    unreleased: HashSet<u16>,
}

impl<'a> Subscriber<'a> {
    pub(super) fn new(name: String, place: &'a Place, away: Duration, group: &'a Group) -> Self {
        Self { name, place, away, group, unreleased: HashSet::new() }
    }

    /// Receives until `publishing` is false and all has come, or `drain` later; returns what went wrong.
    pub(super) fn run(
        mut self,
        publishing: &AtomicBool,
        progress: &[Progress],
        drain: Duration,
    ) -> Option<String> {
        let mut end: Option<Instant> = None;
        let mut lost = 0;
        while end.is_none_or(|end| Instant::now() < end) {
            if !publishing.load(Ordering::SeqCst) && end.is_none() {
                // In memory much is missing for ever: nobody waits long for it.
                end = Some(Instant::now() + if self.place.mode == Mode::Memory { 4 * LINGER } else { drain });
            }
            let Ok((link, present)) = Link::open(self.place.address, &self.name, false) else {
                thread::sleep(RETRY);
                continue;
            };
            lost += u32::from(!present);
            let limit = end.unwrap_or_else(|| Instant::now() + self.place.limit);
            if let Ok(true) = self.converse(link, publishing, progress, limit) {
                break;
            }
            if publishing.load(Ordering::SeqCst) {
                thread::sleep(self.away);
            }
        }
        (lost > 0).then(|| format!("{}: the session was not present, {lost} times", self.name))
    }

    /// Whether everything was there and nothing more came, so that nothing is left to be acknowledged.
    fn converse(
        &mut self,
        mut link: Link,
        publishing: &AtomicBool,
        progress: &[Progress],
        limit: Instant,
    ) -> io::Result<bool> {
        let mut complete_since: Option<Instant> = None;
        while Instant::now() < limit {
            if let Some(packet) = link.poll()? {
                self.take(&mut link, progress, packet)?;
            } else if !publishing.load(Ordering::SeqCst)
                && self.group.is_complete(progress)
                && complete_since.get_or_insert_with(Instant::now).elapsed() > LINGER
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Answers a packet.
    fn take(&mut self, link: &mut Link, progress: &[Progress], packet: Packet) -> io::Result<()> {
        match packet {
            Packet::Publish { topic, id, qos: 2, payload, .. } => {
                if self.unreleased.insert(id) {
                    self.group.deliver(self.place.mode, progress, &topic, &payload);
                }
                link.send(&wire::ack(PUBREC, id))
            }
            Packet::Publish { topic, id, payload, .. } => {
                self.group.deliver(self.place.mode, progress, &topic, &payload);
                link.send(&wire::ack(PUBACK, id))
            }
            Packet::Ack { kind: PUBREL, id, .. } => {
                self.unreleased.remove(&id);
                link.send(&wire::ack(PUBCOMP, id))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Received;

    #[test]
    fn a_second_copy_is_a_fault_at_qos_2_only() {
        let mut received = Received::default();
        assert_eq!(received.take(1, 1), None);
        assert_eq!(received.take(1, 1), None);
        assert!(received.take(1, 2).is_some());
    }

    #[test]
    fn a_number_that_comes_late_is_out_of_order_and_one_that_never_comes_is_missing_unless_it_was_refused() {
        let mut received = Received::default();
        assert_eq!(received.take(1, 1), None);
        assert_eq!(received.take(4, 1), None);
        assert!(received.take(2, 1).is_some());
        assert_eq!(received.missing(0, 6, &BTreeSet::from([6])), [3, 5]);
        assert_eq!(received.missing(3, 6, &BTreeSet::new()), [5, 6]);
    }
}
