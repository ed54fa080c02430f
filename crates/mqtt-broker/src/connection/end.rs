//! The end of a connection: the last packet, the session's way on, the will.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{PacketType, ReasonCode, Version};
use mqtt_session::{Finished, Refusal, WillMessage};
use mqtt_store::Parked;
use mqtt_transport::{Connection as Stream, close_gracefully};
use tokio::sync::oneshot;

use super::dialogue::Dialogue;
use super::hooked;
use super::replay::Replays;
use super::{Connection, End, Link};
use crate::clients::{Away, HandedOver, Handle, Order};
use crate::core::Core;
use crate::hooks::Events;
use crate::outbox::Outbox;
use crate::refusals::Refused;
use crate::timetable::Due;

impl Connection {
    /// Ends the connection for the given reason.
    pub(super) async fn finish(mut self: Box<Self>, end: End) {
        note_end(&self.dialogue, &end);
        self.alarm.clear(&self.dialogue.core.alarms, &self.dialogue.handle);
        if matches!(end, End::Ordered(Order::ShutDown)) {
            self.drain().await;
        }
        let Self { link, dialogue, waker, .. } = &mut *self;
        let answered_to = link.writer.position();
        dialogue.burst_over(dialogue.core.now(), answered_to);
        if let Some(farewell) = farewell(&end) {
            dialogue.core.metrics.reasons.add(Refused::Connection, farewell.reason);
        }
        link.writer.discard_held(); // what is not stored is not acknowledged
        if let Some(farewell) = farewell(&end)
            && dialogue.protocol.version() == Version::V5
        {
            let (text, reference) = (farewell.text.as_deref(), farewell.server_reference.as_deref());
            let out = link.writer.buffer();
            let before = out.len();
            dialogue.protocol.send_disconnect(farewell.reason, text, reference, out);
            dialogue.show(out, before);
            dialogue.tally.packets_sent += u64::from(out.len() > before);
        }
        // Whatever was collected when it ended still goes to its receivers.
        dialogue.burst_over(dialogue.core.now(), answered_to);
        if let Some(waker) = waker {
            dialogue.stop_waiting(waker);
        }
        dialogue.count();
        let core = dialogue.core.clone();
        core.metrics.clients_connected.subtract(1);
        let seat = dialogue.bounds.take();
        let (identity, cause) = (dialogue.identity.clone(), hooked::cause(&end));
        core.hooks.tell(Events::DISCONNECTED, |hook| hook.disconnected(&identity, cause));
        let needs_closing = match end {
            End::Lost => false,
            // It sends nothing more, and on plain TCP there is no farewell: closing loses nothing that it could read.
            End::PeerLeft => !(link.writer.is_empty() && matches!(link.stream, Stream::Tcp(_))),
            _ => true,
        };
        let Self { link, dialogue, .. } = *self;
        if let Some(claimed) = settle_at_once(dialogue, end) {
            Box::pin(claimed.hand_over()).await;
        }
        drop(seat);
        if needs_closing {
            close(link, &core).await;
        }
    }

    /// Sends what waits, as far as the client takes it, before the broker stops.
    async fn drain(&mut self) {
        let time = self.dialogue.core.settings.limits.shutdown_timeout / 2;
        let all = poll_fn(|cx| {
            let now = self.dialogue.core.now();
            while self.poll_output(cx, now) {}
            let (waiting, _) = self.dialogue.outbox.waiting();
            let blocked = self.dialogue.protocol.window_free() == 0;
            let ended = self.dialogue.end.is_some();
            if ended || (self.link.writer.is_empty() && (waiting == 0 || blocked)) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        if tokio::time::timeout(time, all).await.is_err() {
            tracing::debug!("a client did not take all its messages before the shutdown");
        }
    }
}

/// Writes what is left, lets the peer read it, and closes ([MQTT-4.13.1-1]).
pub(super) async fn close(mut link: Link, core: &Core) {
    let linger = core.settings.limits.linger;
    if link.flush(core, linger).await {
        close_gracefully(link.stream, linger).await;
    }
}

/// What a DISCONNECT says at this end; `None` where none is due.
fn farewell(end: &End) -> Option<Refusal> {
    match end {
        End::PeerLeft | End::Lost => None,
        End::Violation(violation) => Some((*violation).into()),
        End::KeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout.into()),
        End::Ordered(Order::HandOver { .. }) => Some(ReasonCode::SessionTakenOver.into()),
        End::Ordered(Order::Disconnect(refusal)) => Some(sayable(refusal)),
        End::Ordered(Order::Recheck) => None, // never an end
        End::Expired(reason) => Some((*reason).into()),
        End::Ordered(Order::ShutDown) => Some(ReasonCode::ServerShuttingDown.into()),
        End::Ordered(Order::Act(_)) => None, // carried out, never an end
        End::Panicked => Some(ReasonCode::UnspecifiedError.into()),
    }
}

/// An order in words that a DISCONNECT has.
fn sayable(order: &Refusal) -> Refusal {
    let has_words = order.reason.allowed_in(PacketType::Disconnect);
    let reason = if has_words { order.reason } else { ReasonCode::UnspecifiedError };
    Refusal { reason, ..order.clone() }
}

fn note_end(dialogue: &Dialogue, end: &End) {
    let client_id = &*dialogue.identity.client_id;
    let metrics = &dialogue.core.metrics;
    match end {
        End::Violation(violation) => {
            metrics.violations.add(1);
            tracing::warn!(client_id, %violation, "client broke a rule");
        }
        End::KeepAliveTimeout => {
            metrics.keep_alive_timeouts.add(1);
            tracing::info!(client_id, "client silent for too long");
        }
        End::Expired(reason) => {
            metrics.connections_expired.add(1);
            tracing::info!(client_id, %reason, "the time of a connection is over");
        }
        End::Panicked => tracing::error!(client_id, "the connection's task panicked"),
        End::PeerLeft => tracing::info!(client_id, "client left"),
        End::Lost => tracing::info!(client_id, "connection lost"),
        End::Ordered(order) => tracing::info!(client_id, order = order.name(), "client disconnected"),
    }
}

/// What a connection leaves behind.
struct Left {
    finished: Finished,
    outbox: Arc<Outbox>,
    replays: Option<Replays>,
}

/// What was left when another connection had claimed the client identifier already: its order is on the way.
struct Claimed {
    core: Arc<Core>,
    left: Left,
    handle: Arc<Handle>,
}

impl Claimed {
    async fn hand_over(self) {
        let (clean_start, to) = next_hand_over(&self.handle).await;
        hand_over(&self.core, self.left, clean_start, to);
        self.handle.close();
    }
}

/// Gives a session that was lent for a moment back to its place among those that are away: nothing that would have
/// happened to it meanwhile is missed.
pub(super) async fn give_back(
    dialogue: Dialogue,
    epoch: u64,
    ends_at: Option<Instant>,
    will_at: Option<Instant>,
) {
    let Dialogue { core, protocol, outbox, handle, replays, .. } = dialogue;
    let Finished { session, session_expiry_s, will } = protocol.finish();
    let replays = replays.into_rest();
    let client_id = outbox.client_id.clone();
    let owner = owner_of(&outbox);
    if let Err(error) = core.store.park(&client_id, Parked { session, ends_at, owner }) {
        tracing::error!(client_id = &*client_id, %error, "a session cannot be kept");
    }
    let will = will.zip(will_at);
    let away = Box::new(Away { outbox, epoch, ends_at, will, replays });
    match core.clients.leave(&client_id, &handle, away) {
        Ok(()) => {
            if let Some(at) = will_at {
                core.timetable.add(at, epoch, Due::Will, &client_id);
            }
            if let Some(at) = ends_at {
                core.timetable.add(at, epoch, Due::SessionEnd, &client_id);
            }
        }
        Err(away) => {
            let parked = core.store.unpark(&client_id).ok().flatten();
            let session = parked.map(|parked| parked.session).unwrap_or_default();
            let will = away.will.map(|(will, _)| will);
            let finished = Finished { session, session_expiry_s, will };
            let left = Left { finished, outbox: away.outbox, replays: away.replays };
            return Claimed { core, left, handle }.hand_over().await;
        }
    }
    handle.close();
}

/// Decides what becomes of the session and the will.
pub(super) async fn settle(dialogue: Dialogue, end: End) {
    if let Some(claimed) = settle_at_once(dialogue, end) {
        claimed.hand_over().await;
    }
}

/// The same, unless that needs another connection's order first.
fn settle_at_once(dialogue: Dialogue, end: End) -> Option<Claimed> {
    let Dialogue { core, protocol, outbox, handle, replays, .. } = dialogue;
    let left = Left { finished: protocol.finish(), outbox, replays: replays.into_rest() };
    match end {
        End::Ordered(Order::HandOver { clean_start, to }) => hand_over(&core, left, clean_start, to),
        _ => {
            if let Some(left) = leave(&core, left, &handle) {
                return Some(Claimed { core, left, handle });
            }
        }
    }
    handle.close();
    None
}

async fn next_hand_over(handle: &Handle) -> (bool, oneshot::Sender<Option<HandedOver>>) {
    poll_fn(|cx| {
        handle.register(cx.waker());
        while let Some(order) = handle.take_order() {
            if let Order::HandOver { clean_start, to } = order {
                return std::task::Poll::Ready((clean_start, to));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Gives the session to the client's next connection, or ends it if that is not wanted.
fn hand_over(core: &Core, left: Left, clean_start: bool, to: oneshot::Sender<Option<HandedOver>>) {
    let Left { finished: Finished { session, session_expiry_s, will }, outbox, replays } = left;
    let ends = clean_start || session_expiry_s == 0;
    // A will with a delay is not due: the client is back before the delay has passed ([MQTT-3.1.3-9]).
    if let Some(will) = will.filter(|will| ends || will.delay_interval_s == 0) {
        core.publish_will(&will, &outbox);
    }
    if ends {
        core.end_session(session, &outbox);
        // A receiver that is gone needs nothing.
        to.send(None).ok();
    } else if let Err(Some(back)) = to.send(Some(HandedOver { session, outbox, replays })) {
        core.end_session(back.session, &back.outbox);
    }
}

/// Parks the session or ends it. Gives everything back if another connection owns the client by now.
fn leave(core: &Core, left: Left, handle: &Arc<Handle>) -> Option<Left> {
    let parks = left.finished.session_expiry_s > 0 && core.may_park();
    if !parks {
        if !core.clients.release(&left.outbox.client_id, handle) {
            return Some(left);
        }
        let Left { finished, outbox, .. } = left;
        // [MQTT-3.1.2-8]: the session ends now, so the will goes out now, whatever its delay.
        if let Some(will) = &finished.will {
            core.publish_will(will, &outbox);
        }
        core.end_session(finished.session, &outbox);
        return None;
    }
    park(core, left, handle)
}

fn park(core: &Core, left: Left, handle: &Arc<Handle>) -> Option<Left> {
    let Left { finished: Finished { session, session_expiry_s, will }, outbox, replays } = left;
    let now = core.now();
    let lifetime = Duration::from_secs(session_expiry_s.into());
    let ends_at = if session_expiry_s == u32::MAX { None } else { now.checked_add(lifetime) };
    let (due_now, delayed) = sort_will(will, session_expiry_s);
    let delayed = delayed.map(|will| {
        let delay_s = will.delay_interval_s.min(session_expiry_s);
        let at = now.checked_add(Duration::from_secs(delay_s.into())).unwrap_or(now);
        (will, at)
    });
    for (delivery, reason) in outbox.go_offline(&core.outbox_limits) {
        core.dropped(reason, &outbox, &delivery);
    }
    let owner = owner_of(&outbox);
    if let Err(error) = core.store.park(&outbox.client_id, Parked { session, ends_at, owner }) {
        tracing::error!(client_id = &*outbox.client_id, %error, "a session cannot be kept");
    }
    let will = due_now.as_ref().or(delayed.as_ref().map(|(will, _)| will));
    core.keep_head(&outbox, session_expiry_s, true, will);
    let epoch = core.index.new_key();
    let will_at = delayed.as_ref().map(|(_, at)| *at);
    let away = Box::new(Away { outbox: outbox.clone(), epoch, ends_at, will: delayed, replays });
    if let Err(away) = core.clients.leave(&outbox.client_id, handle, away) {
        let parked = core.store.unpark(&outbox.client_id).ok().flatten();
        let session = parked.map(|parked| parked.session).unwrap_or_default();
        let will = due_now.or(away.will.map(|(will, _)| will));
        let finished = Finished { session, session_expiry_s, will };
        return Some(Left { finished, outbox, replays: away.replays });
    }
    if let Some(at) = will_at {
        core.timetable.add(at, epoch, Due::Will, &outbox.client_id);
    }
    if let Some(at) = ends_at {
        core.timetable.add(at, epoch, Due::SessionEnd, &outbox.client_id);
    }
    core.hooks.tell(Events::SESSION_PARKED, |hook| hook.session_parked(&outbox.client_id));
    if let Some(will) = due_now {
        core.publish_will(&will, &outbox);
    }
    None
}

/// The user that a session belongs to.
fn owner_of(outbox: &Outbox) -> Option<Box<str>> {
    outbox.identity()?.username.as_deref().map(Into::into)
}

/// A will that is due at once, or one that waits.
fn sort_will(will: Option<WillMessage>, session_expiry_s: u32) -> (Option<WillMessage>, Option<WillMessage>) {
    match will {
        Some(will) if will.delay_interval_s.min(session_expiry_s) > 0 => (None, Some(will)),
        will => (will, None),
    }
}
