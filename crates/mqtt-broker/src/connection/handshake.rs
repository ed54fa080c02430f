//! From the first byte to the CONNACK.

use std::sync::Arc;

use mqtt_codec::{
    Auth, Connect, Packet, PacketType, PropertiesBuf, Property, QoS, ReasonCode, Version, connect_version,
    decode, encode,
};
use mqtt_session::{
    AuthenticationMethod, Exchange, Opening, PACKET_BYTES_MAX, Protocol, Refusal, Session, Step, TheirLimits,
    Violation, WillMessage, write_refusal,
};
use mqtt_store::SessionHead;
use mqtt_topic::{Mountpoint, TopicFilter};
use mqtt_transport::ReadError;
use tokio::sync::oneshot;

use super::dialogue::{Bounds, Dialogue, Tally};
use super::early::Unheard;
use super::rate::Meter;
use super::recheck::end_of;
use super::{End, Link, Peer, paths};
use crate::access::{Grant, Identity, Login};
use crate::clients::{HandedOver, Handle, Order, OtherUsers, Slot};
use crate::core::Core;
use crate::gate::Seat;
use crate::hooks::{Authentication, Events, refusal_for};
use crate::keeping::Keeping;
use crate::mountpoint::reason_of;
use crate::outbox::{InBatches, Outbox};
use crate::refusals::Refused;
use crate::timetable::Due;

/// A client that may come in.
pub(super) struct Admission {
    opening: Opening,
    identity: Arc<Identity>,
    authentication_data: Option<Box<[u8]>>,
    seat: Option<Seat>,
    /// When the login ends.
    expires_at: Option<std::time::Instant>,
}

/// Reads the CONNECT and decides. `None`: refused; what is to be said was written already.
pub(super) async fn admit(core: &Arc<Core>, link: &mut Link, peer: &Peer) -> Option<Admission> {
    let frame = match link.next_frame(core).await {
        Ok(frame) => frame,
        Err(why) => {
            count_unheard(core, peer, &why);
            return None;
        }
    };
    let connect = match decode(&frame, Version::V5) {
        Ok(Packet::Connect(connect)) => connect,
        // [MQTT-3.1.0-1]: the first packet must be a CONNECT; there is nobody to answer to.
        Ok(_) => return None,
        Err(error) => {
            tracing::debug!(address = ?peer.address, %error, "malformed CONNECT");
            let version = connect_version(&frame).unwrap_or(Version::V3_1_1);
            if frame[0] >> 4 == mqtt_codec::PacketType::Connect as u8 {
                let violation = Violation::from(error);
                core.metrics.reasons.add(Refused::Connect, violation.reason);
                let refusal = violation.into();
                write_refusal(version, &refusal, PACKET_BYTES_MAX, link.writer.buffer());
            }
            return None;
        }
    };
    match judge(core, link, peer, &connect).await {
        Ok(admission) => Some(admission),
        Err(refusal) => {
            let refusal = refusal_for(PacketType::Connack, refusal);
            let client_id = connect.client_id;
            let (reason, text) = (refusal.reason, refusal.text.as_deref());
            core.metrics.reasons.add(Refused::Connect, reason);
            tracing::info!(client_id, address = ?peer.address, %reason, text, "client refused");
            let bytes_max = TheirLimits::of_client(&connect).maximum_packet_size_bytes;
            write_refusal(connect.version, &refusal, bytes_max, link.writer.buffer());
            None
        }
    }
}

fn count_unheard(core: &Core, peer: &Peer, why: &Unheard) {
    match why {
        Unheard::NoRoom => tracing::debug!(address = ?peer.address, "no room for a CONNECT"),
        Unheard::Broken(error) => {
            if let ReadError::Io(error) = error {
                core.metrics.count_broken(&peer.listener, error);
            }
            tracing::debug!(address = ?peer.address, %error, "no CONNECT");
        }
    }
}

async fn judge(
    core: &Arc<Core>,
    link: &mut Link,
    peer: &Peer,
    connect: &Connect<'_>,
) -> Result<Admission, Refusal> {
    if !peer.listener.admits_version(connect.version) {
        return Err(ReasonCode::UnsupportedProtocolVersion.into()); // [MQTT-3.1.2-2]
    }
    let mut opening = Opening::accept(connect, &core.settings.policy, || core.assigned_client_id())?;
    let mut username_proven = take_certified_name(&mut opening, peer)?;
    if core.bans.forbid(&opening.client_id, opening.username.as_deref(), core.now()) {
        return Err(ReasonCode::Banned.into());
    }
    let mut authentication_data = None;
    if let Some(name) = &opening.authentication_method {
        let method = core.method(name, &peer.listener);
        let method = method.ok_or(Violation::new(ReasonCode::BadAuthenticationMethod, "MQTT-4.12.0-1"))?;
        let (data, proved) = authenticate(core, link, &*method, &opening, peer).await?;
        authentication_data = data;
        if proved.is_some() {
            // The name in the CONNECT, if there is one, must not be another one than the one that was proved.
            if opening.username.is_some() && opening.username != proved {
                return Err(ReasonCode::NotAuthorized.into());
            }
            opening.username = proved;
        }
        username_proven = true;
    }
    let login = Login {
        client_id: &opening.client_id,
        version: opening.version,
        address: peer.address,
        listener: &peer.listener,
        certificate: peer.certificate.as_deref(),
        username: opening.username.as_deref(),
        username_proven,
        password: opening.password.as_deref(),
        method: opening.authentication_method.as_deref(),
    };
    let asked = if login.method.is_some() {
        Authentication::NoOpinion
    } else {
        core.hooks.authenticate(&login).await
    };
    let mut grant = match asked {
        Authentication::Admit => Grant::named(login.username),
        Authentication::Refuse(refusal) => return Err(refusal),
        Authentication::NoOpinion => core.access.authenticate(&login).await?, // [MQTT-3.1.4-2]
    };
    if core.hooks.wants(Events::CONNECT) {
        let shown = opening.username.clone();
        core.hooks.connect(peer, &mut opening).await?;
        if opening.username != shown {
            grant.username = opening.username.as_deref().map(Into::into);
        }
    }
    let mountpoint = mount(peer, &mut opening, grant.username.as_deref())?;
    let identity = Arc::new(Identity {
        client_id: (&*opening.client_id).into(),
        mountpoint,
        username: grant.username,
        address: peer.address,
        listener: peer.listener.clone(),
        certificate: peer.certificate.clone(),
        privileged: false,
        details: grant.details,
    });
    if core.is_banned(&identity) {
        return Err(ReasonCode::Banned.into()); // under a name that only the login has told
    }
    if let Some(will) = &opening.will
        && let Err(reason) = paths::ask_to_publish(core, &identity, will.topic(), will.qos, will.retain).await
    {
        return Err(reason.into()); // a will is published with the rights of its client
    }
    if let Some(peers) = &core.peers {
        peers.claim_session(&opening.client_id).await?;
    }
    let seat = core.gate.seat(&core.settings.limits, identity.username.as_ref())?;
    Ok(Admission { opening, identity, authentication_data, seat, expires_at: grant.expires_at })
}

/// Where the client is mounted, if its listener says so. Its will goes there as well.
fn mount(
    peer: &Peer,
    opening: &mut Opening,
    username: Option<&str>,
) -> Result<Option<Arc<Mountpoint>>, Refusal> {
    let Some(template) = &peer.listener.mountpoint else { return Ok(None) };
    let mountpoint = template.mountpoint(&opening.client_id, username)?;
    let will = opening.will.take().map(|will| will.mounted(&mountpoint)).transpose();
    opening.will = will.map_err(|error| reason_of(error, ReasonCode::TopicNameInvalid))?;
    Ok(Some(mountpoint))
}

/// Replaces the user name by that of the certificate where the listener says so; whether it did. A client without a
/// certificate logs in as others do, if the transport let it come so far.
fn take_certified_name(opening: &mut Opening, peer: &Peer) -> Result<bool, Refusal> {
    let (Some(field), Some(certificate)) = (peer.listener.username_from, &peer.certificate) else {
        return Ok(false);
    };
    let name = certificate.field(field).ok_or(ReasonCode::NotAuthorized)?;
    opening.username = Some(name.into());
    Ok(true)
}

/// The method's last data, and the user name that it has proved.
type Proved = (Option<Box<[u8]>>, Option<Box<str>>);

/// Why an exchange has proved nothing.
enum Unproved {
    Failed(Violation),
    /// Too many have failed before: this one is not looked at, and does not count.
    HeldBack,
}

impl From<Violation> for Unproved {
    fn from(violation: Violation) -> Self {
        Self::Failed(violation)
    }
}

/// Enhanced authentication before the CONNACK (section 4.12).
async fn authenticate(
    core: &Core,
    link: &mut Link,
    method: &dyn AuthenticationMethod,
    opening: &Opening,
    peer: &Peer,
) -> Result<Proved, Violation> {
    let mut exchange = method.start(&opening.client_id, opening.username.as_deref());
    match prove(core, link, method, opening, peer, &mut *exchange).await {
        Ok(proved) => Ok(proved),
        Err(Unproved::HeldBack) => Err(Violation::new(ReasonCode::ConnectionRateExceeded, "MQTT-4.12.0-4")),
        Err(Unproved::Failed(violation)) => {
            let claimed = exchange.claimed_username().or(opening.username.as_deref());
            core.access.exchange_failed(peer.address, claimed);
            Err(violation)
        }
    }
}

async fn prove(
    core: &Core,
    link: &mut Link,
    method: &dyn AuthenticationMethod,
    opening: &Opening,
    peer: &Peer,
    exchange: &mut dyn Exchange,
) -> Result<Proved, Unproved> {
    let mut step = exchange.step(opening.authentication_data.as_deref().unwrap_or_default());
    loop {
        match step {
            Step::Success(data) => return Ok((data, exchange.username().map(Into::into))),
            Step::Failure(reason) => return Err(Violation::new(reason, "MQTT-4.12.0-4").into()),
            Step::Continue(data) => write_challenge(method.name(), &data, link.writer.buffer()),
        }
        core.metrics.packets_sent.add(1);
        if !link.flush(core, core.settings.limits.connect_timeout).await {
            return Err(Violation::protocol_error("MQTT-4.12.0-3").into());
        }
        let frame = link.next_frame(core).await.map_err(|why| match why {
            Unheard::Broken(ReadError::Malformed(error)) => Violation::from(error),
            Unheard::Broken(_) => Violation::protocol_error("MQTT-4.12.0-3"),
            Unheard::NoRoom => Violation::new(ReasonCode::QuotaExceeded, "limits.handshake_bytes_max"),
        })?;
        // Asked for each proof: many exchanges that began together are no more guesses than one after the other.
        if exchange.claimed_username().is_some_and(|name| !core.access.may_prove(peer.address, name)) {
            return Err(Unproved::HeldBack);
        }
        step = match decode(&frame, Version::V5).map_err(Violation::from)? {
            // [MQTT-4.12.0-3], [MQTT-4.12.0-5]
            Packet::Auth(auth)
                if auth.reason == ReasonCode::ContinueAuthentication
                    && auth.properties.authentication_method() == Some(method.name()) =>
            {
                exchange.step(auth.properties.authentication_data().unwrap_or_default())
            }
            _ => return Err(Violation::protocol_error("MQTT-3.1.2-30").into()),
        };
    }
}

/// An AUTH that asks for more ([MQTT-4.12.0-2]).
fn write_challenge(method: &str, data: &[u8], out: &mut Vec<u8>) {
    let mut properties = PropertiesBuf::new();
    // The name came from a CONNECT; data that cannot be encoded is our method's mistake.
    properties.push(&Property::AuthenticationMethod(method)).expect("a name that was decoded");
    properties.push(&Property::AuthenticationData(data)).expect("a method's data has at most 65,535 bytes");
    let reason = ReasonCode::ContinueAuthentication;
    let auth = Packet::Auth(Auth { reason, properties: properties.as_properties() });
    encode(&auth, Version::V5, out).expect("two short properties");
}

/// Opens the session and writes the CONNACK. `None` if no session can be had.
pub(super) async fn open(core: &Arc<Core>, link: &mut Link, admission: Admission) -> Option<Dialogue> {
    let Admission { mut opening, identity, authentication_data, seat, expires_at } = admission;
    let policy = &core.settings.policy;
    let handle = Arc::new(Handle::new(&identity));
    let kept = match take_session(core, &identity, opening.clean_start, &handle).await {
        Ok(kept) => kept,
        Err(OtherUsers) => {
            tracing::info!(
                client_id = &*identity.client_id,
                "client refused: another user has this identifier"
            );
            refuse(core, link, &opening, ReasonCode::ClientIdentifierNotValid);
            return None;
        }
    };
    if let Some(will) = &mut opening.will {
        will.serial = core.index.new_key();
    }
    let session_present = kept.is_some(); // [MQTT-3.2.2-2], [MQTT-3.2.2-3]
    let begun = kept.map_or_else(|| begin_session(core, &identity.client_id, &mut opening), Ok);
    let kept = match begun {
        Ok(kept) => kept,
        Err(reason) => {
            tracing::error!(
                client_id = &*identity.client_id,
                "client refused: no session can be kept for it"
            );
            core.clients.release(&identity.client_id, &handle);
            refuse(core, link, &opening, reason);
            return None;
        }
    };
    let out = link.writer.buffer();
    let answered_from = out.len();
    let admitted = opening.write_connack(policy, session_present, authentication_data.as_deref(), out);
    link.reader.set_frame_bytes_max(policy.ours.maximum_packet_size_bytes);
    let now = core.now();
    let will = kept.outbox.kept.or(kept.outbox.will).and(opening.will.clone());
    let mut protocol = Protocol::broker(&mut opening, policy, kept.session, now);
    protocol.show_below(identity.mountpoint.clone());
    let mut tally = Tally { packets_sent: u64::from(admitted.is_ok()), ..Tally::default() };
    let resumed_from = out.len();
    let dropped = if admitted.is_ok() { protocol.resume(now, out) } else { Vec::new() };
    tally.count_sent(&out[resumed_from..], opening.version);
    kept.outbox.set_identity(&identity);
    if session_present && core.access.restricts_receiving() {
        core.index.changed(); // what the session may get may be different from now on
    }
    kept.outbox.go_online(in_batches(core, &protocol));
    note_arrival(core, &identity, &opening, session_present);
    core.hooks.tell(Events::SESSION_ESTABLISHED, |hook| hook.session_established(&identity, session_present));
    let limits = &core.settings.limits;
    let bounds = Bounds {
        ends_at: end_of(expires_at, limits.connection_lifetime, now),
        meter: Meter::new(limits.rates(), now),
        seat,
    };
    let remembers = protocol.session().has_exactly_once_under_way();
    let head =
        core.head(&kept.outbox.client_id, Some(&identity), opening.session_expiry_s, false, will.as_ref());
    let keeping = keep_arrival(core, &kept.outbox, head, remembers);
    let mut dialogue = Dialogue {
        core: core.clone(),
        protocol,
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
        tally,
        unchecked: 0,
        is_exhausted: false,
        bounds: bounds.boxed(),
        keeping,
        end: None,
        review: None,
    };
    dialogue.tell_sent(out, resumed_from, Events::RESENT);
    dialogue.show(out, answered_from);
    if session_present {
        dialogue.recheck_session();
    }
    dialogue.count_undeliverable(dropped);
    if admitted.is_err() {
        dialogue.end_with(End::Violation(Violation::new(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24")));
    }
    if core.is_banned(&dialogue.identity) {
        dialogue.handle.order(Order::Recheck); // whoever banned it may have missed this newcomer
    }
    if *core.stopping.borrow() {
        dialogue.handle.order(Order::ShutDown); // the shutdown may have missed this newcomer
    }
    Some(dialogue)
}

fn refuse(core: &Core, link: &mut Link, opening: &Opening, reason: ReasonCode) {
    core.metrics.reasons.add(Refused::Connect, reason);
    let bytes_max = opening.theirs.maximum_packet_size_bytes;
    write_refusal(opening.version, &reason.into(), bytes_max, link.writer.buffer());
}

/// A session for a client that has none, or none that it wants. While nothing can be stored it ends with its
/// connection, whatever was asked for, and the CONNACK says so; before MQTT 5 it could not, so the client is refused.
fn begin_session(core: &Core, client_id: &Arc<str>, opening: &mut Opening) -> Result<HandedOver, ReasonCode> {
    if opening.session_expiry_s > 0 && !core.keeps_now() {
        if opening.version < Version::V5 {
            return Err(ReasonCode::ServerUnavailable);
        }
        (opening.session_expiry_s, opening.session_expiry_changed) = (0, true);
    }
    let begun = new_session(core, client_id, opening.session_expiry_s > 0, opening.will.as_ref());
    begun.map_err(|_| ReasonCode::ServerUnavailable)
}

/// Which batches suit a client.
fn in_batches(core: &Core, protocol: &Protocol) -> Option<InBatches> {
    let layout = protocol.batch_layout().filter(|_| !core.outbox_limits.queue_qos0_offline)?;
    Some(InBatches { layout, qos_max: QoS::ExactlyOnce })
}

/// Writes down that the client of a session that is kept is here, or only its will [MQTT-3.1.2-7]. The CONNACK leaves
/// after that, and after all that was submitted for the session before. While nothing can be stored, a session is
/// served from memory, unless both sides have to remember identifiers of QoS 2: the next process would know others.
fn keep_arrival(core: &Core, outbox: &Outbox, head: SessionHead, remembers: bool) -> Option<Box<Keeping>> {
    let session = outbox.kept.or(outbox.will)?;
    let mut keeping = Box::new(Keeping::default());
    keeping.transaction.head(session, head);
    if core.keeps_now() || remembers {
        keeping.submit(core, 0);
    } else {
        core.submit(&mut keeping.transaction);
    }
    Some(keeping)
}

fn note_arrival(core: &Core, identity: &Identity, opening: &Opening, session_present: bool) {
    let connected = core.metrics.clients_connected.add(1);
    core.metrics.clients_connected_max.raise_to(connected);
    tracing::info!(
        client_id = &*identity.client_id,
        address = ?identity.address,
        version = ?opening.version,
        keep_alive_s = opening.keep_alive_s,
        session_present,
        "client connected"
    );
}

/// Makes this connection the owner of the client identifier and takes over the session that was kept for
/// it, if there is one and it is wanted ([MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.4-3]).
///
/// A session belongs to one mountpoint: elsewhere its topics have other names, or none.
async fn take_session(
    core: &Core,
    identity: &Identity,
    clean_start: bool,
    handle: &Arc<Handle>,
) -> Result<Option<HandedOver>, OtherUsers> {
    let client_id = &identity.client_id;
    let Some(previous) = core.clients.claim(client_id, handle)? else { return Ok(None) };
    let elsewhere = previous.owner().is_some_and(|owner| owner.mountpoint != identity.mountpoint);
    let clean_start = clean_start || elsewhere;
    Ok(match previous {
        Slot::Online(previous) => {
            core.metrics.sessions_taken_over.add(1);
            core.hooks.tell(Events::SESSION_TAKEN_OVER, |hook| hook.session_taken_over(client_id));
            let (to, handed_over) = oneshot::channel();
            previous.order(Order::HandOver { clean_start, to });
            handed_over.await.ok().flatten()
        }
        Slot::Away(away) if clean_start => {
            core.end_away(&away);
            None
        }
        Slot::Away(away) => {
            if let Some(at) = away.ends_at {
                core.timetable.remove(at, away.epoch, Due::SessionEnd);
            }
            if let Some((_, at)) = &away.will {
                core.timetable.remove(*at, away.epoch, Due::Will); // [MQTT-3.1.3-9]
            }
            let Ok(Some(parked)) = core.store.unpark(client_id) else {
                // Session present must tell the truth: what cannot be read is not there.
                core.end_session(Session::default(), &away.outbox);
                return Ok(None);
            };
            if !lies_below(&parked.session, identity.mountpoint.as_deref()) {
                core.end_session(parked.session, &away.outbox);
                return Ok(None);
            }
            Some(HandedOver { session: parked.session, outbox: away.outbox, replays: away.replays })
        }
    })
}

/// Whether the subscriptions of a session are those of a mountpoint. One that was kept over a restart may come from
/// another configuration.
fn lies_below(session: &Session, mountpoint: Option<&Mountpoint>) -> bool {
    let Some(mountpoint) = mountpoint else { return true };
    session.subscriptions().all(|(filter, _)| {
        mountpoint.holds(&TopicFilter::parse(filter).expect("a session holds valid filters"))
    })
}

pub(super) fn new_session(
    core: &Core,
    client_id: &Arc<str>,
    is_kept: bool,
    will: Option<&WillMessage>,
) -> Result<HandedOver, mqtt_store::StoreError> {
    let limits = core.settings.queue;
    let queue = if is_kept {
        core.store.open_kept_queue(client_id, limits)?
    } else {
        core.store.open_queue(client_id, limits)?
    };
    let outbox = Outbox::new(core.index.new_key(), client_id.clone(), queue);
    let will = will.filter(|_| outbox.kept.is_none()).and_then(|will| core.name_for_will(will));
    let outbox = outbox.with_will(will);
    Ok(HandedOver { session: Session::new(), outbox: Arc::new(outbox), replays: None })
}
