//! What a client owes its application beyond sending and receiving: acknowledgements in its hands, a bounded buffer, an
//! end where trying again is vain, messages for the right subscription, and no waiting for itself.

mod scripted;

use std::time::Duration;

use futures_util::StreamExt as _;
use mqtt_client::{
    AliasUse, Authenticator, Client, ClientError, ConnectError, Exchange, Overflow, PropertiesBuf, Property,
    Publication, QoS, ReasonCode, Status, Subscription, SubscriptionOptions, Version,
};
use mqtt_testkit::{Peer, auth, disconnect, puback, publish, raw};
use tokio::time::sleep;

use scripted::{connack, connected, scripted, suback};

async fn subscribed(client: &Client, peer: &mut Peer, filter: &str) -> Subscription {
    let (subscription, ()) = tokio::join!(client.subscribe_one(filter, QoS::ExactlyOnce), suback(peer, 2));
    subscription.expect("granted")
}

fn identified(topic: &str, payload: &str, identifier: u32) -> mqtt_testkit::PublishBuilder {
    publish(topic).payload(payload).property(Property::SubscriptionIdentifier(identifier))
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3]: whatever the order in which the application is done with them.
#[tokio::test(start_paused = true)]
async fn mqtt_4_6_0_2_manual_acknowledgements_leave_in_the_order_of_the_messages() {
    let (client, mut peer, _server) = connected(|options| options.acknowledge_manually()).await;
    let mut subscription = subscribed(&client, &mut peer, "t").await;
    peer.send(publish("t").payload("1").qos1(1)).await;
    peer.send(publish("t").payload("2").qos2(2)).await;
    peer.send(publish("t").payload("3").qos1(3)).await;
    peer.send(publish("t").payload("4").qos1(4)).await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        messages.push(subscription.recv().await.expect("a message"));
    }
    messages[2].acknowledge_with(ReasonCode::QuotaExceeded);
    messages[1].acknowledge();
    peer.expect_silence_for(Duration::from_secs(5)).await;
    messages[0].clone().acknowledge();
    messages[0].acknowledge_with(ReasonCode::NotAuthorized); // the first word counts
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::Success);
    peer.expect_pubrec(2).await;
    assert_eq!(peer.expect_puback(3).await.reason, ReasonCode::QuotaExceeded);
    peer.expect_silence_for(Duration::from_secs(5)).await;
    messages[3].acknowledge();
    peer.expect_puback(4).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_dropped_without_acknowledgement_comes_again_and_holds_nobody_up() {
    let resume = |options: mqtt_client::Options| options.resume(100).acknowledge_manually();
    let (client, mut peer, mut server) = connected(resume).await;
    let mut subscription = subscribed(&client, &mut peer, "t").await;
    for id in [1, 2] {
        peer.send(publish("t").payload("x").qos1(id)).await;
    }
    drop(subscription.recv().await.expect("a message"));
    let kept = subscription.recv().await.expect("a message");
    kept.acknowledge();
    peer.expect_puback(2).await;
    peer.cut();
    let mut peer = server.admit(true).await;
    kept.acknowledge(); // of the connection before: nobody is told
    peer.send(publish("t").payload("x").qos1(1).dup()).await;
    let again = subscription.recv().await.expect("a message");
    assert!(again.dup);
    again.acknowledge();
    peer.expect_puback(1).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledging_does_nothing_where_the_client_does_it() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let mut subscription = subscribed(&client, &mut peer, "t").await;
    peer.send(publish("t").payload("x").qos1(1)).await;
    peer.expect_puback(1).await;
    subscription.recv().await.expect("a message").acknowledge();
    peer.expect_silence_for(Duration::from_secs(5)).await;
}

/// Publishes while not connected; what becomes of each message.
async fn buffered(
    messages: usize,
    bytes: usize,
    overflow: Overflow,
    texts: &[&str],
) -> (Vec<Outcome>, Vec<String>) {
    let (client, peer, mut server) =
        connected(|options| options.resume(9).buffer(messages, bytes, overflow)).await;
    peer.cut();
    let mut status = client.status();
    status.wait_for(|status| matches!(status, Status::Reconnecting { .. })).await.expect("told");
    let mut waiting = Vec::new();
    for text in texts {
        let publication = Publication::new("t", *text).qos(QoS::AtLeastOnce);
        let client = client.clone();
        waiting.push(tokio::spawn(async move { client.publish(publication).await }));
        sleep(Duration::from_millis(1)).await;
    }
    let mut peer = server.admit(true).await;
    let mut arrived = Vec::new();
    for id in 1.. {
        let Ok(got) = tokio::time::timeout(Duration::from_secs(1), peer.expect_publish()).await else {
            break;
        };
        arrived.push(String::from_utf8(got.payload).expect("text"));
        peer.send(puback(id)).await;
    }
    let mut outcomes = Vec::new();
    for waiting in waiting {
        outcomes.push(waiting.await.expect("no panic"));
    }
    (outcomes, arrived)
}

type Outcome = Result<ReasonCode, ClientError>;

#[tokio::test(start_paused = true)]
async fn a_buffer_that_is_full_does_what_was_chosen() {
    const DONE: Outcome = Ok(ReasonCode::Success);
    const FULL: Outcome = Err(ClientError::BufferFull);
    let texts = ["1", "2", "3"];
    let (outcomes, arrived) = buffered(2, usize::MAX, Overflow::RefuseNewest, &texts).await;
    assert_eq!((&outcomes[..], &arrived[..]), (&[DONE, DONE, FULL][..], &["1".into(), "2".into()][..]));
    let (outcomes, arrived) = buffered(2, usize::MAX, Overflow::DropOldest, &texts).await;
    assert_eq!((&outcomes[..], &arrived[..]), (&[FULL, DONE, DONE][..], &["2".into(), "3".into()][..]));
    let (outcomes, arrived) = buffered(2, usize::MAX, Overflow::Wait, &texts).await;
    assert_eq!((&outcomes[..], arrived.len()), (&[DONE, DONE, DONE][..], 3));
}

#[tokio::test(start_paused = true)]
async fn a_buffer_counts_bytes_as_well() {
    let long = "x".repeat(5000);
    let texts = [&*long, &long, "short"];
    let (outcomes, arrived) = buffered(100, 8000, Overflow::RefuseNewest, &texts).await;
    assert_eq!(outcomes, [Ok(ReasonCode::Success), Err(ClientError::BufferFull), Ok(ReasonCode::Success)]);
    assert_eq!(arrived.len(), 2);
    // One that is larger than everything that may wait goes alone.
    let (outcomes, _) = buffered(100, 100, Overflow::DropOldest, &[&long]).await;
    assert_eq!(outcomes, [Ok(ReasonCode::Success)]);
}

/// [MQTT-3.3.4-3]: overlapping subscriptions each get their own copy, and nothing of the other's.
#[tokio::test(start_paused = true)]
async fn messages_go_to_the_subscription_that_they_name() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let mut wide = subscribed(&client, &mut peer, "a/#").await;
    let mut narrow = subscribed(&client, &mut peer, "a/b").await;
    peer.send(identified("a/b", "for the wide one", 1)).await;
    peer.send(identified("a/b", "for the narrow one", 2)).await;
    peer.send(identified("a/b", "for both", 1).property(Property::SubscriptionIdentifier(2))).await;
    peer.send(identified("a/b", "of an earlier process", 77)).await;
    peer.send(publish("a/b").payload("without a name")).await;
    for expected in ["for the wide one", "for both", "of an earlier process", "without a name"] {
        assert_eq!(wide.recv().await.expect("a message").text(), expected);
    }
    for expected in ["for the narrow one", "for both", "of an earlier process", "without a name"] {
        assert_eq!(narrow.recv().await.expect("a message").text(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_filter_is_one_subscription_to_the_server_and_two_to_the_application() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let mut first = subscribed(&client, &mut peer, "t").await;
    let mut second = subscribed(&client, &mut peer, "t").await;
    peer.send(identified("t", "x", 2)).await;
    for subscription in [&mut first, &mut second] {
        assert_eq!(subscription.recv().await.expect("a message").text(), "x");
    }
    drop(second);
    sleep(Duration::from_millis(1)).await;
    peer.send(identified("t", "y", 2)).await;
    assert_eq!(first.recv().await.expect("a message").text(), "y");
}

#[tokio::test(start_paused = true)]
async fn an_identifier_of_the_application_is_left_as_it_is() {
    let (client, mut peer, _server) = connected(|options| options).await;
    let mut properties = PropertiesBuf::new();
    properties.push(&Property::SubscriptionIdentifier(1)).expect("a property");
    let filters = [("own", SubscriptionOptions::default())];
    let (own, ()) = tokio::join!(client.subscribe(&filters, properties), suback(&mut peer, 0));
    let (mut own, _) = own.expect("granted");
    let mut other = subscribed(&client, &mut peer, "#").await;
    peer.send(identified("own", "x", 1)).await;
    assert_eq!(own.recv().await.expect("a message").text(), "x");
    peer.send(identified("own", "y", 2)).await;
    assert_eq!(other.recv().await.expect("a message").text(), "y", "it has another identifier");
}

/// A server that knows no identifiers is sent none (section 3.2.2.3.12).
#[tokio::test(start_paused = true)]
async fn a_server_without_subscription_identifiers_is_sent_none() {
    let (options, mut server) = scripted(Version::V5);
    let limited = async {
        let mut peer = server.accept().await;
        peer.send(raw(0x20).byte(0).byte(0).properties(&[0x29, 0]).finish()).await;
        peer
    };
    let (client, mut peer) = tokio::join!(Client::connect(options), limited);
    let client = client.expect("admitted").0;
    let subscribe = async {
        let packet = peer.expect_packet().await;
        let expected = raw(0x82).u16(1).properties(&[]).text("t").byte(0).finish();
        assert_eq!(packet.bytes(), expected);
        peer.send(raw(0x90).u16(1).properties(&[]).byte(0).finish()).await;
    };
    let (subscription, ()) = tokio::join!(client.subscribe_one("t", QoS::AtMostOnce), subscribe);
    drop(subscription.expect("granted"));
}

/// A task that publishes at QoS 1 between two messages waits for an answer that comes behind messages for itself.
#[tokio::test(start_paused = true)]
async fn a_task_may_await_its_publication_while_its_own_mailbox_is_full() {
    let (client, mut peer, _server) = connected(|mut options| {
        options.incoming_max = 2;
        options
    })
    .await;
    let mut subscription = subscribed(&client, &mut peer, "t").await;
    for id in 1..=5 {
        peer.send(publish("t").payload(id.to_string()).qos1(id)).await;
    }
    for number in 1..=3 {
        peer.send(publish("t").payload(format!("QoS 0: {number}"))).await;
    }
    sleep(Duration::from_secs(1)).await;
    let published = client.publish(Publication::new("out", "x").qos(QoS::AtLeastOnce));
    let server = async {
        for id in [1, 2] {
            peer.expect_puback(id).await;
        }
        let publish = peer.expect_publish().await;
        peer.send(puback(publish.packet_id)).await;
    };
    let (published, ()) = tokio::join!(published, server);
    assert_eq!(published, Ok(ReasonCode::Success));
    let mut got = Vec::new();
    for _ in 0..7 {
        got.push(subscription.recv().await.expect("a message").text().into_owned());
    }
    assert_eq!(got, ["1", "2", "3", "4", "5", "QoS 0: 1", "QoS 0: 2"]);
    assert_eq!(client.dropped(), 1, "of QoS 0, more than fit into a subscription");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_ends_the_reconnecting_and_a_passing_one_does_not() {
    for (reason, is_permanent) in [
        (ReasonCode::NotAuthorized, true),
        (ReasonCode::BadUserNameOrPassword, true),
        (ReasonCode::Banned, true),
        (ReasonCode::ServerMoved, true),
        (ReasonCode::ServerUnavailable, false),
        (ReasonCode::ServerBusy, false),
        (ReasonCode::ConnectionRateExceeded, false),
    ] {
        let (client, peer, mut server) = connected(|options| options).await;
        let pending = client.publish_nowait(Publication::new("t", "x").qos(QoS::AtLeastOnce)).await;
        peer.cut();
        let mut refusing = server.accept().await;
        refusing.send(connack(Version::V5, false, reason as u8)).await;
        let mut status = client.status();
        if is_permanent {
            let ended = status.wait_for(|status| matches!(status, Status::Ended { .. })).await.expect("told");
            assert!(format!("{:?}", *ended).contains("refused"), "{:?}", *ended);
            drop(ended);
            assert_eq!(pending.expect("accepted").wait().await, Err(ClientError::Closed));
            assert!(server.connections.try_recv().is_err(), "{reason:?}");
        } else {
            let mut peer = server.admit(false).await;
            let publish = peer.expect_publish().await;
            peer.send(puback(publish.packet_id)).await;
            assert_eq!(pending.expect("accepted").wait().await, Ok(ReasonCode::Success));
        }
    }
}

/// [MQTT-3.2.2-17]: as many aliases as the server takes.
#[tokio::test(start_paused = true)]
async fn topics_get_aliases_as_chosen() {
    for (aliases, expected) in [
        (AliasUse::Never, [("a", 0), ("b", 0), ("b", 0), ("a", 0)]),
        (AliasUse::FirstCome, [("a", 1), ("b", 0), ("b", 0), ("", 1)]),
        (AliasUse::Recent, [("a", 1), ("b", 1), ("", 1), ("a", 1)]),
    ] {
        let (mut options, mut server) = scripted(Version::V5);
        options.aliases = aliases;
        let limited = async {
            let mut peer = server.accept().await;
            peer.send(raw(0x20).byte(0).byte(0).properties(&[0x22, 0, 1]).finish()).await;
            peer
        };
        let (client, mut peer) = tokio::join!(Client::connect(options), limited);
        let client = client.expect("admitted").0;
        for (topic, expected) in ["a", "b", "b", "a"].into_iter().zip(expected) {
            client.publish(Publication::new(topic, "x")).await.expect("sent");
            let got = peer.expect_publish().await;
            let alias = got.properties().topic_alias().map_or(0, core::num::NonZeroU16::get);
            assert_eq!((got.topic.as_str(), alias), expected, "{aliases:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn aliases_of_the_server_are_understood() {
    let (client, mut peer, _server) = connected(|mut options| {
        options.limits.topic_alias_maximum = 2;
        options
    })
    .await;
    let mut subscription = subscribed(&client, &mut peer, "#").await;
    peer.send(publish("long/name").payload("1").alias(2)).await;
    peer.send(publish("").payload("2").alias(2)).await;
    for text in ["1", "2"] {
        let message = subscription.recv().await.expect("a message");
        assert_eq!((message.topic.as_str(), &*message.text()), ("long/name", text));
    }
    peer.send(publish("").payload("3").alias(3)).await;
    peer.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

/// Says what it is asked for, with one more letter each time.
#[derive(Debug)]
struct Letters;

impl Authenticator for Letters {
    fn method(&self) -> &str {
        "letters"
    }
    fn start(&self) -> Box<dyn Exchange> {
        Box::new(Letters)
    }
}

impl Exchange for Letters {
    fn first(&mut self) -> Option<Vec<u8>> {
        Some(b"a".to_vec())
    }
    fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
        (challenge != b"nonsense").then(|| [challenge, b"a"].concat())
    }
    fn verify(&mut self, last: Option<&[u8]>) -> bool {
        last == Some(b"welcome")
    }
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.1-1]: the exchange before the CONNACK, and anew on the connection.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_3_a_client_answers_challenges_and_proves_itself_anew() {
    let (options, mut server) = scripted(Version::V5);
    let welcome = raw(0x20).byte(0).byte(0).properties(b"\x15\0\x07letters\x16\0\x07welcome").finish();
    let serving = async {
        let mut peer = server.accept().await;
        for challenge in [&b"b"[..], b"c"] {
            peer.send(auth(ReasonCode::ContinueAuthentication).method("letters", challenge)).await;
            let answer = peer.expect_auth().await;
            let expected = [challenge, b"a"].concat();
            assert_eq!(answer.properties().authentication_data(), Some(&*expected));
        }
        peer.send(welcome.clone()).await;
        peer
    };
    let (client, mut peer) = tokio::join!(Client::connect(options.authentication(Letters)), serving);
    let client = client.expect("admitted").0;
    let again = async {
        let begun = peer.expect_auth().await;
        assert_eq!(begun.reason, ReasonCode::ReAuthenticate);
        assert_eq!(begun.properties().authentication_data(), Some(&b"a"[..]));
        peer.send(auth(ReasonCode::ContinueAuthentication).method("letters", b"d")).await;
        assert_eq!(peer.expect_auth().await.properties().authentication_data(), Some(&b"da"[..]));
        peer.send(auth(ReasonCode::Success).method("letters", b"welcome")).await;
    };
    let (proved, ()) = tokio::join!(client.reauthenticate(), again);
    assert_eq!(proved, Ok(()));
    let refused = async {
        peer.expect_auth().await;
        peer.send(disconnect(ReasonCode::NotAuthorized)).await;
    };
    let (proved, ()) = tokio::join!(client.reauthenticate(), refused);
    assert_eq!(proved, Err(ClientError::Refused(ReasonCode::NotAuthorized)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_authenticated_is_left() {
    for last in [&b"\x15\0\x07letters\x16\0\x05wrong"[..], b"\x15\0\x07letters"] {
        let (options, mut server) = scripted(Version::V5);
        let serving = async {
            let mut peer = server.accept().await;
            peer.send(raw(0x20).byte(0).byte(0).properties(last).finish()).await;
            peer
        };
        let (client, _peer) = tokio::join!(Client::connect(options.authentication(Letters)), serving);
        assert!(matches!(client, Err(ConnectError::NotAuthenticated)));
    }
    let (options, mut server) = scripted(Version::V5);
    let serving = async {
        let mut peer = server.accept().await;
        peer.send(auth(ReasonCode::ContinueAuthentication).method("letters", b"nonsense")).await;
        peer
    };
    let (client, _peer) = tokio::join!(Client::connect(options.authentication(Letters)), serving);
    assert!(matches!(client, Err(ConnectError::NotAuthenticated)));
}

#[tokio::test(start_paused = true)]
async fn without_a_method_there_is_nothing_to_prove() {
    let (client, mut peer, _server) = connected(|options| options).await;
    assert_eq!(client.reauthenticate().await, Err(ClientError::NotAuthenticated));
    peer.expect_silence_for(Duration::from_secs(1)).await;
}

/// What the server was not asked for here: subscriptions that it made itself, or that an earlier process has left.
#[tokio::test(start_paused = true)]
async fn a_client_can_listen_without_subscribing() {
    let (client, mut peer, _server) = connected(|options| options).await;
    peer.send(publish("news/1").payload("before anybody listened")).await;
    sleep(Duration::from_millis(1)).await;
    let mut news = client.listen("news/#").await.expect("a filter");
    let mut own = subscribed(&client, &mut peer, "#").await;
    peer.send(publish("news/2").payload("for both")).await;
    peer.send(identified("news/3", "for the one that is named", 1)).await;
    assert_eq!(own.recv().await.expect("a message").text(), "for both");
    assert_eq!(own.recv().await.expect("a message").text(), "for the one that is named");
    for expected in ["before anybody listened", "for both"] {
        assert_eq!(news.next().await.expect("it is a stream as well").text(), expected);
    }
    drop(news);
    peer.expect_silence().await; // there is nothing to unsubscribe
    assert_eq!(client.listen("a#").await.map(drop), Err(ClientError::InvalidTopic));
}
