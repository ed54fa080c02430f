//! A client with a session that outlives kills, and the rules for what it may receive.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::publisher::{Progress, qos};
use super::wire::{self, Link, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet};
use super::{Place, RETRY};

/// How many faults of one kind are told; the rest is as good.
const FAULTS_SHOWN: usize = 10;
/// How long to listen for what should not come.
const LINGER: Duration = Duration::from_millis(500);

/// What one subscriber received from one publisher.
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

    /// The numbers up to `sent` that never came.
    pub(super) fn missing(&self, sent: u64) -> Vec<u64> {
        (1..=sent).filter(|number| !self.numbers.contains(number)).collect()
    }
}

pub(super) struct Subscriber<'a> {
    pub(super) name: String,
    pub(super) place: &'a Place,
    /// It stays away this long after each connection, so that its queue fills.
    pub(super) away: Duration,
    received: Vec<Received>,
    unreleased: HashSet<u16>,
    faults: Vec<String>,
}

impl<'a> Subscriber<'a> {
    pub(super) fn new(name: String, place: &'a Place, away: Duration, publishers: usize) -> Self {
        let received = (0..publishers).map(|_| Received::default()).collect();
        Self { name, place, away, received, unreleased: HashSet::new(), faults: Vec::new() }
    }

    /// Receives until `publishing` is false and all has come, or `drain` later; returns what went wrong.
    pub(super) fn run(
        mut self,
        publishing: &AtomicBool,
        progress: &[Progress],
        drain: Duration,
    ) -> Vec<String> {
        let mut end: Option<Instant> = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if !publishing.load(Ordering::SeqCst) && end.is_none() {
                end = Some(Instant::now() + drain);
            }
            let Ok((link, present)) = Link::open(self.place.address, &self.name, false) else {
                thread::sleep(RETRY);
                continue;
            };
            if !present {
                self.faults.push("the session was not present".to_owned());
            }
            let limit = end.unwrap_or_else(|| Instant::now() + self.place.limit);
            let _ = self.converse(link, publishing, progress, limit);
            if !publishing.load(Ordering::SeqCst) && self.is_complete(progress) {
                break;
            }
            if publishing.load(Ordering::SeqCst) {
                thread::sleep(self.away);
            }
        }
        self.verdict(progress)
    }

    fn converse(
        &mut self,
        mut link: Link,
        publishing: &AtomicBool,
        progress: &[Progress],
        limit: Instant,
    ) -> io::Result<()> {
        let mut complete_since: Option<Instant> = None;
        while Instant::now() < limit {
            if let Some(packet) = link.poll()? {
                self.take(&mut link, packet)?;
            } else if !publishing.load(Ordering::SeqCst)
                && self.is_complete(progress)
                && complete_since.get_or_insert_with(Instant::now).elapsed() > LINGER
            {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, link: &mut Link, packet: Packet) -> io::Result<()> {
        match packet {
            Packet::Publish { topic, id, qos: 2, payload, .. } => {
                if self.unreleased.insert(id) {
                    self.deliver(&topic, &payload);
                }
                link.send(&wire::ack(PUBREC, id))
            }
            Packet::Publish { topic, id, payload, .. } => {
                self.deliver(&topic, &payload);
                link.send(&wire::ack(PUBACK, id))
            }
            Packet::Ack { kind: PUBREL, id, .. } => {
                self.unreleased.remove(&id);
                link.send(&wire::ack(PUBCOMP, id))
            }
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, topic: &str, payload: &str) {
        let publisher = topic.strip_prefix("torture/").and_then(|rest| rest.parse::<usize>().ok());
        let (Some(publisher), Ok(number)) = (publisher, payload.parse()) else {
            return self.faults.push(format!("unexpected `{payload}` on {topic}"));
        };
        let Some(received) = self.received.get_mut(publisher) else {
            return self.faults.push(format!("unexpected topic {topic}"));
        };
        if let Some(fault) = received.take(number, qos(publisher)) {
            self.faults.push(format!("publisher {publisher}: {fault}"));
        }
    }

    fn is_complete(&self, progress: &[Progress]) -> bool {
        let sent = progress.iter().map(|one| one.sent.load(Ordering::SeqCst));
        self.received.iter().zip(sent).all(|(received, sent)| received.numbers.len() as u64 >= sent)
    }

    fn verdict(mut self, progress: &[Progress]) -> Vec<String> {
        let more = self.faults.len().saturating_sub(FAULTS_SHOWN);
        self.faults.truncate(FAULTS_SHOWN);
        if more > 0 {
            self.faults.push(format!("{more} more of these"));
        }
        for (at, (received, progress)) in self.received.iter().zip(progress).enumerate() {
            let sent = progress.sent.load(Ordering::SeqCst);
            let missing = received.missing(sent);
            if !missing.is_empty() {
                let (count, some) = (missing.len(), &missing[..missing.len().min(FAULTS_SHOWN)]);
                let qos = qos(at);
                self.faults.push(format!("publisher {at} (QoS {qos}): {count} of {sent} lost: {some:?}"));
            }
        }
        self.faults.iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Received;

    #[test]
    fn a_second_copy_is_a_fault_at_qos_2_only() {
        let mut received = Received::default();
        assert_eq!(received.take(1, 1), None);
        assert_eq!(received.take(1, 1), None);
        assert!(received.take(1, 2).is_some());
    }

    #[test]
    fn a_number_that_comes_late_is_out_of_order_and_one_that_never_comes_is_missing() {
        let mut received = Received::default();
        assert_eq!(received.take(1, 1), None);
        assert_eq!(received.take(4, 1), None);
        assert!(received.take(2, 1).is_some());
        assert_eq!(received.missing(5), [3, 5]);
    }
}
