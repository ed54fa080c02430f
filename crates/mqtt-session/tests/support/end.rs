//! One end of the link: a protocol, what its application wants to send, and what it got.

use std::collections::VecDeque;
use std::time::Instant;

use mqtt_codec::{PacketId, QoS, ReasonCode, Version, decode};
use mqtt_session::{Delivery, DropReason, Protocol, Received, Session};

use super::split;

/// A message that reached the application.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<u8>,
    pub(crate) expires_at: Option<Instant>,
}

impl Got {
    /// The number that [`numbered`](super::numbered) wrote.
    pub(crate) fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("a numbered payload"))
    }
}

#[derive(Default)]
pub(crate) struct End {
    pub(crate) protocol: Option<Protocol>,
    /// Between connections.
    pub(crate) session: Option<Session>,
    /// What the application wants to send and the window does not yet take.
    pub(crate) queue: VecDeque<Delivery>,
    /// Sent, and not yet arrived at the other end.
    pub(crate) wire: VecDeque<Vec<u8>>,
    pub(crate) got: Vec<Got>,
    pub(crate) completed: Vec<(PacketId, ReasonCode, Option<Delivery>)>,
    pub(crate) dropped: Vec<(Delivery, DropReason)>,
    /// What the application answers to a message above QoS 0.
    pub(crate) answer: Option<ReasonCode>,
}

impl End {
    pub(crate) fn start(&mut self, mut protocol: Protocol, now: Instant) {
        let mut out = Vec::new();
        self.dropped.extend(protocol.resume(now, &mut out));
        self.protocol = Some(protocol);
        self.wire.extend(split(&out));
        self.push_queue(now);
    }

    pub(crate) fn cut(&mut self) {
        self.wire.clear();
        if let Some(protocol) = self.protocol.take() {
            self.session = Some(protocol.finish().session);
        }
    }

    pub(crate) fn protocol(&mut self) -> &mut Protocol {
        self.protocol.as_mut().expect("connected")
    }

    /// Runs `act` on the protocol and sends what it writes.
    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Protocol, &mut Vec<u8>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(self.protocol.as_mut().expect("connected"), &mut out);
        self.wire.extend(split(&out));
        result
    }

    /// Sends from the queue as far as the window allows.
    pub(crate) fn push_queue(&mut self, now: Instant) {
        let Some(protocol) = &mut self.protocol else { return };
        let mut out = Vec::new();
        self.dropped.extend(protocol.continue_resending(now, &mut out));
        while let Some(next) = self.queue.front() {
            let blocked = next.hop.qos > QoS::AtMostOnce && protocol.window_free() == 0;
            if blocked || protocol.is_resending() {
                break;
            }
            let delivery = self.queue.pop_front().expect("looked at it");
            if let Err(reason) = protocol.deliver(delivery.clone(), now, &mut out) {
                self.dropped.push((delivery, reason));
            }
        }
        self.wire.extend(split(&out));
    }

    pub(crate) fn receive(&mut self, frame: &[u8], version: Version, now: Instant) {
        let protocol = self.protocol.as_mut().expect("connected");
        let mut out = Vec::new();
        let packet = decode(frame, version).expect("well formed");
        match protocol.receive(packet, now, &mut out).expect("our own packets obey the rules") {
            Received::Publish(publish) => {
                let ticket = publish.ticket();
                self.got.push(Got {
                    topic: publish.topic.as_str().into(),
                    payload: publish.payload.into(),
                    qos: publish.qos,
                    retain: publish.retain,
                    properties: publish.properties.as_bytes().into(),
                    expires_at: publish.expires_at,
                });
                protocol.answer_publish(ticket, self.answer.unwrap_or(ReasonCode::Success), &mut out);
            }
            Received::Completed(done) => {
                self.completed.push((done.packet_id, done.reason, done.delivery));
            }
            _ => {}
        }
        self.wire.extend(split(&out));
        self.push_queue(now);
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.got.iter().map(Got::number).collect()
    }
}
