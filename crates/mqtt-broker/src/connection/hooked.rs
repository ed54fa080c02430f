//! Where a connection asks and tells the hooks. Each of these costs one branch while no hook wants its event.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{Framing, Packet, ReasonCode, Version, decode, frame};
use mqtt_session::{DropReason, InboundPublish, PACKET_BYTES_MAX, Violation};

use super::End;
use super::dialogue::Dialogue;
use super::publisher::Publisher;
use super::reviewing::Review;
use crate::DisconnectCause;
use crate::access::Identity;
use crate::clients::Order;
use crate::core::Core;
use crate::hooks::{Events, Hooks, Objection, PacketRuling, Ruling, rewrite};
use crate::mountpoint::reason_of;

/// What came of a message.
pub(super) enum Handled {
    /// It was handed over, swallowed or refused: its acknowledgement says this.
    Answered(ReasonCode),
    /// Hooks that take their time are asked about it.
    UnderReview(Box<Review>),
}

/// Publishes what the hooks make of a message.
#[inline]
pub(super) fn publish(
    core: &Core,
    identity: &Arc<Identity>,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> Handled {
    if publisher.mounting.is_some() {
        return publish_mounted(core, identity, publisher, publish, now);
    }
    publish_whole(core, identity, publisher, publish, now)
}

/// The same for the message of a client below a mountpoint.
#[cold]
fn publish_mounted(
    core: &Core,
    identity: &Arc<Identity>,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> Handled {
    let mut mounting = publisher.mounting.take().expect("the caller has looked");
    let handled = match mounting.mount(publish) {
        Ok(publish) => publish_whole(core, identity, publisher, &publish, now),
        Err(unmountable) => {
            publisher.is_unstored = false;
            publisher.refuse(publish, DropReason::PublishNotAuthorized);
            Handled::Answered(reason_of(unmountable, ReasonCode::TopicNameInvalid))
        }
    };
    publisher.mounting = Some(mounting);
    handled
}

/// The same for a message under its whole name.
#[inline]
fn publish_whole(
    core: &Core,
    identity: &Arc<Identity>,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> Handled {
    const ASKED: Events = Events::PUBLISH.or(Events::REVIEW_PUBLISH);
    let wanted = core.hooks.wanted();
    if wanted.overlaps(ASKED) {
        let objection = core.hooks.object(identity, publish);
        if objection.is_some() || wanted.contains(Events::REVIEW_PUBLISH) {
            return publish_ruled(core, identity, publisher, publish, objection, now);
        }
    }
    let reason = match publisher.publish(publish, now) {
        Ok(reason) => reason,
        Err(answer) => return Handled::UnderReview(Review::of_rights(publish, None, answer)),
    };
    if core.hooks.wants(Events::PUBLISHED) {
        tell_published(core, identity, publish, reason);
    }
    Handled::Answered(reason)
}

#[cold]
pub(super) fn tell_published(
    core: &Core,
    identity: &Identity,
    publish: &InboundPublish<'_>,
    reason: ReasonCode,
) {
    core.hooks.tell(Events::PUBLISHED, |hook| hook.published(identity, publish, reason));
}

/// The same after the hooks were asked the first time.
#[cold]
pub(super) fn publish_ruled(
    core: &Core,
    identity: &Arc<Identity>,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    objection: Option<Box<Objection>>,
    now: Instant,
) -> Handled {
    let rule = |objection: Box<Objection>| core.hooks.rule(identity, publish, *objection, now);
    let reviewed = core.hooks.wants(Events::REVIEW_PUBLISH);
    Handled::Answered(match objection.map_or(Ruling::Pass, rule) {
        Ruling::Pass if reviewed => {
            return Handled::UnderReview(Review::of_publish(core, identity, publish, None));
        }
        Ruling::Rewritten(publication) if reviewed => {
            return Handled::UnderReview(Review::of_publish(core, identity, publish, Some(*publication)));
        }
        Ruling::Pass => {
            let reason = match publisher.publish(publish, now) {
                Ok(reason) => reason,
                Err(answer) => return Handled::UnderReview(Review::of_rights(publish, None, answer)),
            };
            tell_published(core, identity, publish, reason);
            reason
        }
        Ruling::Swallow => ReasonCode::Success,
        Ruling::Rewritten(publication) => {
            let changed = rewrite(publish, &publication, now).expect("the chain has checked it");
            let reason = match publisher.publish(&changed, now) {
                Ok(reason) => reason,
                Err(answer) => {
                    return Handled::UnderReview(Review::of_rights(publish, Some(*publication), answer));
                }
            };
            tell_published(core, identity, &changed, reason);
            reason
        }
        Ruling::Reject(reason) => {
            let (id, topic) = (&identity.client_id, publish.topic.as_str());
            core.drops.record_for(&core.metrics, DropReason::PublishNotAuthorized, id, topic, publish.qos);
            reason
        }
    })
}

impl Dialogue {
    /// Handles what the hooks make of a packet.
    pub(super) fn handle_inspected(
        &mut self,
        packet: Packet<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        match self.core.hooks.received(&self.identity, &packet) {
            PacketRuling::Pass => self.handle_packet_apart(packet, now, out),
            PacketRuling::Ignore => Ok(()),
            PacketRuling::Reject(reason) => Err(Violation::new(reason, "4.13.2")),
            PacketRuling::Replaced(bytes) => self.handle_packet_apart(decode(&bytes, Version::V5)?, now, out),
        }
    }

    /// Shows the hooks what was written from here on.
    #[inline]
    pub(super) fn show(&self, out: &mut Vec<u8>, from: usize) {
        if out.len() > from && self.core.hooks.wants(Events::PACKET_SENDING) {
            let bytes_max = self.protocol.theirs().maximum_packet_size_bytes;
            self.core.hooks.sending(&self.identity, self.protocol.version(), bytes_max, out, from);
        }
    }

    /// Tells the hooks what was written from here on above QoS 0, for the first time or again.
    #[inline]
    pub(super) fn tell_sent(&self, out: &[u8], from: usize, event: Events) {
        if out.len() > from && self.core.hooks.wants(event) {
            self.tell_each(&out[from..], event);
        }
    }

    #[cold]
    fn tell_each(&self, mut packets: &[u8], event: Events) {
        while let Ok(Framing::Complete { frame_len, .. }) = frame(packets, PACKET_BYTES_MAX) {
            let (bytes, rest) = packets.split_at(frame_len);
            packets = rest;
            let Ok(packet) = decode(bytes, self.protocol.version()) else { continue };
            match &packet {
                Packet::Publish(publish) if event == Events::SENT && publish.packet_id.is_some() => {
                    self.core.hooks.tell(event, |hook| hook.sent(&self.identity, publish));
                }
                Packet::Publish(_) | Packet::Pubrel(_) if event == Events::RESENT => {
                    self.core.hooks.tell(event, |hook| hook.resent(&self.identity, &packet));
                }
                _ => {}
            }
        }
    }

    /// Tells the hooks, once, that messages wait for the client's acknowledgements.
    pub(super) fn tell_exhausted(&mut self, window: u16) {
        if window > 0 {
            self.is_exhausted = false;
        } else if !self.is_exhausted && self.outbox.waiting().0 > 0 {
            self.is_exhausted = true;
            let inflight = self.protocol.session().unacknowledged_len();
            let tell = |hook: &dyn Hooks| hook.packet_ids_exhausted(&self.identity, inflight);
            self.core.hooks.tell(Events::PACKET_IDS_EXHAUSTED, tell);
        }
    }

    /// The answers of a packet have been written. Whether the next one may be handled.
    pub(super) fn go_on(&mut self, out: &mut Vec<u8>, answered_from: usize, now: Instant) -> ControlFlow<()> {
        self.show(out, answered_from);
        let pauses = self.publisher.as_ref().is_some_and(|publisher| publisher.must_pause());
        let paused = self.bounds.as_ref().is_some_and(|bounds| bounds.pause(now).is_some());
        if self.end.is_none() && self.review.is_none() && !pauses && !paused {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

/// Why a connection ends, in the words of the hooks.
pub(super) fn cause(end: &End) -> DisconnectCause {
    match end {
        End::PeerLeft => DisconnectCause::ClientLeft,
        End::Lost => DisconnectCause::Lost,
        End::Violation(violation) => DisconnectCause::Violation(violation.reason),
        End::KeepAliveTimeout => DisconnectCause::KeepAliveTimeout,
        End::Ordered(Order::HandOver { .. }) => DisconnectCause::TakenOver,
        End::Ordered(Order::Disconnect(refusal)) => DisconnectCause::Ordered(refusal.reason),
        End::Expired(reason) => DisconnectCause::Ordered(*reason),
        End::Ordered(Order::ShutDown | Order::Act(_) | Order::Recheck) => DisconnectCause::Shutdown,
        End::Panicked => DisconnectCause::Panicked,
    }
}
