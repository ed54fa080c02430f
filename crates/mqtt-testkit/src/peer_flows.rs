//! Whole exchanges of a well-behaved client, so that a test spells out only what it is about.

use std::{future::Future, panic::Location};

use mqtt_codec::{Packet, PacketType, QoS, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    ConnectBuilder, Peer, PublishBuilder, ReceivedConnack, ReceivedPublish, ReceivedSuback, SubscribeBuilder,
    disconnect, pingreq, puback, pubcomp, pubrec, pubrel, subscribe, unsubscribe,
};

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Sends a CONNECT and is admitted.
    #[track_caller]
    pub fn connect(&mut self, connect: ConnectBuilder) -> impl Future<Output = ReceivedConnack> {
        self.connect_at(Location::caller(), connect)
    }

    /// The same on behalf of a helper: a failure names `at`.
    pub async fn connect_at(
        &mut self,
        at: &'static Location<'static>,
        connect: ConnectBuilder,
    ) -> ReceivedConnack {
        self.send(connect).await;
        let connack = self.pick(at, "CONNACK", ReceivedConnack::of).await;
        if connack.reason != ReasonCode::Success {
            self.fail(at, "to be admitted", &format!("{connack:?}"));
        }
        connack
    }

    /// Subscribes to one filter and is granted this QoS.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> impl Future<Output = ()> {
        let packet_id = self.new_packet_id();
        let request = subscribe(packet_id).filter(filter, qos);
        let at = Location::caller();
        async move {
            let suback = self.subscribe_with(request).await;
            if suback.packet_id != packet_id || suback.reasons != [ReasonCode::granted(qos)] {
                self.fail(at, &format!("packet {packet_id} granted {qos:?}"), &format!("{suback:?}"));
            }
        }
    }

    /// Sends a SUBSCRIBE and reads its SUBACK.
    #[track_caller]
    pub fn subscribe_with(&mut self, request: SubscribeBuilder) -> impl Future<Output = ReceivedSuback> {
        let at = Location::caller();
        async move {
            self.send(request).await;
            self.pick(at, "SUBACK", ReceivedSuback::of_suback).await
        }
    }

    /// Unsubscribes from one filter and reads the UNSUBACK.
    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) -> impl Future<Output = ReceivedSuback> {
        let packet_id = self.new_packet_id();
        let request = unsubscribe(packet_id).filter(filter);
        let at = Location::caller();
        async move {
            self.send(request).await;
            let unsuback = self.pick(at, "UNSUBACK", ReceivedSuback::of_unsuback).await;
            if unsuback.packet_id != packet_id {
                self.fail(at, &format!("UNSUBACK {packet_id}"), &format!("{unsuback:?}"));
            }
            unsuback
        }
    }

    /// Publishes and completes the acknowledgement sequence of the QoS, which must succeed. Messages that
    /// come meanwhile are kept for later.
    #[track_caller]
    pub fn publish(&mut self, message: PublishBuilder) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let (qos, packet_id) = message.hop();
            self.send(message).await;
            let reason = match qos {
                QoS::AtMostOnce => return,
                QoS::AtLeastOnce => self.await_ack(at, PacketType::Puback, packet_id).await.reason,
                QoS::ExactlyOnce => {
                    let reason = self.await_ack(at, PacketType::Pubrec, packet_id).await.reason;
                    self.send(pubrel(packet_id)).await;
                    self.await_ack(at, PacketType::Pubcomp, packet_id).await;
                    reason
                }
            };
            if reason.is_error() {
                self.fail(at, "the message to be accepted", &reason.to_string());
            }
        }
    }

    /// Receives a PUBLISH and completes the acknowledgement sequence of its QoS. Messages that come
    /// meanwhile are kept for later.
    #[track_caller]
    pub fn receive(&mut self) -> impl Future<Output = ReceivedPublish> {
        let at = Location::caller();
        async move { self.receive_at(at).await }
    }

    async fn receive_at(&mut self, at: &'static Location<'static>) -> ReceivedPublish {
        let message = self.pick(at, "PUBLISH", ReceivedPublish::of).await;
        match message.qos {
            QoS::AtMostOnce => (),
            QoS::AtLeastOnce => self.send(puback(message.packet_id)).await,
            QoS::ExactlyOnce => {
                self.send(pubrec(message.packet_id)).await;
                self.await_ack(at, PacketType::Pubrel, message.packet_id).await;
                self.send(pubcomp(message.packet_id)).await;
            }
        }
        message
    }

    /// Receives a PUBLISH with this payload and completes the acknowledgement sequence.
    #[track_caller]
    pub fn receive_text(&mut self, payload: &str) -> impl Future<Output = ReceivedPublish> {
        let at = Location::caller();
        let payload = payload.to_owned();
        async move {
            let message = self.receive_at(at).await;
            if message.payload != payload.as_bytes() {
                self.fail(at, &format!("the payload {payload:?}"), &format!("{message:?}"));
            }
            message
        }
    }

    /// PINGREQ and PINGRESP with nothing in between: everything sent before has been processed, and the
    /// connection lives.
    #[track_caller]
    pub fn ping(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            self.send(pingreq()).await;
            let pick = |packet: &Packet<'_>| matches!(packet, Packet::Pingresp).then_some(());
            self.pick(at, "PINGRESP", pick).await;
        }
    }

    /// Leaves with a normal DISCONNECT and sees the connection close.
    #[track_caller]
    pub fn leave(mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            self.send(disconnect(ReasonCode::Success)).await;
            self.closed(at).await;
        }
    }

    /// A packet identifier that this peer has not used yet.
    pub fn new_packet_id(&mut self) -> u16 {
        self.last_packet_id += 1;
        self.last_packet_id
    }
}
