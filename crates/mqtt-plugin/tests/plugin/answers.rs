//! What a plug-in decides and rewrites.

use std::time::Duration;

use mqtt_broker::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_broker::{Broker, Property, ReasonCode, Settings};
use mqtt_testkit::{connect, publish, subscribe, will};

use crate::harness::{ROOMS, UNRULY, client, client_with, house, options, plugin, visitor};

#[tokio::test(start_paused = true)]
async fn the_example_gives_each_device_a_room_of_its_own() {
    let plugin = plugin(ROOMS, options("house"));
    let broker = house(&plugin).await;
    let mut watcher = client(&broker, "watcher").await;
    watcher.subscribe("house/#", AtMostOnce).await;
    let mut lamp = client_with(&broker, connect("lamp7").will(will("my/state", "gone"))).await;
    lamp.subscribe("my/orders", AtMostOnce).await;

    lamp.publish(publish("my/state").payload("on")).await;
    assert_eq!(watcher.receive_text("on").await.topic, "house/lamp7/state");
    watcher.publish(publish("house/lamp7/orders").payload("off")).await;
    lamp.receive_text("off").await;
    assert_eq!(lamp.unsubscribe("my/orders").await.reasons, [ReasonCode::Success]);
    lamp.cut();
    watcher.receive_text("off").await;
    assert_eq!(watcher.receive_text("gone").await.topic, "house/lamp7/state");
    assert_eq!(plugin.figures().failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_refused_swallowed_or_rewritten_with_its_properties() {
    let plugin = plugin(UNRULY, options(""));
    let broker = house(&plugin).await;
    let mut peer = client_with(&broker, connect("c").username("ada")).await;
    peer.subscribe("#", AtLeastOnce).await;

    peer.send(publish("refused").qos(AtLeastOnce, 1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    peer.send(publish("swallowed").qos(AtLeastOnce, 2)).await;
    assert_eq!(peer.expect_puback(2).await.reason, ReasonCode::Success);
    peer.publish(publish("who")).await;
    peer.receive_text(r#""c" Some("ada") None"#).await;

    let all = publish("all")
        .payload("x")
        .property(Property::PayloadFormatIndicator(true))
        .property(Property::MessageExpiryInterval(60))
        .property(Property::ContentType("text/plain"))
        .property(Property::ResponseTopic("answers"))
        .property(Property::CorrelationData(b"7"))
        .user_property("a", "1");
    peer.publish(all).await;
    let received = peer.receive_text("x").await;
    let properties = received.properties();
    assert_eq!(properties.payload_format_is_utf8(), Some(true));
    assert_eq!(properties.message_expiry_interval_s(), Some(60));
    assert_eq!(properties.content_type(), Some("text/plain"));
    assert_eq!(properties.response_topic(), Some("answers"));
    assert_eq!(properties.correlation_data(), Some(&b"7"[..]));
    assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1"), ("seen", "yes")]);
    assert_eq!(plugin.figures().failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn logins_are_admitted_refused_and_left_to_others() {
    let broker = house(&plugin(UNRULY, options(""))).await;
    client_with(&broker, connect("known").username("u").password("secret")).await;
    client(&broker, "anybody").await;
    let mut peer = visitor(&broker);
    peer.send(connect("known").username("u").password("guess")).await;
    let connack = peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    assert_eq!(connack.properties().reason_string(), Some("wrong word"));
}

#[tokio::test(start_paused = true)]
async fn clients_are_admitted_on_the_terms_of_the_plug_in() {
    let broker = house(&plugin(UNRULY, options(""))).await;
    let mut peer = visitor(&broker);
    let connack = peer.connect(connect("short").keep_alive_s(60).session_expiry_s(600)).await;
    assert_eq!(connack.properties().server_keep_alive_s(), Some(7));
    assert_eq!(connack.properties().session_expiry_interval_s(), Some(9));
    let mut peer = visitor(&broker);
    peer.send(connect("banned")).await;
    peer.expect_refusal(ReasonCode::Banned).await;
    let mut peer = visitor(&broker);
    peer.send(connect("nonsense")).await;
    peer.expect_refusal(ReasonCode::ImplementationSpecificError).await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_refused_and_changed() {
    let broker = house(&plugin(UNRULY, options(""))).await;
    let mut peer = client(&broker, "c").await;
    let filters = ["refused", "lower", "kept", "nonsense", "plain"];
    let request = filters.iter().fold(subscribe(1), |request, filter| request.filter(filter, AtLeastOnce));
    let granted = peer.subscribe_with(request).await.reasons;
    let expected = [
        ReasonCode::NotAuthorized,
        ReasonCode::GRANTED_QOS_0,
        ReasonCode::GrantedQoS1,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::GrantedQoS1,
    ];
    assert_eq!(granted, expected);
    assert_eq!(peer.unsubscribe("kept").await.reasons, [ReasonCode::ImplementationSpecificError]);
    assert_eq!(peer.unsubscribe("plain").await.reasons, [ReasonCode::Success]);
}

#[tokio::test(start_paused = true)]
async fn wills_are_rewritten_and_withheld() {
    let broker = house(&plugin(UNRULY, options(""))).await;
    let mut watcher = client(&broker, "watcher").await;
    watcher.subscribe("#", AtMostOnce).await;
    for client_id in ["withheld", "other"] {
        client_with(&broker, connect(client_id).will(will(client_id, "gone"))).await.cut();
    }
    assert_eq!(watcher.receive_text("rewritten").await.topic, "other");
    watcher.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_in_the_sys_tree() {
    let plugin = plugin(UNRULY, options(""));
    let mut settings = Settings::default();
    settings.sys.interval = Some(Duration::from_secs(1));
    let builder = Broker::builder().settings(settings).hook(plugin.clone());
    let broker = builder.start().await.expect("nothing has to be bound");
    let mut peer = client(&broker, "c").await;
    peer.publish(publish("trap")).await;
    peer.subscribe("$SYS/broker/plugins/guest/traps", AtMostOnce).await;
    loop {
        if peer.receive().await.text() == "1" {
            break;
        }
    }
}
