//! What becomes of a question that a plug-in does not answer.

use mqtt_broker::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_broker::ReasonCode;
use mqtt_plugin::{Figures, Limits, Plugin, PluginError, PluginOptions};
use mqtt_testkit::{connect, publish, subscribe, will};
use std::time::Duration;

use crate::harness::{UNRULY, client, client_with, house, options, plugin, visitor};
use crate::log::Lines;

type Count = fn(&Figures) -> u64;

/// What each of these topics makes the guest do wrong, and what is counted for it.
const WRONG: &[(&str, Count)] = &[
    ("trap", |figures| figures.traps),
    ("loop", |figures| figures.out_of_fuel),
    ("deep", |figures| figures.traps),
    ("hungry", |figures| figures.out_of_memory),
    ("echo", |figures| figures.traps),
    ("wildcard", |figures| figures.nonsense),
    ("long", |figures| figures.nonsense),
];

fn small() -> PluginOptions {
    let limits = Limits { memory_bytes_max: 3 << 20, fuel_max: 50_000_000, ..options("").limits };
    PluginOptions { limits, ..options("") }
}

#[tokio::test(start_paused = true)]
async fn a_failure_refuses_the_message_and_the_next_question_is_answered() {
    let plugin = plugin(UNRULY, small());
    let broker = house(&plugin).await;
    let mut peer = client(&broker, "c").await;
    peer.subscribe("#", AtMostOnce).await;
    for (topic, count) in WRONG {
        let before = plugin.figures();
        peer.send(publish(topic).qos(AtLeastOnce, 1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::ImplementationSpecificError, "{topic}");
        let after = plugin.figures();
        assert_eq!(count(&after), count(&before) + 1, "{topic}: {after:?}");
        assert_eq!(after.failures(), before.failures() + 1, "{topic}: {after:?}");
        peer.publish(publish("plain").payload("on it goes")).await;
        peer.receive_text("on it goes").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plug_in_that_fails_open_is_as_if_it_were_not_there() {
    let plugin = plugin(UNRULY, PluginOptions { fail_open: true, ..small() });
    let broker = house(&plugin).await;
    let mut peer = client(&broker, "c").await;
    peer.subscribe("#", AtMostOnce).await;
    for (topic, _) in WRONG {
        peer.publish(publish(topic).payload("as it was")).await;
        assert_eq!(peer.receive_text("as it was").await.topic, *topic);
    }
    assert_eq!(plugin.figures().failures(), WRONG.len() as u64);
    peer.subscribe("trap", AtMostOnce).await;
    client_with(&broker, connect("trap").will(will("wills", "as it was"))).await.cut();
    assert_eq!(peer.receive_text("as it was").await.topic, "wills");
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_with_few_instructions_is_ended_by_the_clock() {
    let limits = Limits { fuel_max: u64::MAX, deadline: Duration::from_millis(500), ..Limits::default() };
    let plugin = plugin(UNRULY, PluginOptions { limits, ..options("publish only") });
    let broker = house(&plugin).await;
    let mut peer = client(&broker, "c").await;
    for (packet_id, topic) in [(1, "slow"), (2, "loop")] {
        peer.send(publish(topic).qos(AtLeastOnce, packet_id)).await;
        let puback = peer.expect_puback(packet_id).await;
        assert_eq!(puback.reason, ReasonCode::ImplementationSpecificError, "{topic}");
    }
    assert_eq!(plugin.figures().too_late, 2);
}

#[tokio::test(start_paused = true)]
async fn an_instance_keeps_what_it_knows_until_it_fails() {
    let plugin = plugin(UNRULY, small());
    let broker = house(&plugin).await;
    let mut peer = client(&broker, "c").await;
    peer.subscribe("asked", AtMostOnce).await;
    for expected in ["1", "2"] {
        peer.publish(publish("asked")).await;
        peer.receive_text(expected).await;
    }
    peer.publish(publish("trap")).await;
    peer.publish(publish("asked")).await;
    peer.receive_text("1").await;
}

#[tokio::test(start_paused = true)]
async fn other_questions_that_fail_are_refused_too() {
    let plugin = plugin(UNRULY, small());
    let broker = house(&plugin).await;
    let mut stranger = visitor(&broker);
    stranger.send(connect("trap")).await;
    stranger.expect_refusal(ReasonCode::ImplementationSpecificError).await;
    let mut peer = client_with(&broker, connect("wildcard").will(will("wills", "gone"))).await;
    let suback = peer.subscribe_with(subscribe(1).filter("trap", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::ImplementationSpecificError]);
    let mut watcher = client(&broker, "watcher").await;
    watcher.subscribe("#", AtMostOnce).await;
    peer.cut();
    watcher.expect_silence().await;
    assert_eq!((plugin.figures().traps, plugin.figures().nonsense), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_is_none_is_still_a_refusal() {
    let broker = house(&plugin(UNRULY, options(""))).await;
    let mut peer = client(&broker, "c").await;
    for topic in ["success", "no such reason"] {
        peer.send(publish(topic).qos(AtLeastOnce, 1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::ImplementationSpecificError, "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_noisy_plug_in_fills_no_log() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let broker = house(&plugin(UNRULY, options(""))).await;
    let mut peer = client(&broker, "c").await;
    peer.publish(publish("noisy")).await;
    peer.ping().await;
    let logged = lines.take();
    let noise: Vec<&str> = logged.iter().map(String::as_str).filter(|line| line.contains("line ")).collect();
    assert_eq!(noise.len(), 16);
    assert!(noise.iter().all(|line| line.len() < 1200), "{}", noise[0].len());
}

#[test]
fn a_plug_in_that_does_not_start_is_none() {
    let opened = |settings| {
        Plugin::from_bytes("guest", UNRULY, PluginOptions { limits: small().limits, ..options(settings) })
    };
    assert!(
        matches!(opened("refuse"), Err(PluginError::Settings(text)) if text == "these settings are wrong")
    );
    assert!(matches!(opened("trap"), Err(PluginError::Start(mqtt_plugin::Failure::Trap(_)))));
    assert!(matches!(opened("loop"), Err(PluginError::Start(mqtt_plugin::Failure::OutOfFuel))));
    let tiny = Limits { memory_bytes_max: 64 << 10, ..small().limits };
    let opened = Plugin::from_bytes("guest", UNRULY, PluginOptions { limits: tiny, ..options("") });
    assert!(matches!(opened, Err(PluginError::Start(mqtt_plugin::Failure::OutOfMemory))));
}
