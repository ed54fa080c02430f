//! Where a connection asks and tells the hooks. Each of these costs one branch while no hook wants its event.

use std::ops::ControlFlow;
use std::time::Instant;

use mqtt_codec::{Packet, QoS, ReasonCode, Version, decode};
use mqtt_session::{DropReason, InboundPublish, Violation};

use super::End;
use super::dialogue::Dialogue;
use super::publisher::Publisher;
use crate::DisconnectCause;
use crate::access::Identity;
use crate::clients::Order;
use crate::core::Core;
use crate::hooks::{Events, PacketRuling, Ruling, rewrite};

/// Publishes what the hooks make of a message; the reason is what its acknowledgement says.
#[inline]
pub(super) fn publish(
    core: &Core,
    identity: &Identity,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> ReasonCode {
    if core.hooks.wants_any(Events::PUBLISH | Events::PUBLISHED) {
        publish_hooked(core, identity, publisher, publish, now)
    } else {
        publisher.publish(publish, now)
    }
}

fn publish_hooked(
    core: &Core,
    identity: &Identity,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> ReasonCode {
    match core.hooks.publish(identity, publish, now) {
        Ruling::Pass => publish_and_tell(core, identity, publisher, publish, now),
        Ruling::Rewritten(publication) => match rewrite(publish, &publication, now) {
            Some(publish) => publish_and_tell(core, identity, publisher, &publish, now),
            None => ReasonCode::ImplementationSpecificError,
        },
        Ruling::Swallow => ReasonCode::Success,
        Ruling::Reject(reason) => {
            let (id, topic) = (&identity.client_id, publish.topic.as_str());
            core.drops.record_for(&core.metrics, DropReason::PublishNotAuthorized, id, topic, publish.qos);
            if publish.qos > QoS::AtMostOnce { reason } else { ReasonCode::Success }
        }
    }
}

fn publish_and_tell(
    core: &Core,
    identity: &Identity,
    publisher: &mut Publisher,
    publish: &InboundPublish<'_>,
    now: Instant,
) -> ReasonCode {
    let reason = publisher.publish(publish, now);
    core.hooks.tell(Events::PUBLISHED, |hook| hook.published(identity, publish, reason));
    reason
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
            PacketRuling::Pass => self.handle_packet(packet, now, out),
            PacketRuling::Ignore => Ok(()),
            PacketRuling::Reject(reason) => Err(Violation::new(reason, "4.13.2")),
            PacketRuling::Replaced(bytes) => self.handle_packet(decode(&bytes, Version::V5)?, now, out),
        }
    }

    /// Shows the hooks what was written from here on.
    #[inline]
    pub(super) fn show(&self, out: &mut Vec<u8>, from: usize) {
        if out.len() > from && self.core.hooks.wants(Events::PACKET_SENDING) {
            self.core.hooks.sending(&self.identity, self.protocol.version(), out, from);
        }
    }

    /// The answers of a packet have been written. Whether the next one may be handled.
    pub(super) fn go_on(&mut self, out: &mut Vec<u8>, answered_from: usize, now: Instant) -> ControlFlow<()> {
        self.show(out, answered_from);
        let congested = self.publisher.as_ref().is_some_and(|publisher| publisher.is_congested());
        let paused = self.bounds.as_ref().is_some_and(|bounds| bounds.pause(now).is_some());
        if self.end.is_none() && !congested && !paused {
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
