//! A client that publishes numbers in order and sends again what was not acknowledged, as the standard wants it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{self, Link, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet};
use super::{Place, RETRY};

/// Below every broker's receive maximum that is worth the name.
const WINDOW: usize = 16;
const PAUSE: Duration = Duration::from_millis(2);
/// Every so many messages one is retained.
const RETAIN_EVERY: u64 = 8;

/// Quota exceeded: what a broker says that cannot store a message.
const QUOTA: u8 = 0x97;
/// Packet identifier not found.
const NOT_FOUND: u8 = 0x92;

/// How far one publisher is, for those who check meanwhile.
#[derive(Default)]
pub(super) struct Progress {
    /// The last number sent at least once; numbers begin with 1.
    pub(super) sent: AtomicU64,
    pub(super) retained_sent: AtomicU64,
    pub(super) retained_acknowledged: AtomicU64,
    /// How many were acknowledged.
    pub(super) answered: AtomicU64,
    /// Numbers that the broker refused to take, because its disk was full or had failed.
    pub(super) refused: Mutex<BTreeSet<u64>>,
    /// Numbers that were sent again: their refusal may have been lost with the connection, so they may come late.
    pub(super) repeated: Mutex<BTreeSet<u64>>,
}

struct Inflight {
    number: u64,
    /// PUBREC came, so PUBREL is what is sent again.
    released: bool,
    /// PUBREL was sent again on a resumed session.
    recovering: bool,
}

pub(super) struct Publisher<'a> {
    pub(super) at: usize,
    pub(super) place: &'a Place,
    pub(super) progress: &'a Progress,
    inflight: VecDeque<Inflight>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(at: usize, place: &'a Place, progress: &'a Progress) -> Self {
        Self { at, place, progress, inflight: VecDeque::new() }
    }

    /// Publishes until `running` is false, then until all is acknowledged; what went wrong is returned.
    pub(super) fn run(mut self, running: &AtomicBool, drain: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        let mut stop_at: Option<Instant> = None;
        let mut known = false;
        loop {
            if !running.load(Ordering::SeqCst) && stop_at.is_none() {
                stop_at = Some(Instant::now() + drain);
            }
            if stop_at.is_some_and(|end| self.inflight.is_empty() || Instant::now() > end) {
                break;
            }
            let Ok((link, present)) =
                Link::open(self.place.address, &format!("publisher-{}", self.at), false)
            else {
                thread::sleep(RETRY);
                continue;
            };
            if known && !present {
                faults.push(format!("publisher {}: the session was not present after a restart", self.at));
            }
            known = true;
            let limit = stop_at.unwrap_or_else(|| Instant::now() + self.place.limit);
            // A lost connection is what this is about: the next round resumes.
            let _ = self.converse(link, running, limit, &mut faults);
        }
        if !self.inflight.is_empty() {
            let count = self.inflight.len();
            faults.push(format!("publisher {}: {count} messages were never acknowledged", self.at));
        }
        faults
    }

    fn converse(
        &mut self,
        mut link: Link,
        running: &AtomicBool,
        limit: Instant,
        faults: &mut Vec<String>,
    ) -> io::Result<()> {
        for one in &mut self.inflight {
            one.recovering = one.released;
        }
        if self.place.can_fail {
            let mut repeated = self.progress.repeated.lock().expect("nobody panicked");
            repeated.extend(self.inflight.iter().map(|one| one.number));
        }
        for one in &self.inflight {
            link.send(&self.again(one))?;
        }
        while Instant::now() < limit {
            if running.load(Ordering::SeqCst) && self.inflight.len() < WINDOW {
                self.send_next(&mut link)?;
                thread::sleep(PAUSE);
            } else if self.inflight.is_empty() {
                return Ok(());
            }
            if let Some(packet) = link.poll()? {
                self.take(&mut link, &packet, faults)?;
            }
        }
        Ok(())
    }

    fn qos(&self) -> u8 {
        qos(self.at)
    }

    fn send_next(&mut self, link: &mut Link) -> io::Result<()> {
        let number = self.progress.sent.fetch_add(1, Ordering::SeqCst) + 1;
        if is_retained(number) {
            self.progress.retained_sent.store(number, Ordering::SeqCst);
        }
        self.inflight.push_back(Inflight { number, released: false, recovering: false });
        link.send(&self.publish(number, false))
    }

    fn again(&self, one: &Inflight) -> Vec<u8> {
        if one.released { wire::ack(PUBREL, id(one.number)) } else { self.publish(one.number, true) }
    }

    fn publish(&self, number: u64, dup: bool) -> Vec<u8> {
        let retain = is_retained(number);
        wire::publish(&topic(self.at), id(number), self.qos(), retain, dup, &number.to_string())
    }

    fn take(&mut self, link: &mut Link, packet: &Packet, faults: &mut Vec<String>) -> io::Result<()> {
        let Packet::Ack { kind, id: acknowledged, reason } = *packet else { return Ok(()) };
        let Some(at) = self.inflight.iter().position(|one| id(one.number) == acknowledged) else {
            return Ok(());
        };
        // A PUBCOMP that the kill swallowed: the identifier is free, which is no error during recovery.
        let recovered = kind == PUBCOMP && reason == NOT_FOUND && self.inflight[at].recovering;
        if reason == QUOTA && self.place.can_fail && kind != PUBCOMP {
            let refused = self.inflight.remove(at).expect("it was found");
            self.progress.refused.lock().expect("nobody panicked").insert(refused.number);
            return Ok(());
        }
        if reason >= 0x80 && !recovered {
            let number = self.inflight[at].number;
            faults.push(format!("publisher {}: message {number} was answered with {reason:#04x}", self.at));
        }
        if kind == PUBREC && reason < 0x80 {
            self.inflight[at].released = true;
            return link.send(&wire::ack(PUBREL, acknowledged));
        }
        if matches!(kind, PUBACK | PUBREC | PUBCOMP)
            && let Some(done) = self.inflight.remove(at)
        {
            self.progress.answered.fetch_add(1, Ordering::SeqCst);
            if !is_retained(done.number) {
                return Ok(());
            }
            self.progress.retained_acknowledged.fetch_max(done.number, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Publishers take turns between QoS 1 and 2.
pub(super) fn qos(publisher: usize) -> u8 {
    if publisher.is_multiple_of(2) { 1 } else { 2 }
}

pub(super) fn topic(publisher: usize) -> String {
    format!("torture/{publisher}")
}

fn id(number: u64) -> u16 {
    (number % 65_535) as u16 + 1
}

fn is_retained(number: u64) -> bool {
    number.is_multiple_of(RETAIN_EVERY)
}
