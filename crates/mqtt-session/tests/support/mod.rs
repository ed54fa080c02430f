//! Two protocols joined by a wire that a test can cut after any packet. Time stands still unless a test moves it.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod end;
mod setup;
mod single;

use std::time::{Duration, Instant};

use mqtt_codec::{Packet, QoS, decode};
use mqtt_session::Opening;

pub(crate) use end::{End, Got};
pub(crate) use setup::{Setup, connect_properties, delivery, message, numbered, split};
pub(crate) use single::{answer_to, block, broker, client, connect, id, only, publish, refusal};

/// Which way a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Broker,
    Client,
}

impl Towards {
    pub(crate) const BOTH: [Self; 2] = [Self::Broker, Self::Client];

    pub(crate) fn back(self) -> Self {
        match self {
            Self::Broker => Self::Client,
            Self::Client => Self::Broker,
        }
    }
}

/// A packet that arrived, as far as the rules about sending look at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) connection: u32,
    pub(crate) towards: Towards,
    pub(crate) name: &'static str,
    pub(crate) id: Option<u16>,
    pub(crate) qos: Option<QoS>,
    pub(crate) dup: bool,
    /// Topic of a PUBLISH as it stands on the wire: empty where only an alias was sent.
    pub(crate) topic: String,
    pub(crate) alias: Option<u16>,
    pub(crate) payload: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// A broker's and a client's end, and the packets between them.
pub(crate) struct Link {
    pub(crate) setup: Setup,
    pub(crate) now: Instant,
    pub(crate) broker: End,
    pub(crate) client: End,
    /// Every packet that arrived, over all connections.
    pub(crate) seen: Vec<Seen>,
    /// Counts the connections, from 1.
    pub(crate) connection: u32,
}

impl Link {
    /// Connects for the first time.
    pub(crate) fn open(setup: Setup) -> Self {
        let mut link = Self {
            setup,
            now: Instant::now(),
            broker: End::default(),
            client: End::default(),
            seen: Vec::new(),
            connection: 0,
        };
        link.reconnect();
        link
    }

    /// Loses everything that is on its way, and ends the connection at both ends.
    pub(crate) fn cut(&mut self) {
        self.broker.cut();
        self.client.cut();
    }

    /// A new connection that goes on with the sessions.
    pub(crate) fn reconnect(&mut self) {
        self.connection += 1;
        let setup = &self.setup;
        let mut bytes = Vec::new();
        setup.write_connect(&mut bytes);
        let Ok(Packet::Connect(connect)) = decode(&bytes, setup.version) else { panic!("no CONNECT") };
        let mut opening = Opening::accept(&connect, &setup.policy, || "assigned".into()).expect("admitted");
        let stored = self.broker.session.take().filter(|_| !setup.clean_start);
        let session_present = stored.is_some();
        let mut answer = Vec::new();
        opening.write_connack(&setup.policy, session_present, None, &mut answer).expect("a CONNACK fits");
        let Ok(Packet::Connack(connack)) = decode(&answer, setup.version) else { panic!("no CONNACK") };

        let session = stored.unwrap_or_default();
        self.broker
            .start(mqtt_session::Protocol::broker(&mut opening, &setup.policy, session, self.now), self.now);
        let kept = self.client.session.take().filter(|_| session_present).unwrap_or_default();
        let protocol = mqtt_session::Protocol::client(
            &connect,
            &connack,
            setup.limits,
            setup.inflight_max,
            kept,
            self.now,
        );
        self.client.start(protocol.expect("the CONNACK fits the CONNECT"), self.now);
    }

    pub(crate) fn end(&mut self, towards: Towards) -> &mut End {
        match towards {
            Towards::Broker => &mut self.broker,
            Towards::Client => &mut self.client,
        }
    }

    /// Lets one packet arrive; whether there was one.
    pub(crate) fn step(&mut self, towards: Towards) -> bool {
        let Some(frame) = self.end(towards.back()).wire.pop_front() else { return false };
        let packet = decode(&frame, self.setup.version).expect("our own packets are well formed");
        self.seen.push(look(&packet, self.connection, towards));
        let (now, version) = (self.now, self.setup.version);
        self.end(towards).receive(&frame, version, now);
        true
    }

    /// Lets packets arrive in turns, at most `packets`, until nothing is under way. Returns how many arrived.
    pub(crate) fn run(&mut self, packets: usize) -> usize {
        let mut arrived = 0;
        let mut idle = 0;
        let mut towards = Towards::Broker;
        while arrived < packets && idle < 2 {
            if self.step(towards) {
                arrived += 1;
                idle = 0;
            } else {
                idle += 1;
            }
            towards = towards.back();
        }
        arrived
    }

    pub(crate) fn settle(&mut self) -> usize {
        self.run(usize::MAX)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// The end at the other side of `towards` sends these, as soon as its window allows.
    pub(crate) fn send(
        &mut self,
        towards: Towards,
        deliveries: impl IntoIterator<Item = mqtt_session::Delivery>,
    ) {
        let now = self.now;
        let sender = self.end(towards.back());
        sender.queue.extend(deliveries);
        sender.push_queue(now);
    }

    pub(crate) fn publishes(&self, towards: Towards) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.towards == towards && seen.name == "PUBLISH")
    }

    pub(crate) fn names(&self, towards: Towards) -> Vec<&'static str> {
        self.seen.iter().filter(|seen| seen.towards == towards).map(|seen| seen.name).collect()
    }
}

fn look(packet: &Packet<'_>, connection: u32, towards: Towards) -> Seen {
    let mut seen = Seen {
        connection,
        towards,
        name: packet.packet_type().name(),
        id: None,
        qos: None,
        dup: false,
        topic: String::new(),
        alias: None,
        payload: Vec::new(),
        bytes: Vec::new(),
    };
    match packet {
        Packet::Publish(publish) => {
            seen.id = publish.packet_id.map(u16::from);
            seen.qos = Some(publish.qos);
            seen.dup = publish.dup;
            seen.topic = publish.topic.into();
            seen.alias = publish.properties.topic_alias().map(u16::from);
            seen.payload = publish.payload.into();
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            seen.id = Some(ack.packet_id.get());
        }
        _ => {}
    }
    seen
}
