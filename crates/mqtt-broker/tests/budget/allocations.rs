//! Allocations on the way of a message, once everything has found its size: at most one for each message that is
//! published, and none for each delivery.

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ToWire, publish};

use crate::House;
use crate::client::Client;

const TOPIC: &str = "plant/7/temperature";
/// Messages that arrive together.
const BURST: usize = 50;
const BURSTS: usize = 40;
/// Fixed header, topic and payload of each.
const PACKET_BYTES: usize = 2 + 2 + TOPIC.len() + 64;

/// A burst ready to be sent, and room for what comes.
struct Traffic {
    qos: QoS,
    burst: Vec<u8>,
    room: Vec<u8>,
    acks: [u8; 4 * BURST],
}

impl Traffic {
    fn new(qos: QoS) -> Self {
        let packet = |id| publish(TOPIC).qos(qos, id).payload([b'x'; 64]).to_wire(Version::V3_1_1);
        let burst: Vec<u8> = (1..=BURST as u16).flat_map(packet).collect();
        Self { qos, room: vec![0; burst.len()], burst, acks: [0; 4 * BURST] }
    }

    fn packet_bytes(&self) -> usize {
        PACKET_BYTES + if self.qos == QoS::AtMostOnce { 0 } else { 2 }
    }

    /// One burst from the publisher to all subscribers, acknowledged by everybody to the end.
    fn run(&mut self, publisher: &mut Client, subscribers: &mut [Client]) {
        publisher.send(&self.burst);
        if self.qos > QoS::AtMostOnce {
            publisher.receive_into(&mut self.acks);
        }
        if self.qos == QoS::ExactlyOnce {
            self.acks.chunks_exact_mut(4).for_each(|ack| ack[0] = 0x62);
            publisher.send(&self.acks);
            publisher.receive_into(&mut self.acks);
        }
        subscribers.iter_mut().for_each(|subscriber| self.receive(subscriber));
    }

    fn receive(&mut self, subscriber: &mut Client) {
        subscriber.receive_into(&mut self.room);
        if self.qos == QoS::AtMostOnce {
            return;
        }
        let id_at = 4 + TOPIC.len();
        let packets = self.room.chunks_exact(self.packet_bytes());
        let first = if self.qos == QoS::AtLeastOnce { 0x40 } else { 0x50 };
        for (ack, packet) in self.acks.chunks_exact_mut(4).zip(packets) {
            ack.copy_from_slice(&[first, 2, packet[id_at], packet[id_at + 1]]);
        }
        subscriber.send(&self.acks);
        if self.qos == QoS::ExactlyOnce {
            subscriber.receive_into(&mut self.acks);
            self.acks.chunks_exact_mut(4).for_each(|ack| ack[0] = 0x70);
            subscriber.send(&self.acks);
        }
    }
}

/// Allocations for each published message.
fn allocations(qos: QoS, subscribers: usize) -> f64 {
    let house = House::open();
    let mut subscribers: Vec<Client> = (0..subscribers)
        .map(|number| {
            let mut client = house.connect(&format!("subscriber {number}"), 60);
            client.subscribe(TOPIC, qos);
            client
        })
        .collect();
    let mut publisher = house.connect("publisher", 60);
    let mut traffic = Traffic::new(qos);
    (0..BURSTS).for_each(|_| traffic.run(&mut publisher, &mut subscribers));
    let before = house.allocations();
    (0..BURSTS).for_each(|_| traffic.run(&mut publisher, &mut subscribers));
    (house.allocations() - before) as f64 / (BURST * BURSTS) as f64
}

fn check(qos: QoS) {
    let (one, twenty) = (allocations(qos, 1), allocations(qos, 20));
    assert!(one <= 1.05, "{one} allocations for each message to one subscriber");
    let each_delivery = (twenty - one) / 19.0;
    assert!(each_delivery <= 0.05, "{each_delivery} allocations for each delivery");
}

#[test]
fn a_message_at_qos_0_takes_one_allocation_at_most_and_its_deliveries_none() {
    check(QoS::AtMostOnce);
}

#[test]
fn a_message_at_qos_1_takes_one_allocation_at_most_and_its_deliveries_none() {
    check(QoS::AtLeastOnce);
}

#[test]
fn a_message_at_qos_2_takes_one_allocation_at_most_and_its_deliveries_none() {
    check(QoS::ExactlyOnce);
}
