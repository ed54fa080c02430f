//! Bytes that the broker holds for each thing that it keeps.

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ToWire, connect, publish, unsubscribe};

use crate::House;
use crate::client::Client;

/// So many fill a hash map that doubles when it is seven eighths full, so nothing depends on chance.
const MANY: u16 = 7 * 512;
const CLIENTS: u16 = 7 * 32;

/// Makes `count` things with `make`; the bytes for each must lie within a tenth of `expected`. Lower is better, but then
/// the number here has to follow.
#[track_caller]
fn check(house: &House, expected: usize, count: u16, make: impl FnOnce()) {
    let before = house.bytes_held();
    make();
    let each = house.bytes_held().saturating_sub(before) / usize::from(count);
    assert!(each.abs_diff(expected) <= expected / 10, "{each} bytes each instead of {expected}");
}

#[track_caller]
fn check_idle_clients(expected: usize, keep_alive_s: u16, subscribed: bool) {
    let house = House::open();
    house.connect("warms up", 60).subscribe("warm/up", QoS::AtMostOnce);
    let mut clients: Vec<Client> = Vec::with_capacity(CLIENTS.into());
    check(&house, expected, CLIENTS, || {
        for number in 0..CLIENTS {
            let mut client = house.connect(&format!("client-{number:06}"), keep_alive_s);
            if subscribed {
                client.subscribe(&format!("plant/{number}/command"), QoS::AtMostOnce);
            }
            clients.push(client);
        }
    });
}

#[test]
fn an_idle_connection_is_small() {
    check_idle_clients(2020, 0, false);
}

#[test]
fn a_keep_alive_costs_an_idle_connection_no_timer_of_its_own() {
    check_idle_clients(2070, 60, false);
}

#[test]
fn an_idle_connection_with_one_subscription_is_small() {
    check_idle_clients(2380, 60, true);
}

#[test]
fn an_idle_publisher_keeps_little_besides_its_connection() {
    let house = House::open();
    let mut clients: Vec<Client> = Vec::with_capacity(CLIENTS.into());
    check(&house, 3_200, CLIENTS, || {
        for number in 0..CLIENTS {
            let mut client = house.connect(&format!("client-{number:06}"), 60);
            client.send(&publish("plant/1/alarm").qos1(1).payload([0; 16]).to_wire(Version::V3_1_1));
            client.receive::<4>();
            clients.push(client);
        }
    });
}

#[test]
fn a_subscription_is_small() {
    let house = House::open();
    let mut client = house.connect("subscriber", 0);
    check(&house, 147, MANY, || {
        (0..MANY)
            .for_each(|number| client.subscribe(&format!("plant/{number:05}/command"), QoS::AtLeastOnce));
    });
}

#[test]
fn subscriptions_that_have_gone_leave_nothing_behind() {
    let house = House::open();
    let mut client = house.connect("subscriber", 0);
    let filter = |number: u16| format!("plant/+/{number:05}/command");
    let before = house.bytes_held();
    (0..MANY).for_each(|number| client.subscribe(&filter(number), QoS::AtLeastOnce));
    let full = house.bytes_held() - before;
    for number in 0..MANY {
        client.send(&unsubscribe(1).filter(&filter(number)).to_wire(Version::V3_1_1));
        client.receive::<4>();
    }
    let left = house.bytes_held().saturating_sub(before);
    assert!(left < full / 4, "{left} of {full} bytes are left");
}

/// Publishes `MANY` messages at QoS 1 and waits for each to be acknowledged.
fn publish_many(client: &mut Client, topic: impl Fn(u16) -> String, retained: bool) {
    for number in 1..=MANY {
        let message = publish(&topic(number)).qos1(number).payload([0; 16]);
        let message = if retained { message.retained() } else { message };
        client.send(&message.to_wire(Version::V3_1_1));
        client.receive::<4>();
    }
}

#[test]
fn a_retained_message_is_little_more_than_its_bytes() {
    let house = House::open();
    let mut client = house.connect("publisher", 0);
    client.send(&publish("warm/up").qos1(1).payload([0; 16]).to_wire(Version::V3_1_1));
    client.receive::<4>();
    check(&house, 181, MANY, || {
        publish_many(&mut client, |number| format!("plant/{number:05}/temperature"), true);
    });
}

#[test]
fn a_message_for_a_client_that_is_away_is_little_more_than_its_bytes() {
    let house = House::open();
    let mut away = house.connect_as(connect("away").clean(false));
    away.subscribe("plant/7/temperature", QoS::AtLeastOnce);
    drop(away);
    let mut client = house.connect("publisher", 0);
    client.send(&publish("warm/up").qos1(1).payload([0; 16]).to_wire(Version::V3_1_1));
    client.receive::<4>();
    check(&house, 147, MANY, || publish_many(&mut client, |_| "plant/7/temperature".to_owned(), false));
}
