//! A client that obeys the standard and remembers what it was promised.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_codec::{Packet, QoS, ReasonCode, Version, decode};
use mqtt_testkit::{
    connect, disconnect, puback, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe, will,
};

use crate::link::Link;
use crate::model::Model;
use crate::world::Random;

/// Packet identifiers that a client uses; few, so that they are used again soon.
const IDS: u16 = 12;
const EXPIRY_S: u32 = 1_000_000;

pub(crate) struct Client {
    pub(crate) name: String,
    /// Whether its sessions outlive its connections.
    pub(crate) lasts: bool,
    pub(crate) link: Option<Link>,
    /// A CONNECT was sent and not answered; whether it asked for a new session.
    connecting: Option<bool>,
    /// Its session in the model; `None` if the broker has none.
    pub(crate) session: Option<usize>,
    /// Whether nobody knows what the broker has of it.
    pub(crate) is_doubtful: bool,
    outgoing: VecDeque<Outgoing>,
    last_id: u16,
    /// QoS 2 messages that came and were not released.
    incoming: BTreeSet<u16>,
    /// Acknowledgements that it has not sent yet.
    owed: VecDeque<Vec<u8>>,
    asked: BTreeMap<u16, Asked>,
    /// Number of the message that is its will.
    will: Option<usize>,
    window: u16,
}

struct Outgoing {
    id: u16,
    number: usize,
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    /// Which value of its topic it is, if it is retained.
    value: Option<usize>,
    is_released: bool,
}

enum Asked {
    Subscribe(&'static str, QoS),
    /// An UNSUBSCRIBE, or a SUBSCRIBE that another one follows.
    Other,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody said anything.
    Cut,
    /// The client said good-bye.
    Disconnect,
    /// The broker is gone with it.
    Killed,
    /// The broker closed it.
    Closed,
}

fn level(qos: QoS) -> u8 {
    qos as u8
}

impl Client {
    pub(crate) fn new(name: String, lasts: bool, window: u16) -> Self {
        Self {
            name,
            lasts,
            link: None,
            connecting: None,
            session: None,
            is_doubtful: false,
            outgoing: VecDeque::new(),
            last_id: 0,
            incoming: BTreeSet::new(),
            owed: VecDeque::new(),
            asked: BTreeMap::new(),
            will: None,
            window,
        }
    }

    pub(crate) fn is_online(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_closed) && self.connecting.is_none()
    }

    /// Whether nothing is left that it or the broker has to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_online() && self.outgoing.is_empty() && self.owed.is_empty() && self.asked.is_empty()
    }

    pub(crate) async fn connect(&mut self, mut link: Link, clean: bool, mortal: bool, model: &mut Model) {
        let clean = clean || !self.lasts || self.is_doubtful;
        let expiry_s = if self.lasts { EXPIRY_S } else { 0 };
        let mut packet = connect(&self.name).clean(clean).session_expiry_s(expiry_s);
        packet = packet.receive_maximum(self.window).keep_alive_s(0);
        self.will = None;
        if mortal {
            let number = model.publish(&format!("s/will/{}", self.name), 1);
            self.will = Some(number);
            let topic = format!("s/will/{}", self.name);
            packet = packet.will(will(&topic, number.to_string()).qos(QoS::AtLeastOnce));
        }
        link.send(&packet).await;
        self.link = Some(link);
        self.connecting = Some(clean);
    }

    /// The connection is gone. The will that is to be published now, if any.
    pub(crate) fn lost(&mut self, end: End, model: &mut Model) -> Option<usize> {
        let was_open = self.link.take().is_some();
        self.owed.clear();
        self.asked.clear();
        let will = self.will.take();
        if let Some(clean) = self.connecting.take() {
            self.is_doubtful |= clean || self.session.is_none();
            return None;
        }
        if let Some(session) = self.session.take_if(|session| !model.sessions[*session].lasts) {
            model.end_session(session);
        }
        will.filter(|_| was_open && end != End::Disconnect)
    }

    /// Publishes a message. Whether an identifier was free for it.
    pub(crate) async fn publish(&mut self, topic: &str, qos: QoS, model: &mut Model) {
        let id = if qos == QoS::AtMostOnce { Some(0) } else { self.free_id() };
        let Some(id) = id else { return };
        let number = model.publish(topic, level(qos));
        self.send_publish(Outgoing {
            id,
            number,
            topic: topic.to_owned(),
            payload: number.to_string().into_bytes(),
            qos,
            value: None,
            is_released: false,
        })
        .await;
    }

    /// Replaces what is retained on its own topic.
    pub(crate) async fn retain(&mut self, clears: bool, qos: QoS, model: &mut Model) {
        let Some(id) = self.free_id() else { return };
        let topic = format!("r/{}", self.name);
        let number = model.publish(&topic, level(qos));
        let value = Some(model.retain(number, clears));
        let payload = if clears { Vec::new() } else { number.to_string().into_bytes() };
        self.send_publish(Outgoing { id, number, topic, payload, qos, value, is_released: false }).await;
    }

    async fn send_publish(&mut self, message: Outgoing) {
        let mut packet = publish(&message.topic).payload(&message.payload).qos(message.qos, message.id);
        if message.value.is_some() {
            packet = packet.retained();
        }
        if let Some(link) = &mut self.link {
            link.send(&packet).await;
        }
        if message.qos != QoS::AtMostOnce {
            self.outgoing.push_back(message);
        }
    }

    fn free_id(&mut self) -> Option<u16> {
        let used = |id: &u16| self.outgoing.iter().any(|one| one.id == *id) || self.asked.contains_key(id);
        let id = (1..=IDS).map(|step| (self.last_id + step - 1) % IDS + 1).find(|id| !used(id))?;
        self.last_id = id;
        Some(id)
    }

    pub(crate) async fn subscribe(&mut self, filter: &'static str, qos: QoS, model: &mut Model) {
        let (Some(session), Some(id)) = (self.session, self.free_id()) else { return };
        self.ask(session, filter, true, model);
        self.asked.insert(id, Asked::Subscribe(filter, qos));
        if let Some(link) = &mut self.link {
            link.send(&subscribe(id).filter(filter, qos)).await;
        }
    }

    fn ask(&mut self, session: usize, filter: &'static str, subscribes: bool, model: &mut Model) {
        model.ask(session, filter, subscribes);
        for asked in self.asked.values_mut() {
            if matches!(asked, Asked::Subscribe(earlier, _) if *earlier == filter) {
                *asked = Asked::Other;
            }
        }
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &'static str, model: &mut Model) {
        let (Some(session), Some(id)) = (self.session, self.free_id()) else { return };
        self.ask(session, filter, false, model);
        self.asked.insert(id, Asked::Other);
        if let Some(link) = &mut self.link {
            link.send(&unsubscribe(id).filter(filter)).await;
        }
    }

    pub(crate) async fn disconnect(&mut self) {
        if let Some(link) = &mut self.link {
            link.send(&disconnect(ReasonCode::Success)).await;
        }
    }

    /// Sends half of a PUBLISH that nobody will miss.
    pub(crate) async fn send_half(&mut self) {
        if let Some(link) = &mut self.link {
            link.send_half(&publish("s/half").payload([b'x'; 40])).await;
        }
    }

    /// Reads what has come. Each packet's bytes, for the record.
    pub(crate) async fn receive(&mut self, model: &mut Model) -> Vec<Vec<u8>> {
        let Some(link) = &mut self.link else { return Vec::new() };
        let packets = link.receive().await;
        for packet in &packets {
            match decode(packet, Version::V5) {
                Ok(packet) => self.take(&packet, model).await,
                Err(error) => model.faults.push(format!("{} got no packet: {error}", self.name)),
            }
        }
        packets
    }

    async fn take(&mut self, packet: &Packet<'_>, model: &mut Model) {
        match packet {
            Packet::Connack(connack) if connack.reason == ReasonCode::Success => {
                let lasts = self.lasts && connack.properties.session_expiry_interval_s() != Some(0);
                self.admitted(connack.session_present, lasts, model).await;
            }
            Packet::Publish(message) => {
                let id = message.packet_id.map_or(0, |id| id.get());
                let is_new = message.qos != QoS::ExactlyOnce || self.incoming.insert(id);
                if is_new && let Some(session) = self.session {
                    model.received(&self.name, session, message.topic, message.payload, level(message.qos));
                }
                match message.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.owe(&puback(id)),
                    QoS::ExactlyOnce => self.owe(&pubrec(id)),
                }
            }
            Packet::Pubrel(ack) => {
                self.incoming.remove(&ack.packet_id.get());
                self.owe(&pubcomp(ack.packet_id.get()));
            }
            Packet::Puback(ack) => {
                self.answered(ack.packet_id.get(), ack.reason, QoS::AtLeastOnce, model).await
            }
            Packet::Pubrec(ack) => {
                self.answered(ack.packet_id.get(), ack.reason, QoS::ExactlyOnce, model).await
            }
            Packet::Pubcomp(ack) => {
                self.outgoing.retain(|one| one.id != ack.packet_id.get() || !one.is_released);
            }
            Packet::Suback(suback) => {
                let granted = suback.reasons.iter().all(|reason| !reason.is_error());
                if let Some(Asked::Subscribe(filter, qos)) = self.asked.remove(&suback.packet_id.get())
                    && let Some(session) = self.session.filter(|_| granted)
                {
                    model.subscribed(session, filter, level(qos));
                }
            }
            Packet::Unsuback(unsuback) => {
                self.asked.remove(&unsuback.packet_id.get());
                self.session.into_iter().for_each(|session| model.answered(session));
            }
            _ => {}
        }
    }

    fn owe(&mut self, packet: &impl mqtt_testkit::ToWire) {
        self.owed.push_back(packet.to_wire(Version::V5));
    }

    async fn admitted(&mut self, present: bool, lasts: bool, model: &mut Model) {
        let clean = self.connecting.take().unwrap_or(false);
        let expected = self.session.is_some() && !clean;
        if present != expected {
            let text = format!("{}: session present is {present}, not {expected}", self.name);
            model.faults.push(text);
        }
        self.is_doubtful = false;
        if !present {
            self.session.take().into_iter().for_each(|session| model.end_session(session));
            self.session = Some(model.begin_session(lasts));
            self.outgoing.clear();
            self.incoming.clear();
            return;
        }
        let Some(link) = &mut self.link else { return };
        for one in &self.outgoing {
            if one.is_released {
                link.send(&pubrel(one.id)).await;
                continue;
            }
            let mut packet = publish(&one.topic).payload(&one.payload).qos(one.qos, one.id).dup();
            if one.value.is_some() {
                packet = packet.retained();
            }
            link.send(&packet).await;
        }
    }

    async fn answered(&mut self, id: u16, reason: ReasonCode, qos: QoS, model: &mut Model) {
        let found = self.outgoing.iter().position(|one| one.id == id && one.qos == qos && !one.is_released);
        let Some(at) = found else {
            if qos == QoS::ExactlyOnce && self.outgoing.iter().any(|one| one.id == id) {
                self.owe(&pubrel(id));
            }
            return;
        };
        if reason.is_error() {
            self.outgoing.remove(at);
            return;
        }
        let one = &mut self.outgoing[at];
        model.acknowledged(one.number, one.value);
        if qos == QoS::ExactlyOnce {
            one.is_released = true;
            self.owe(&pubrel(id));
        } else {
            self.outgoing.remove(at);
        }
    }

    /// Sends some of the acknowledgements that it owes, in their order.
    pub(crate) async fn pay(&mut self, random: &mut Random) {
        let count = match random.below(4) {
            0 => 0,
            1 => random.below(self.owed.len() as u64 + 1) as usize,
            _ => self.owed.len(),
        };
        self.pay_some(count).await;
    }

    pub(crate) async fn pay_all(&mut self) {
        self.pay_some(self.owed.len()).await;
    }

    async fn pay_some(&mut self, count: usize) {
        let Some(link) = &mut self.link else { return };
        for packet in self.owed.drain(..count) {
            link.send(&packet[..]).await;
        }
    }
}
