//! Messages and requests on their way to the server, and who waits for their answers.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_codec::{PacketId, Properties, QoS, ReasonCode};
use mqtt_session::{Completed, Delivery, DropReason, Protocol};

use crate::command::{Answer, Outgoing, tell};
use crate::{ClientError, Options, Overflow};

/// What has not been acknowledged. It outlives connections.
#[derive(Debug)]
pub(crate) struct Outbound {
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    limits: Buffer,
    under_way: HashMap<PacketId, UnderWay>,
    sent: u64,
    /// What the server of the present connection takes.
    maximum_qos: QoS,
    retain_available: bool,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    messages_max: usize,
    bytes_max: usize,
    overflow: Overflow,
}

#[derive(Debug)]
struct UnderWay {
    /// Order of sending.
    order: u64,
    delivery: Delivery,
    answer: Answer<ReasonCode>,
}

impl Outbound {
    pub(crate) fn new(options: &Options) -> Self {
        let limits = Buffer {
            messages_max: options.outgoing_max.max(1),
            bytes_max: options.outgoing_bytes_max,
            overflow: options.overflow,
        };
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            limits,
            under_way: HashMap::new(),
            sent: 0,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
        }
    }

    /// Takes a message, at the cost of itself or of older ones if there is no room. A message larger than all that may
    /// wait is taken when nothing else does.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        let bytes = outgoing.delivery.size_bytes();
        while self.limits.overflow == Overflow::DropOldest
            && !self.waiting.is_empty()
            && !self.has_room_for(bytes)
        {
            if let Some(oldest) = self.pop() {
                tell(oldest.answer, Err(ClientError::BufferFull));
            }
        }
        if self.limits.overflow == Overflow::RefuseNewest
            && !self.waiting.is_empty()
            && !self.has_room_for(bytes)
        {
            tell(outgoing.answer, Err(ClientError::BufferFull));
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(outgoing);
    }

    fn pop(&mut self) -> Option<Outgoing> {
        let next = self.waiting.pop_front()?;
        self.waiting_bytes -= next.delivery.size_bytes();
        Some(next)
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.waiting.len() < self.limits.messages_max && self.waiting_bytes + bytes <= self.limits.bytes_max
    }

    /// Whether the next message may be taken from its publisher, which waits otherwise.
    pub(crate) fn takes_more(&self) -> bool {
        self.limits.overflow != Overflow::Wait || self.has_room_for(0)
    }

    /// Whether an acknowledgement of the server is awaited.
    pub(crate) fn is_awaiting(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// A server admitted the client, and said this in its CONNACK.
    pub(crate) fn offered(&mut self, connack: Properties<'_>) {
        self.maximum_qos = connack.maximum_qos().unwrap_or(QoS::ExactlyOnce);
        self.retain_available = connack.retain_available().unwrap_or(true);
    }

    /// Whether everything has been sent and acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Sends what the window allows, in order. Whether anything was sent or given up.
    pub(crate) fn fill(
        &mut self,
        protocol: &mut Protocol,
        now: Instant,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut worked = false;
        while out.len() < bytes_max
            && let Some(next) = self.waiting.front()
        {
            let acknowledged = next.delivery.hop.qos > QoS::AtMostOnce;
            if acknowledged && (protocol.window_free() == 0 || protocol.is_resending()) {
                break;
            }
            let Some(Outgoing { delivery, answer }) = self.pop() else { break };
            self.send(protocol, delivery, answer, now, out);
            worked = true;
        }
        worked
    }

    fn send(
        &mut self,
        protocol: &mut Protocol,
        delivery: Delivery,
        answer: Answer<ReasonCode>,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        // The server would close the connection over it.
        if delivery.hop.qos > self.maximum_qos || delivery.hop.retain && !self.retain_available {
            tell(answer, Err(ClientError::NotOffered));
            return;
        }
        match protocol.deliver(delivery.clone(), now, out) {
            Ok(None) => tell(answer, Ok(ReasonCode::Success)),
            Ok(Some(id)) => {
                self.sent += 1;
                self.under_way.insert(id, UnderWay { order: self.sent, delivery, answer });
            }
            Err(DropReason::Expired) => tell(answer, Err(ClientError::Expired)),
            Err(_) => tell(answer, Err(ClientError::TooLarge)),
        }
    }

    /// The server acknowledged a message to the end.
    pub(crate) fn complete(&mut self, completed: &Completed) {
        if let Some(done) = self.under_way.remove(&completed.packet_id) {
            // A PUBREL that was repeated on a new connection finds nothing where the PUBCOMP was lost: the
            // message had arrived.
            let reason = match completed.reason {
                ReasonCode::PacketIdentifierNotFound => ReasonCode::Success,
                reason => reason,
            };
            tell(done.answer, Ok(reason));
        }
    }

    /// Messages that can never be sent again, found when the session was resumed.
    pub(crate) fn give_up(&mut self, deliveries: &[(Delivery, DropReason)]) {
        for (delivery, _) in deliveries {
            let id = self.under_way.iter().find(|(_, other)| other.delivery == *delivery).map(|(id, _)| *id);
            if let Some(lost) = id.and_then(|id| self.under_way.remove(&id)) {
                tell(lost.answer, Err(ClientError::TooLarge));
            }
        }
    }

    /// The server has forgotten the session. QoS 1 messages are sent again as new ones, before all others;
    /// for QoS 2 messages that could mean twice, so their publishers are told.
    pub(crate) fn session_lost(&mut self) {
        let mut lost: Vec<UnderWay> = self.under_way.drain().map(|(_, under_way)| under_way).collect();
        lost.sort_unstable_by_key(|under_way| std::cmp::Reverse(under_way.order));
        for UnderWay { delivery, answer, .. } in lost {
            if delivery.hop.qos == QoS::AtLeastOnce {
                self.waiting_bytes += delivery.size_bytes();
                self.waiting.push_front(Outgoing { delivery, answer });
            } else {
                tell(answer, Err(ClientError::SessionLost));
            }
        }
    }
}
