//! The client against a scripted server in memory, with the clock under control.

mod scripted;

use std::time::Duration;

use mqtt_client::{
    Client, ClientError, ConnectError, PropertiesBuf, Publication, QoS, ReasonCode, Status,
    SubscriptionOptions, Version, Will,
};
use mqtt_testkit::{Peer, puback, pubcomp, publish, pubrec, raw};

use scripted::{connack, connected, scripted, suback};

#[tokio::test(start_paused = true)]
async fn connecting_works_in_every_version() {
    for version in Version::ALL {
        let (options, mut server) = scripted(version);
        let (client, _peer) = tokio::join!(Client::connect(options), server.admit(false));
        let (_, welcome) = client.expect("admitted");
        assert_eq!((welcome.session_present, welcome.client_id.as_str()), (false, "c"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_its_reason() {
    let (options, mut server) = scripted(Version::V5);
    let (client, _) = tokio::join!(Client::connect(options), async {
        let mut peer = server.accept().await;
        peer.send(connack(Version::V5, false, ReasonCode::NotAuthorized as u8)).await;
        peer
    });
    let Err(ConnectError::Refused { reason, .. }) = client else { panic!("it was refused") };
    assert_eq!(reason, ReasonCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let (options, mut server) = scripted(Version::V5);
    let (client, _peer) = tokio::join!(Client::connect(options), server.accept());
    assert!(matches!(client, Err(ConnectError::TimedOut)));
}

/// [MQTT-3.2.2-4]: session present though a clean start was asked is the server's mistake.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_4_a_session_that_nobody_asked_for_ends_the_attempt() {
    let (options, mut server) = scripted(Version::V5);
    let (client, _peer) = tokio::join!(Client::connect(options), server.admit(true));
    assert!(matches!(client, Err(ConnectError::Violation(_))));
}

/// [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]: each quality of service resolves with its own answer.
#[tokio::test(start_paused = true)]
async fn publishing_resolves_when_the_server_has_acknowledged() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let publication = |qos| Publication::new("t", "x").qos(qos);
    assert_eq!(client.publish(publication(QoS::AtMostOnce)).await, Ok(ReasonCode::Success));
    assert_eq!(peer.expect_publish().await.packet_id, 0);

    let once = client.publish_nowait(publication(QoS::AtLeastOnce)).await.expect("accepted");
    assert_eq!(peer.expect_publish().await.packet_id, 1);
    peer.send(puback(1).reason(ReasonCode::NoMatchingSubscribers)).await;
    assert_eq!(once.wait().await, Ok(ReasonCode::NoMatchingSubscribers));

    let exactly = client.publish_nowait(publication(QoS::ExactlyOnce)).await.expect("accepted");
    assert_eq!(peer.expect_publish().await.packet_id, 2);
    peer.send(pubrec(2)).await;
    peer.expect_pubrel(2).await;
    peer.send(pubcomp(2)).await;
    assert_eq!(exactly.wait().await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_topic_is_refused_before_anything_is_sent() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let refused = client.publish(Publication::new("a/#", "x")).await;
    assert_eq!(refused, Err(ClientError::InvalidTopic));
    let refused = client.subscribe_one("a/#/b", QoS::AtMostOnce).await;
    assert_eq!(refused.err(), Some(ClientError::InvalidTopic));
    peer.expect_silence_for(Duration::from_secs(10)).await;
}

/// [MQTT-4.4.0-1] [MQTT-3.3.1-1]: what was not acknowledged is sent again on the next connection, with DUP.
#[tokio::test(start_paused = true)]
async fn mqtt_4_4_0_1_a_message_survives_a_lost_connection() {
    let (client, mut peer, mut server) = connected(|options| options.resume(100)).await;
    let publication = Publication::new("t", "x").qos(QoS::AtLeastOnce);
    let pending = client.publish_nowait(publication).await.expect("accepted");
    assert!(!peer.expect_publish().await.dup);
    peer.cut();
    let mut peer = server.admit(true).await;
    let again = peer.expect_publish().await;
    assert!(again.dup);
    assert_eq!(again.packet_id, 1);
    peer.send(puback(1)).await;
    assert_eq!(pending.wait().await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_session_repeats_qos_1_and_reports_qos_2() {
    let (client, mut peer, mut server) = connected(|options| options.resume(100)).await;
    let publication = |qos| Publication::new("t", "x").qos(qos);
    let once = client.publish_nowait(publication(QoS::AtLeastOnce)).await.expect("accepted");
    let exactly = client.publish_nowait(publication(QoS::ExactlyOnce)).await.expect("accepted");
    peer.expect_publish().await;
    peer.expect_publish().await;
    peer.cut();
    let mut peer = server.admit(false).await;
    assert_eq!(exactly.wait().await, Err(ClientError::SessionLost));
    let again = peer.expect_publish().await;
    assert!(!again.dup, "it is a new message to a new session");
    peer.send(puback(again.packet_id)).await;
    assert_eq!(once.wait().await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn requests_between_two_connections_wait_for_the_next_one() {
    let (client, peer, mut server) = connected(|options| options.resume(100)).await;
    peer.cut();
    client
        .status()
        .wait_for(|status| matches!(status, Status::Reconnecting { .. }))
        .await
        .expect("it goes on");
    let serve = async {
        let mut peer = server.admit(true).await;
        suback(&mut peer, 1).await;
        let unsubscribe = peer.expect_packet().await;
        let &[0xA2, _, high, low, ..] = unsubscribe.bytes() else { panic!("unexpected {unsubscribe:?}") };
        peer.send(raw(0xB0).byte(high).byte(low).properties(&[]).byte(0).finish()).await;
        peer
    };
    let (subscribed, unsubscribed, _peer) = tokio::join!(
        client.subscribe_one("a/+", QoS::AtLeastOnce),
        client.unsubscribe(&["b"], PropertiesBuf::new()),
        serve
    );
    let _subscription = subscribed.expect("granted");
    assert_eq!(unsubscribed.expect("answered"), [ReasonCode::Success]);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_between_two_connections_are_refused_at_once() {
    let (client, peer, server) = connected(|options| options.resume(100)).await;
    peer.cut();
    drop(server);
    client
        .status()
        .wait_for(|status| matches!(status, Status::Reconnecting { .. }))
        .await
        .expect("it goes on");
    let ask =
        || tokio::time::timeout(Duration::from_secs(1), client.unsubscribe(&["b"], PropertiesBuf::new()));
    let answers = futures_util::future::join_all((0..65).map(|_| ask())).await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(answers, [Err(ClientError::BufferFull)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_gets_its_messages_and_is_made_again() {
    let (client, mut peer, mut server) = connected(|options| options).await;
    let (subscription, ()) =
        tokio::join!(client.subscribe_one("a/+", QoS::AtLeastOnce), suback(&mut peer, 1));
    let mut subscription = subscription.expect("granted");
    peer.send(publish("a/b").payload("1").qos1(9)).await;
    let message = subscription.recv().await.expect("a message");
    assert_eq!((message.topic.as_str(), message.payload.as_slice()), ("a/b", &b"1"[..]));
    peer.expect_puback(9).await;
    peer.cut();
    let mut peer = server.admit(false).await;
    suback(&mut peer, 1).await;
    peer.send(publish("a/c").payload("2")).await;
    assert_eq!(subscription.recv().await.expect("a message").payload, b"2");
}

/// A full subscription holds the server up; nothing is dropped, and nothing is acknowledged too early.
#[tokio::test(start_paused = true)]
async fn a_full_subscription_stops_the_reading() {
    let (client, mut peer, _server) = connected(|mut options| {
        options.incoming_max = 2;
        options
    })
    .await;
    let (subscription, ()) = tokio::join!(client.subscribe_one("t", QoS::AtLeastOnce), suback(&mut peer, 1));
    let mut subscription = subscription.expect("granted");
    for id in 1..=4 {
        peer.send(publish("t").payload(id.to_string()).qos1(id)).await;
    }
    peer.expect_puback(1).await;
    peer.expect_puback(2).await;
    peer.expect_silence_for(Duration::from_secs(10)).await;
    for id in 1..=4u16 {
        let message = subscription.recv().await.expect("a message");
        assert_eq!(message.payload, id.to_string().as_bytes());
    }
    peer.expect_puback(3).await;
    peer.expect_puback(4).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_subscription_unsubscribes() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let (subscription, ()) = tokio::join!(client.subscribe_one("t", QoS::AtMostOnce), suback(&mut peer, 0));
    drop(subscription.expect("granted"));
    assert_eq!(peer.expect_packet().await.bytes()[0], 0xA2);
}

#[tokio::test(start_paused = true)]
async fn the_answer_for_each_filter_comes_back() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let options = SubscriptionOptions::default();
    let filters = [("a", options)];
    let (answer, ()) =
        tokio::join!(client.subscribe(&filters, PropertiesBuf::new()), suback(&mut peer, 0x87));
    assert_eq!(answer.expect("answered").1, [ReasonCode::NotAuthorized]);
}

/// [MQTT-3.1.2-20]: silence is filled with PINGREQ; a server that does not answer is given up.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_20_an_idle_client_pings_and_notices_a_dead_server() {
    let (client, mut peer, mut server) = connected(|mut options| {
        options.keep_alive_s = 10;
        options
    })
    .await;
    let start = tokio::time::Instant::now();
    for pinged_after_s in [10, 20] {
        peer.expect_silence_for(Duration::from_secs(9)).await;
        peer.expect_bytes(&[0xC0, 0]).await;
        assert_eq!(start.elapsed().as_secs(), pinged_after_s);
        if pinged_after_s == 10 {
            peer.send(raw(0xD0).finish()).await;
        }
    }
    let mut status = client.status();
    let _peer = server.admit(false).await;
    assert_eq!(start.elapsed().as_secs(), 25, "one and a half intervals after the last sign of life");
    status.wait_for(|status| matches!(status, Status::Connected { .. })).await.expect("connected again");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_the_session_away_is_not_bothered_again() {
    let (client, mut peer, mut server) = connected(|options| options).await;
    peer.send(mqtt_testkit::disconnect(ReasonCode::SessionTakenOver)).await;
    let mut status = client.status();
    let ended = status.wait_for(|status| matches!(status, Status::Ended { .. })).await.expect("told");
    assert!(format!("{:?}", *ended).contains("taken over"), "{:?}", *ended);
    drop(ended);
    assert!(server.connections.try_recv().is_err());
    assert_eq!(client.publish(Publication::new("t", "x")).await, Err(ClientError::Closed));
}

#[tokio::test(start_paused = true)]
async fn disconnecting_sends_what_waits_first() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let pending = client.publish_nowait(Publication::new("t", "x").qos(QoS::AtLeastOnce)).await;
    let leaving = tokio::spawn({
        let client = client.clone();
        async move { client.disconnect(ReasonCode::Success).await }
    });
    peer.expect_publish().await;
    peer.expect_silence_for(Duration::from_secs(1)).await;
    peer.send(puback(1)).await;
    peer.expect_disconnect(ReasonCode::Success).await;
    peer.cut();
    assert_eq!(leaving.await.expect("no panic"), Ok(()));
    assert_eq!(pending.expect("accepted").wait().await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_request_finds_its_response_by_correlation() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let publication = Publication::new("square", "3").expecting("answers/c", b"7").expect("short");
    let request = client.request(publication, Duration::from_secs(5));
    let server = async {
        suback(&mut peer, 1).await;
        let request = peer.expect_publish().await;
        assert_eq!(request.properties().response_topic(), Some("answers/c"));
        for (correlation, payload) in [(&b"6"[..], "4"), (&b"7"[..], "9")] {
            let property = mqtt_client::Property::CorrelationData(correlation);
            peer.send(publish("answers/c").payload(payload).property(property)).await;
        }
    };
    let (response, ()) = tokio::join!(request, server);
    assert_eq!(response.expect("answered").payload, b"9");
}

#[tokio::test(start_paused = true)]
async fn requests_choose_a_topic_of_their_own_each_and_are_answered_there() {
    let (client, mut peer, _server) = connected(|options| options.client_id("asker")).await;
    for number in 0..2 {
        let request = client.request(Publication::new("square", "3"), Duration::from_secs(5));
        let topic = format!("response/asker/{number}");
        let server = async {
            suback(&mut peer, 1).await;
            let request = peer.expect_publish().await;
            let asked = request.properties();
            assert_eq!(asked.response_topic(), Some(&*topic));
            let correlation = mqtt_client::Property::CorrelationData(asked.correlation_data().expect("some"));
            peer.send(publish(&topic).payload("9").property(correlation)).await;
        };
        let (response, ()) = tokio::join!(request, server);
        assert_eq!(response.expect("answered").payload, b"9");
        let unsubscribed = peer.expect_packet().await;
        assert!(matches!(unsubscribed.packet(), mqtt_codec::Packet::Unsubscribe(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_takes_or_answers_is_an_error() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let asking = Publication::new("square", "3").qos(QoS::AtLeastOnce);
    let server = async {
        suback(&mut peer, 1).await;
        let id = peer.expect_publish().await.packet_id;
        peer.send(puback(id).reason(ReasonCode::NoMatchingSubscribers)).await;
    };
    let (refused, ()) = tokio::join!(client.request(asking.clone(), Duration::from_secs(5)), server);
    assert_eq!(refused.map(drop), Err(ClientError::Refused(ReasonCode::NoMatchingSubscribers)));
    let late = client.request(Publication::new("square", "3"), Duration::from_secs(5));
    assert_eq!(late.await.map(drop), Err(ClientError::TimedOut));
}

/// [MQTT-3.1.2-9] [MQTT-3.1.3-1]: will, user name and password stand in the CONNECT in their order.
#[tokio::test(start_paused = true)]
async fn the_connect_says_what_the_options_say() {
    let (mut options, mut server) = scripted(Version::V3_1_1);
    options = options.login("user", "word");
    options.keep_alive_s = 7;
    options.will = Some(Will {
        topic: "w".into(),
        payload: b"bye".to_vec(),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: PropertiesBuf::new(),
    });
    let attempt = tokio::spawn(Client::connect(options));
    let mut peer = Peer::new("server", server.connections.recv().await.expect("a connection"));
    let expected = raw(0x10).text("MQTT").byte(4).byte(0b1110_1110).u16(7).text("c").text("w").text("bye");
    peer.expect_bytes(&expected.text("user").text("word").finish()).await;
    peer.send(connack(Version::V3_1_1, false, 0)).await;
    attempt.await.expect("no panic").expect("admitted");
}

/// Two clients with one identifier, or a message that a server never takes, must not make a busy loop.
#[tokio::test(start_paused = true)]
async fn connections_that_do_not_last_make_the_pauses_grow() {
    let (_client, mut peer, mut server) = connected(|options| options).await;
    let start = tokio::time::Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let before = start.elapsed();
        peer.cut();
        peer = server.admit(true).await;
        pauses.push(start.elapsed() - before);
    }
    assert!(pauses[0] < Duration::from_millis(10), "the first attempt comes at once: {pauses:?}");
    // Doubled each time and at most halved by chance, so two steps always show.
    assert!(pauses[5] > pauses[3] && pauses[3] > pauses[1], "{pauses:?}");
    assert!(pauses[5] > Duration::from_secs(3), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_pubcomp_does_not_turn_success_into_an_error() {
    let (client, mut peer, mut server) = connected(|options| options.resume(100)).await;
    let publication = Publication::new("t", "x").qos(QoS::ExactlyOnce);
    let pending = client.publish_nowait(publication).await.expect("accepted");
    let id = peer.expect_publish().await.packet_id;
    peer.send(pubrec(id)).await;
    assert_eq!(peer.expect_packet().await.bytes()[0], 0x62);
    peer.cut();
    let mut peer = server.admit(true).await;
    assert_eq!(peer.expect_packet().await.bytes()[0], 0x62);
    peer.send(raw(0x70).u16(id).byte(0x92).finish()).await;
    assert_eq!(pending.wait().await, Ok(ReasonCode::Success));
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_is_an_error() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let (answer, ()) = tokio::join!(client.subscribe_one("a", QoS::AtMostOnce), suback(&mut peer, 0x87));
    assert_eq!(answer.err(), Some(ClientError::Refused(ReasonCode::NotAuthorized)));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_offer_is_not_sent() {
    let (options, mut server) = scripted(Version::V5);
    let limited = async {
        let mut peer = server.accept().await;
        // Maximum QoS 1, Retain Available 0.
        peer.send(raw(0x20).byte(0).byte(0).properties(&[0x24, 1, 0x25, 0]).finish()).await;
        peer
    };
    let (client, mut peer) = tokio::join!(Client::connect(options), limited);
    let client = client.expect("admitted").0;
    let exactly = Publication::new("t", "x").qos(QoS::ExactlyOnce);
    assert_eq!(client.publish(exactly).await, Err(ClientError::NotOffered));
    assert_eq!(client.publish(Publication::new("t", "x").retain()).await, Err(ClientError::NotOffered));
    assert_eq!(client.publish(Publication::new("t", "y")).await, Ok(ReasonCode::Success));
    assert_eq!(peer.expect_publish().await.payload, b"y");
}

/// A 3.1 CONNACK cannot say whether the session is there, so what was under way goes on under its identifier.
#[tokio::test(start_paused = true)]
async fn a_3_1_session_goes_on_without_session_present() {
    let (options, mut server) = scripted(Version::V3_1);
    let (client, peer) = tokio::join!(Client::connect(options.resume(0)), server.admit(false));
    let (client, mut peer) = (client.expect("admitted").0, peer);
    let publication = Publication::new("t", "x").qos(QoS::ExactlyOnce);
    let pending = client.publish_nowait(publication).await.expect("accepted");
    let id = peer.expect_publish().await.packet_id;
    peer.cut();
    let mut peer = server.admit(false).await;
    let again = peer.expect_publish().await;
    assert!(again.dup);
    assert_eq!(again.packet_id, id);
    peer.send(pubrec(id)).await;
    assert_eq!(peer.expect_packet().await.bytes()[0], 0x62);
    peer.send(pubcomp(id)).await;
    assert_eq!(pending.wait().await, Ok(ReasonCode::Success));
}
