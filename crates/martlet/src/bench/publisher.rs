//! A client that publishes as its window and its pace allow.

use std::future::Future as _;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt_codec::{PacketType, QoS};
use tokio::time::Sleep;

use super::gate::Gate;
use super::ids::{Ids, Step};
use super::link::{Answers, Broken, Link, farewell};
use super::pace::Pace;
use super::packets::{Batch, Template, acknowledgement};
use super::stamp::Clock;

/// Reason codes from here on refuse what they answer (MQTT 5 section 2.4).
const REFUSED: u8 = 0x80;

/// What a publisher has to do.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) number: u32,
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) payload_bytes: usize,
    /// Messages of this publisher that may be under way.
    pub(super) window: u64,
    /// After how many messages it is done.
    pub(super) count: Option<u64>,
    pub(super) pace: Pace,
}

/// A publishing client.
#[derive(Debug)]
pub(super) struct Publisher {
    link: Link,
    gate: Arc<Gate>,
    clock: Clock,
    batch: Batch,
    /// What of the batch has not been written; it is not the whole of it once `begun`.
    pending: Range<usize>,
    begun: bool,
    ids: Option<Ids>,
    sent: u64,
    count: u64,
    schedule: Schedule,
}

/// The pace, with what it takes to wait for the next message.
#[derive(Debug)]
struct Schedule {
    pace: Pace,
    /// When the publisher was first let in.
    started_ns: Option<u64>,
    /// Messages were due and could not leave: they count from when they were due.
    held_back: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Publisher {
    /// Makes a publisher of an admitted connection.
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub(super) fn new(link: Link, task: &Task, gate: Arc<Gate>, clock: Clock) -> Result<Self, Broken> {
        let Task { number, ref topic, qos, payload_bytes, window, count, pace } = *task;
        let template =
            Template { topic, qos, retain: false, payload_bytes, publisher: number, version: link.version };
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        let batch = Batch::new(&template, window).map_err(|error| error.to_string())?;
        let in_flight_max = link.receive_maximum.min(u16::try_from(window).unwrap_or(u16::MAX));
        let ids = (qos != QoS::AtMostOnce).then(|| Ids::new(qos, in_flight_max));
        let schedule = Schedule { pace, started_ns: None, held_back: false, timer: None };
        let count = count.unwrap_or(u64::MAX);
        Ok(Self { link, gate, clock, batch, pending: 0..0, begun: false, ids, sent: 0, count, schedule })
    }

    /// Publishes until the connection breaks, which is the only thing that makes it ready.
    pub(super) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        loop {
            let heard = match self.poll_listen(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(broken)) => return Poll::Ready(broken),
                Poll::Pending => false,
            };
            if self.pending.is_empty() {
                self.compose(cx);
            }
            let wrote = match self.poll_write(cx) {
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Ready(Err(broken)) => return Poll::Ready(broken),
                Poll::Pending => false,
            };
            if !heard && !wrote {
                return Poll::Pending;
            }
        }
    }

    /// Ends the connection properly.
    pub(super) async fn end(self) {
        if self.begun {
            return; // the end would land within a packet
        }
        self.link.disconnect().await;
    }

    fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let (version, ids) = (self.link.version, &mut self.ids);
        let mut trouble = None;
        let heard = self.link.poll_frames(cx, |frame, answers| {
            if let Err(broken) = take_answer(ids.as_mut(), frame, answers) {
                trouble.get_or_insert_with(|| broken.unwrap_or_else(|| farewell(frame, version)));
            }
        });
        match trouble {
            Some(broken) => Poll::Ready(Err(broken)),
            None => heard,
        }
    }

    /// Makes the next batch if anything is due and there is room for it; otherwise sees to it that the task is woken.
    fn compose(&mut self, cx: &mut Context<'_>) {
        if self.sent == self.count || self.gate.is_stopped() {
            self.finish();
            return;
        }
        let Poll::Ready(room) = self.gate.poll_room(cx) else {
            self.schedule.hold_back();
            return;
        };
        let free_ids = self.ids.as_ref().map_or(usize::MAX, Ids::free);
        if free_ids == 0 {
            self.schedule.hold_back();
            return;
        }
        let now_ns = self.clock.now_ns();
        let Poll::Ready(due) = self.schedule.poll_due(cx, now_ns, self.sent) else { return };
        let messages = room.min(due).min(self.count - self.sent);
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        self.fill(messages.min(free_ids).min(self.batch.capacity()), now_ns);
    }

    fn fill(&mut self, messages: usize, now_ns: u64) {
        self.pending = self.batch.fill(messages, self.sent as u32, now_ns);
        if let Some(ids) = &mut self.ids {
            (0..messages).for_each(|packet| self.batch.set_id(packet, ids.take()));
        }
        if self.schedule.is_late() {
            for packet in 0..messages {
                let due_ns = self.schedule.due_ns(self.sent + packet as u64);
                self.batch.set_sent_ns(packet, due_ns.min(now_ns));
            }
        }
        self.sent += messages as u64;
        self.gate.send(messages as u64);
    }

    /// Writes what there is until the stream takes no more; says whether anything new may be composed.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        if self.pending.is_empty() {
            return self.link.poll_answer(cx).map_ok(|()| false);
        }
        while !self.pending.is_empty() {
            let messages = self.batch.bytes(self.pending.clone());
            match self.link.poll_write(cx, messages, self.begun) {
                Poll::Ready(Ok(written)) => {
                    self.pending.start += written;
                    self.begun = (self.begun || written > 0) && !self.pending.is_empty();
                }
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => {
                    self.schedule.hold_back();
                    return Poll::Pending;
                }
            }
        }
        self.link.poll_answer(cx).map_ok(|()| true)
    }

    fn finish(&self) {
        if self.ids.as_ref().is_none_or(Ids::all_free) {
            self.gate.finish();
        }
    }
}

impl Schedule {
    /// How many messages are due beyond those sent, at least one; or that the task is woken when the next one is.
    fn poll_due(&mut self, cx: &mut Context<'_>, now_ns: u64, sent: u64) -> Poll<u64> {
        let started_ns = *self.started_ns.get_or_insert(now_ns);
        let elapsed_ns = now_ns - started_ns;
        let due = self.pace.due(elapsed_ns) - sent;
        if due > 0 {
            return Poll::Ready(due);
        }
        self.held_back = false;
        let wait = Duration::from_nanos(self.pace.due_ns(sent) - elapsed_ns);
        let deadline = tokio::time::Instant::now() + wait;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().reset(deadline);
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn hold_back(&mut self) {
        self.held_back = true;
    }

    /// Whether messages must be stamped with when they were due: not the timer was late, but the broker.
    fn is_late(&self) -> bool {
        self.held_back && matches!(self.pace, Pace::Every { .. })
    }

    /// When a message was due, on the clock of the run.
    fn due_ns(&self, message: u64) -> u64 {
        self.started_ns.unwrap_or(0) + self.pace.due_ns(message)
    }
}

/// What a publisher does with a packet. `Err` ends it: with a reason, or with the one that is in the DISCONNECT.
#[inline]
fn take_answer(ids: Option<&mut Ids>, frame: &[u8], answers: &mut Answers) -> Result<(), Option<Broken>> {
    let kind = PacketType::from_first_byte(frame[0]);
    let kind = match kind {
        Some(kind @ (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp)) => kind,
        Some(PacketType::Disconnect) => return Err(None),
        _ => return Err(Some(format!("a publisher got a packet of type {}", frame[0] >> 4))),
    };
    let &[_, _, high, low, ref reason @ ..] = frame else {
        return Err(Some(format!("a {kind:?} without packet identifier")));
    };
    if let Some(refused) = reason.first().filter(|reason| **reason >= REFUSED) {
        return Err(Some(format!("the broker refused a message with reason {refused:#04x}")));
    }
    match ids.map_or(Step::Unexpected, |ids| ids.acknowledge(kind, u16::from_be_bytes([high, low]))) {
        Step::Done => {}
        Step::Release => answers.push(acknowledgement(0x62, [high, low])),
        Step::Unexpected => return Err(Some(format!("a {kind:?} for nothing that waits for one"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &[u8], expected: Result<(), Option<&str>>) {
        let mut ids = Ids::new(QoS::AtLeastOnce, 1);
        ids.take();
        let found = take_answer(Some(&mut ids), frame, &mut Answers::default());
        assert_eq!(found.as_ref().copied().map_err(Option::as_deref), expected);
    }

    #[test]
    fn acknowledgements_are_taken_and_everything_else_ends_the_publisher() {
        check(&[0x40, 2, 0, 1], Ok(()));
        check(&[0x40, 3, 0, 1, 0x10], Ok(()));
        check(&[0x40, 3, 0, 1, 0x97], Err(Some("the broker refused a message with reason 0x97")));
        check(&[0x40, 2, 0, 2], Err(Some("a Puback for nothing that waits for one")));
        check(&[0x50, 2, 0, 1], Err(Some("a Pubrec for nothing that waits for one")));
        check(&[0x40, 0], Err(Some("a Puback without packet identifier")));
        check(&[0xE0, 0], Err(None));
        check(&[0x30, 0], Err(Some("a publisher got a packet of type 3")));
    }
}
