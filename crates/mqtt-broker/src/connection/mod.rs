//! One connection, from the accepted stream to its end: the task that owns it.

mod dialogue;
mod early;
mod end;
mod handshake;
mod hooked;
mod injecting;
mod paths;
mod publisher;
mod rate;
mod recheck;
mod repeat;
mod replay;
mod reviewing;
mod run;
mod sending;
mod subscribing;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mqtt_codec::ReasonCode;
use mqtt_session::Violation;
use mqtt_transport::{Cause, Certificate, Connection as Stream, FrameReader, FrameWriter, ReadError};

use crate::alarms::Alarm;
use crate::clients::{Act, Order};
use crate::core::Core;
use crate::hooks::{Events, Hooks};
use crate::listening::ListenerRules;
use crate::refusals::EntryRefusal;
pub(crate) use dialogue::Dialogue;
pub(crate) use injecting::{Injected, Injection, Refused, act_on};
pub(crate) use paths::{ask_to_publish, refuse_publish};
pub(crate) use rate::Rates;
pub(crate) use replay::{Next, Replay, Replays};
pub(crate) use subscribing::{ask_to_subscribe, refuse_filter};

/// What is known of a peer before it has said anything.
///
/// ```
/// use mqtt_broker::transport::Connection;
/// use mqtt_broker::{Broker, Peer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder().start().await?;
/// let (ours, theirs) = tokio::io::duplex(4_096);
/// broker.attach(Connection::boxed(theirs), Peer::anonymous());
/// # drop(ours); broker.shutdown().await; Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The rules of the listener it came through.
    pub listener: Arc<ListenerRules>,
    /// Where it comes from; `None` for a stream without an address.
    pub address: Option<SocketAddr>,
    /// The certificate that it proved to own.
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// A peer without an address that is admitted without showing who it is: one end of a pipe, for example.
    #[must_use]
    pub fn anonymous() -> Self {
        let rules = ListenerRules { allow_anonymous: true, ..ListenerRules::default() };
        Self { listener: Arc::new(rules), ..Self::default() }
    }
}

/// The bytes' side of a connection.
struct Link {
    stream: Stream,
    reader: FrameReader,
    writer: FrameWriter,
}

/// An admitted client's connection.
pub(crate) struct Connection {
    link: Link,
    dialogue: Dialogue,
    alarm: Alarm,
    /// What wakes this task, where others were told.
    waker: Option<Waker>,
    /// Whether the stream left something in the writer when it was last written to.
    held_up: bool,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer said DISCONNECT.
    PeerLeft,
    /// The stream ended or failed.
    Lost,
    /// The peer broke a rule.
    Violation(Violation),
    /// Nothing was heard for too long.
    KeepAliveTimeout,
    /// Its login, or the longest time that a connection may last, is over.
    Expired(ReasonCode),
    /// Somebody in the broker decided so.
    Ordered(Order),
    /// Our own mistake: the task panicked.
    Panicked,
}

/// What became of an attempt to read.
enum Input {
    /// So many bytes came and were dealt with.
    Handled { bytes: usize },
    /// Nothing has come; the stream wakes the task when something does.
    Awaited,
    /// Nothing may be read now.
    Barred,
}

/// What a read of fewer bytes leads to takes no time: the clock need not be asked again.
const INSTANT_BYTES_MAX: usize = 4 << 10;
/// How long a connection that always has something to do goes on before others get their turn. Shorter turns cost: 7 % of CPU
/// per message with 10 busy pairs at 0.3 ms, nothing above the noise at 1 ms.
const TURNS_MAX: Duration = Duration::from_millis(1);
/// So many rounds of writing do not make the clock worth asking.
const ROUNDS_UNTIMED: u32 = 2;
/// Bytes that may wait in the writer before no more deliveries are encoded.
const WRITE_BYTES_HIGH: usize = 128 << 10;
/// Bytes of answers that may wait in the writer before nothing more is read from the peer.
const ANSWER_BYTES_HIGH: usize = 2 << 20;

/// Serves a connection, which `opening` brings, to its end, and keeps for it what comes along.
///
/// What only the handshake and the end need is boxed for their time, so that an idle connection's task is small.
pub(crate) async fn serve<O, K>(opening: Pin<Box<O>>)
where
    O: Future<Output = Option<(Box<Connection>, K)>>,
{
    let Some((mut connection, _kept)) = opening.await else { return };
    let run = AssertUnwindSafe(connection.run()).catch_unwind();
    // A panic is our mistake, and it ends this one connection only.
    let end = run.await.unwrap_or(End::Panicked);
    Box::pin(connection.finish(end)).await;
}

/// The handshake. `None` if it failed; the connection is closed then.
pub(crate) async fn welcome(
    core: Arc<Core>,
    stream: Stream,
    peer: Peer,
    handshake_until: tokio::time::Instant,
) -> Option<Box<Connection>> {
    let mut link = Link {
        stream,
        reader: FrameReader::new(core.settings.limits.connect_bytes_max),
        writer: FrameWriter::new(),
    };
    if core.hooks.ask(Events::CONNECTION_ACCEPTED, |hook| admit(hook, &peer)).is_err() {
        core.metrics.count_entry(EntryRefusal::Hook);
        return None;
    }
    let admission = tokio::time::timeout_at(handshake_until, handshake::admit(&core, &mut link, &peer));
    let Ok(admission) = core.unless_stopping(admission).await? else {
        core.metrics.connects_failed.add(1);
        core.metrics.count_refused(peer.listener.scheme, Cause::TimedOut);
        tracing::debug!(address = ?peer.address, "no complete CONNECT in time");
        return None;
    };
    let dialogue = match admission {
        Some(admission) => handshake::open(&core, &mut link, admission).await,
        None => None,
    };
    let Some(dialogue) = dialogue else {
        core.metrics.connects_failed.add(1);
        core.metrics.packets_sent.add(u64::from(!link.writer.is_empty())); // the refusal
        end::close(link, &core).await;
        return None;
    };
    Some(Box::new(Connection { link, dialogue, alarm: Alarm::default(), waker: None, held_up: false }))
}

/// Has the task come back once everybody else had a turn, sockets included. A task that only wakes itself is looked at again
/// sixty times before the runtime looks at the sockets.
fn give_way(cx: &mut Context<'_>) {
    // It is never ready at first.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

fn admit(hook: &dyn Hooks, peer: &Peer) -> Result<(), ReasonCode> {
    if hook.connection_accepted(peer) { Ok(()) } else { Err(ReasonCode::NotAuthorized) }
}

impl Link {
    /// Writes everything, in this time at most. Whether it was possible.
    async fn flush(&mut self, core: &Core, time: Duration) -> bool {
        let pending = self.writer.pending_bytes();
        let flushed = tokio::time::timeout(time, self.writer.flush(&mut self.stream)).await;
        core.metrics.bytes_sent.add((pending - self.writer.pending_bytes()) as u64);
        matches!(flushed, Ok(Ok(())))
    }
}

impl Connection {
    async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll_turns(cx)).await
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.register(cx.waker());
        let mut now = self.dialogue.core.now();
        let began = now;
        loop {
            // What the peer has sent counts before what others want of it: its DISCONNECT may be among it.
            let answers_from = self.link.writer.position();
            let input = self.poll_input(cx, now);
            self.dialogue.burst_over(now, answers_from);
            let mut acted = false;
            if self.dialogue.end.is_none()
                && let Some(order) = self.dialogue.handle.take_order()
            {
                match order {
                    Order::Act(Act(work)) => {
                        work(&mut self.dialogue, now);
                        self.dialogue.burst_over(now, self.link.writer.position());
                    }
                    Order::Recheck => {
                        if let Some(end) = self.dialogue.recheck() {
                            return Poll::Ready(end);
                        }
                    }
                    order => return Poll::Ready(End::Ordered(order)),
                }
                acted = true;
            }
            let written = self.poll_output(cx, now);
            self.dialogue.count();
            if let Some(end) = self.dialogue.end.take() {
                return Poll::Ready(end);
            }
            let goes_on = match input {
                Input::Handled { .. } => true,
                // Writing changes nothing about it: the stream will wake this task.
                Input::Awaited => acted,
                // What was written may have been in the way.
                Input::Barred => acted || written,
            };
            if !goes_on && !self.is_due(now) {
                if std::mem::take(&mut self.dialogue.pausing) {
                    give_way(cx);
                }
                return Poll::Pending;
            }
            if self.dialogue.is_burst_heavy() || now.saturating_duration_since(began) >= TURNS_MAX {
                give_way(cx);
                return Poll::Pending;
            }
            if !matches!(input, Input::Handled { bytes: ..INSTANT_BYTES_MAX }) {
                now = self.dialogue.core.now();
            }
            if let Some(end) = self.dialogue.expired(now) {
                return Poll::Ready(end);
            }
            if self.dialogue.is_silent(now) {
                return Poll::Ready(End::KeepAliveTimeout);
            }
        }
    }

    /// Sees to it that others can wake this task. Its waker hardly ever changes.
    fn register(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_some_and(|registered| registered.will_wake(waker)) {
            return;
        }
        self.dialogue.outbox.register(waker);
        self.dialogue.handle.register(waker);
        self.waker = Some(waker.clone());
    }

    /// Reads once and handles what came.
    fn poll_input(&mut self, cx: &mut Context<'_>, now: Instant) -> Input {
        let Link { stream, reader, writer } = &mut self.link;
        let dialogue = &mut self.dialogue;
        if dialogue.poll_review(cx, now, writer.buffer()).is_pending() || !dialogue.may_read(cx, now) {
            dialogue.protocol.excuse_silence(now);
            return Input::Barred;
        }
        if writer.pending_bytes() > ANSWER_BYTES_HIGH {
            return Input::Barred; // the peer does not read its answers; the writer wakes us when it does
        }
        let burst =
            reader.poll_burst(cx, stream, &mut |frame| dialogue.on_frame(frame, now, writer.buffer()));
        let bytes = match burst {
            Poll::Pending => return Input::Awaited,
            Poll::Ready(Ok(burst)) => burst.bytes,
            Poll::Ready(Err(error)) => {
                dialogue.end_with(match error {
                    ReadError::Malformed(error) => End::Violation(error.into()),
                    ReadError::Io(error) => {
                        dialogue.core.metrics.count_broken(&dialogue.identity.listener, &error);
                        End::Lost
                    }
                    ReadError::Closed | ReadError::ClosedMidFrame => End::Lost,
                });
                0
            }
        };
        dialogue.tally.bytes_received += bytes as u64;
        Input::Handled { bytes }
    }

    /// Encodes what waits and writes until the stream blocks. Whether anything was encoded or written.
    fn poll_output(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Link { stream, writer, .. } = &mut self.link;
        let dialogue = &mut self.dialogue;
        let (mut worked, mut rounds) = (false, 0);
        loop {
            let filled_from = writer.position();
            let filled = writer.pending_bytes() < WRITE_BYTES_HIGH && dialogue.fill(now, writer);
            if let Some(keeping) = &mut dialogue.keeping {
                keeping.submit(&dialogue.core, filled_from);
                writer.hold(keeping.held_from(cx.waker()));
                if keeping.has_failed() {
                    let refusal = ReasonCode::QuotaExceeded.into();
                    dialogue.end_with(End::Ordered(Order::Disconnect(refusal)));
                    return worked;
                }
            }
            let pending = writer.pending_bytes() as u64;
            let flushed = writer.poll_flush(cx, stream);
            let written = pending - writer.pending_bytes() as u64;
            dialogue.tally.bytes_sent += written;
            if written > 0 && self.held_up {
                dialogue.outbox.note_progress(now);
            }
            self.held_up = !writer.is_empty();
            // Bytes that have left make room for more, and nothing else would come back for it.
            let moved = filled || written > 0;
            worked |= moved;
            match flushed {
                Poll::Ready(Ok(())) if moved => {}
                Poll::Pending if filled => {}
                Poll::Ready(Err(_)) => {
                    dialogue.end_with(End::Lost);
                    return worked;
                }
                _ => return worked,
            }
            rounds += 1;
            if rounds > ROUNDS_UNTIMED && dialogue.core.now().saturating_duration_since(now) >= TURNS_MAX {
                dialogue.pausing = true;
                return worked;
            }
        }
    }

    /// Whether a deadline has passed. If not, the task is woken for the next one.
    fn is_due(&mut self, now: Instant) -> bool {
        let Some(deadline) = self.dialogue.deadline() else { return false };
        let passed = deadline <= now;
        if !passed {
            let Dialogue { core, handle, .. } = &self.dialogue;
            self.alarm.ensure(&core.alarms, handle, deadline, now);
        }
        passed
    }
}
