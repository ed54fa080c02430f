//! What others do with a client's session: on its own task if it is connected, on a session lent from the store if
//! it is away.

use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{DecodeError, Version, decode};
use mqtt_session::{Opening, Protocol, Session, TheirLimits, Violation};
use tokio::sync::oneshot;

use super::End;
use super::dialogue::{Dialogue, Tally};
use super::end::{give_back, settle};
use super::handshake::new_session;
use super::reviewing::{Review, Reviewed};
use crate::access::Identity;
use crate::clients::{Act, HandedOver, Handle, Order};
use crate::core::Core;
use crate::local::wait_for_room;
use crate::outbox::Outbox;

/// One packet on its way to a client's session.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) frame: Arc<[u8]>,
    /// How it is encoded; `None`: as the client's own packets are.
    pub(crate) version: Option<Version>,
    /// Whether access rules and topic restrictions apply.
    pub(crate) past_access: bool,
}

/// What a packet led to: encoded answers in this version.
pub(crate) type Answered = Result<(Vec<u8>, Version), Refused>;

/// Why a packet was not accepted. The client's connection is not harmed: it did not send it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    Malformed(DecodeError),
    Violation(Violation),
}

/// Times that a client may change its state between being found and being reached.
const TRIES_MAX: u32 = 1000;

/// Does something with a client's session. With `make_up`, a client that is not known is made for it, whose session
/// is kept for so many seconds. `None` if there is none.
pub(crate) async fn act_on<T: Send + 'static>(
    core: &Arc<Core>,
    client_id: &Arc<str>,
    make_up: Option<u32>,
    work: impl Fn(&mut Dialogue, Instant) -> T + Clone + Send + 'static,
) -> Option<T> {
    for _ in 0..TRIES_MAX {
        let done = match core.clients.is_online(client_id) {
            Some(true) => act_online(core, client_id, work.clone()).await,
            Some(false) => act_away(core, client_id, &work).await,
            None => act_new(core, client_id, make_up?, &work).await,
        };
        if done.is_some() {
            return done;
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn act_online<T: Send + 'static>(
    core: &Core,
    client_id: &str,
    work: impl Fn(&mut Dialogue, Instant) -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let act = Act(Box::new(move |dialogue, now| {
        // Who asked may have stopped waiting.
        answer.send(work(dialogue, now)).ok();
    }));
    core.clients.find(client_id)?.order(Order::Act(act));
    answered.await.ok()
}

/// Between taking the session and giving it back nothing is waited for, so nobody sees it gone for long.
async fn act_away<T>(
    core: &Arc<Core>,
    client_id: &Arc<str>,
    work: &impl Fn(&mut Dialogue, Instant) -> T,
) -> Option<T> {
    let handle = Arc::new(Handle::default());
    let away = core.clients.take_away(client_id, &handle)?;
    let parked = core.store.unpark(client_id);
    let session = match parked {
        Ok(parked) => parked.map(|parked| parked.session).unwrap_or_default(),
        Err(error) => {
            tracing::error!(client_id = &**client_id, %error, "a session cannot be read");
            Session::default()
        }
    };
    let now = core.now();
    let left_s = |at: Instant| {
        let left = at.saturating_duration_since(now);
        u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX - 1)
    };
    let session_expiry_s = away.ends_at.map_or(u32::MAX, left_s);
    let (will, will_at) = away.will.unzip();
    let mut opening = opening(core, client_id, session_expiry_s);
    opening.will = will;
    let kept = HandedOver { session, outbox: away.outbox, replays: away.replays };
    let mut dialogue = lent(core, opening, kept, handle);
    let done = work(&mut dialogue, now);
    let congested = finish_turn(&mut dialogue, now);
    let core = dialogue.core.clone();
    if dialogue.end.take().is_some() || dialogue.protocol.session_expiry_s() != session_expiry_s {
        // It left in its own words: what it said of its session and will holds from now on.
        core.timetable.remove(will_at.unwrap_or(now), away.epoch, crate::timetable::Due::Will);
        if let Some(at) = away.ends_at {
            core.timetable.remove(at, away.epoch, crate::timetable::Due::SessionEnd);
        }
        settle(dialogue, End::PeerLeft).await;
    } else {
        give_back(dialogue, away.epoch, away.ends_at, will_at).await;
    }
    wait_for_room(&core, congested).await;
    Some(done)
}

async fn act_new<T>(
    core: &Arc<Core>,
    client_id: &Arc<str>,
    session_expiry_s: u32,
    work: &impl Fn(&mut Dialogue, Instant) -> T,
) -> Option<T> {
    let handle = Arc::new(Handle::default());
    if !core.clients.claim_free(client_id, &handle) {
        return None;
    }
    let Ok(new) = new_session(core, client_id, session_expiry_s > 0, None) else {
        core.clients.release(client_id, &handle);
        handle.close();
        return None;
    };
    let opening = opening(core, client_id, session_expiry_s);
    let mut dialogue = lent(core, opening, new, handle);
    let now = core.now();
    let done = work(&mut dialogue, now);
    let congested = finish_turn(&mut dialogue, now);
    settle(dialogue, End::PeerLeft).await;
    wait_for_room(core, congested).await;
    Some(done)
}

fn finish_turn(dialogue: &mut Dialogue, now: Instant) -> Vec<Arc<Outbox>> {
    dialogue.burst_over(now, 0);
    dialogue.count();
    std::mem::take(&mut dialogue.waiting_for)
}

/// What a client of 5.0 without wishes would have asked for.
fn opening(core: &Core, client_id: &Arc<str>, session_expiry_s: u32) -> Opening {
    Opening {
        version: core.settings.policy.version_max,
        clean_start: false,
        client_id: (&**client_id).into(),
        client_id_assigned: false,
        keep_alive_s: 0,
        keep_alive_changed: false,
        session_expiry_s,
        session_expiry_changed: false,
        theirs: TheirLimits::default(),
        will: None,
        username: None,
        password: None,
        authentication_method: None,
        authentication_data: None,
        wants_response_information: false,
    }
}

/// A session without a connection. Its outbox stays as it is for clients that are away.
fn lent(core: &Arc<Core>, mut opening: Opening, kept: HandedOver, handle: Arc<Handle>) -> Dialogue {
    let unknown = || Identity {
        client_id: kept.outbox.client_id.clone(),
        username: None,
        address: None,
        listener: Arc::default(),
        certificate: None,
        mountpoint: None,
        privileged: false,
        details: None,
    };
    let identity = kept.outbox.identity().unwrap_or_else(|| Arc::new(unknown()));
    let mut protocol = Protocol::broker(&mut opening, &core.settings.policy, kept.session, core.now());
    protocol.show_below(identity.mountpoint.clone());
    Dialogue {
        protocol,
        core: core.clone(),
        outbox: kept.outbox,
        handle,
        identity,
        publisher: None,
        waiting_for: Vec::new(),
        stall_deadline: None,
        replays: kept.replays.unwrap_or_default(),
        pausing: false,
        exchange: None,
        batch: Vec::new(),
        tally: Tally::default(),
        unchecked: 0,
        is_exhausted: false,
        bounds: None,
        keeping: None,
        end: None,
        review: None,
    }
}

/// What an injected packet led to so far.
pub(crate) enum Injected {
    Answered(Answered),
    /// Hooks that take their time are asked, and the session is free meanwhile.
    UnderReview(Box<Review>),
}

impl Dialogue {
    /// Handles a packet as if the client had sent it. The answers go to whoever injected it.
    pub(crate) fn inject(&mut self, injection: &Injection, now: Instant) -> Injected {
        let version = injection.version.unwrap_or(self.protocol.version());
        let packet = match decode(&injection.frame, version) {
            Ok(packet) => packet,
            Err(error) => return Injected::Answered(Err(Refused::Malformed(error))),
        };
        self.tally.packets_received += 1;
        let own = self.review.take();
        let answered = self.as_injected(injection.past_access, now, |dialogue, answers| {
            if injection.past_access {
                dialogue.handle_packet_apart(packet, now, answers)
            } else {
                dialogue.handle_inspected(packet, now, answers)
            }
        });
        match std::mem::replace(&mut self.review, own) {
            Some(review) if answered.is_ok() => Injected::UnderReview(review),
            _ => Injected::Answered(answered),
        }
    }

    /// Goes on with a packet that hooks were asked about.
    pub(crate) fn inject_reviewed(
        &mut self,
        reviewed: Reviewed,
        past_access: bool,
        now: Instant,
    ) -> Answered {
        self.as_injected(past_access, now, |dialogue, answers| dialogue.conclude(reviewed, now, answers))
    }

    fn as_injected(
        &mut self,
        past_access: bool,
        now: Instant,
        handle: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), Violation>,
    ) -> Answered {
        let mut answers = Vec::new();
        let handled = if past_access {
            self.as_privileged(now, |dialogue| handle(dialogue, &mut answers))
        } else {
            handle(self, &mut answers)
        };
        handled.map_err(Refused::Violation)?;
        Ok((answers, self.protocol.version()))
    }

    /// The paths of topics that a client knows say whether it may take them, so this takes none of them.
    fn as_privileged<T>(&mut self, now: Instant, act: impl FnOnce(&mut Self) -> T) -> T {
        let own = (self.identity.clone(), self.publisher.take());
        self.identity = Arc::new(Identity { privileged: true, ..(*self.identity).clone() });
        let done = act(self);
        self.burst_over(now, 0);
        (self.identity, self.publisher) = own;
        done
    }
}
