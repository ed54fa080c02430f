//! Clients inside the program.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mqtt_broker::{
    Access, Answer, Grant, Identity, LocalError, LocalOptions, Login, Publication, Subscribe, Subscription,
};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Property, ReasonCode, RetainHandling};
use mqtt_session::{DropReason, Refusal, Rights};
use mqtt_store::QueueLimits;
use mqtt_testkit::{publish, subscribe};
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;

use crate::harness::{Harness, broker, broker_asking};
use crate::wires::settle;

/// Admits everybody and allows nothing.
#[derive(Debug)]
struct Closed;

impl Access for Closed {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(Ok(Grant::named(login.username))))
    }

    fn publish_rights(&self, _: &Identity, _: TopicName<&str>) -> Rights {
        Rights::NONE
    }

    fn may_subscribe(&self, _: &Identity, _: &TopicFilter<&str>, _: mqtt_codec::QoS) -> bool {
        false
    }
}

fn waiting(subscription: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.try_recv()).map(|message| message.text().into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_local_client_and_a_connected_one_reach_each_other() {
    let house = broker().await;
    let local = house.broker.local();
    let mut inside =
        local.subscribe(Subscribe::to("in/#").qos(ExactlyOnce).identifier(9)).await.expect("allowed");
    let mut peer = house.v5("outside").await;
    peer.subscribe("out/#", ExactlyOnce).await;
    let message = publish("in/a").payload("hello").qos2(1).user_property("k", "v");
    peer.publish(message).await;
    let got = inside.recv().await.expect("a message");
    assert_eq!(
        (got.topic(), got.payload(), got.qos(), got.retain()),
        ("in/a", &b"hello"[..], ExactlyOnce, false)
    );
    assert_eq!(got.subscription_identifier(), Some(9));
    assert_eq!(got.properties().user_properties().next(), Some(("k", "v")));
    let reading = Publication::new("out/b", "21.5").qos(AtLeastOnce).property(&Property::ContentType("text"));
    let published = local.publish(reading).await.expect("published");
    assert!(published.matched && published.reason == ReasonCode::Success);
    let got = peer.receive_text("21.5").await;
    assert_eq!(got.properties().content_type(), Some("text"));
}

#[tokio::test(start_paused = true)]
async fn only_a_privileged_client_passes_access_rules_and_publishes_to_sys() {
    let house = broker_asking(Closed).await;
    let local = house.broker.local();
    let mut own = local.subscribe("$SYS/#").await.expect("no rule applies");
    local.publish(Publication::new("$SYS/weather", "fine")).await.expect("no rule applies");
    assert_eq!(waiting(&mut own), ["fine"]);
    let guest = house.broker.local_as(LocalOptions::new("guest").username("g").unprivileged());
    for topic in ["$SYS/weather", "t"] {
        let refused = guest.publish(Publication::new(topic, "x")).await;
        assert_eq!(refused, Err(LocalError::Refused(ReasonCode::NotAuthorized)), "{topic}");
    }
    assert_eq!(guest.subscribe("t").await.err(), Some(LocalError::Refused(ReasonCode::NotAuthorized)));
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PublishNotAuthorized), 2);
    assert_eq!(house.broker.latest_drops()[0].client_id.as_ref(), "guest");
}

#[tokio::test(start_paused = true)]
async fn options_of_a_local_subscription_are_obeyed() {
    let house = broker().await;
    let local = house.broker.local();
    local.publish(Publication::new("t/kept", "old").retain()).await.expect("kept");
    let mut first = local.subscribe(Subscribe::to("t/#").no_local()).await.expect("allowed");
    assert_eq!(waiting(&mut first), Vec::<String>::new(), "its own retained message is left out as well");
    let other = house.broker.local_as(LocalOptions::new("other"));
    let mut at_subscribe = other.subscribe("t/#").await.expect("allowed");
    assert_eq!(waiting(&mut at_subscribe), ["old"]);
    let new_only = || Subscribe::to("t/#").retain_handling(RetainHandling::SendIfNew);
    assert_eq!(waiting(&mut other.subscribe(new_only()).await.expect("allowed")), Vec::<String>::new());
    let never = Subscribe::to("t/+").retain_handling(RetainHandling::DoNotSend).retain_as_published();
    let mut as_published = other.subscribe(never).await.expect("allowed");
    local.publish(Publication::new("t/kept", "new").retain()).await.expect("kept");
    assert_eq!(waiting(&mut first), Vec::<String>::new());
    let got = at_subscribe.try_recv().expect("a message");
    assert!(!got.retain());
    assert!(as_published.try_recv().expect("a message").retain());
}

#[tokio::test(start_paused = true)]
async fn a_shared_subscription_is_shared_with_connected_members() {
    let house = broker().await;
    let local = house.broker.local();
    let mut inside = local.subscribe(Subscribe::to("$share/g/t").qos(AtLeastOnce)).await.expect("allowed");
    let mut outside = house.v5("outside").await;
    outside.subscribe("$share/g/t", AtLeastOnce).await;
    for number in 0..6 {
        local.publish(Publication::new("t", number.to_string()).qos(AtLeastOnce)).await.expect("published");
    }
    assert_eq!(inside.waiting().0, 3);
    assert_eq!(inside.try_recv().expect("the first").text(), "0");
    drop(inside); // what it did not take goes to the other member
    let mut texts: Vec<String> = Vec::new();
    for _ in 0..5 {
        texts.push(outside.receive().await.text().to_owned());
    }
    texts.sort();
    assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_called_until_the_filter_is_unsubscribed() {
    let house = broker().await;
    let local = house.broker.local();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let call = move |message: mqtt_broker::LocalMessage| {
        assert_ne!(message.payload(), b"boom", "a callback that panics");
        hears.lock().push(message.text().into_owned());
    };
    local.subscribe_each("t", call).await.expect("allowed");
    for text in ["a", "boom", "b"] {
        local.publish(Publication::new("t", text)).await.expect("published");
    }
    settle().await;
    assert_eq!(local.unsubscribe("t"), 1);
    assert_eq!(local.unsubscribe("t"), 0);
    local.publish(Publication::new("t", "c")).await.expect("published");
    settle().await;
    assert_eq!(*heard.lock(), ["a", "b"]);
    assert_eq!(local.filters(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_filter_is_unsubscribed_or_the_broker_stops() {
    let house = broker().await;
    let local = house.broker.local();
    let subscription = local.subscribe("t").await.expect("allowed");
    let stays = local.subscribe("u").await.expect("allowed");
    local.publish(Publication::new("t", "last")).await.expect("published");
    local.unsubscribe("t");
    let texts: Vec<_> = subscription.map(|message| message.text().into_owned()).collect().await;
    assert_eq!(texts, ["last"]);
    house.shut_down().await;
    assert_eq!(stays.collect::<Vec<_>>().await, []);
    assert_eq!(local.subscribe("t").await.err(), Some(LocalError::Stopped));
    assert_eq!(local.publish(Publication::new("t", "x")).await, Err(LocalError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_full_local_mailbox_slows_its_publisher_down_and_loses_nothing() {
    let house = broker().await;
    let mailbox = QueueLimits { messages_max: 8, ..QueueLimits::default() };
    let local = house.broker.local();
    let mut inside = local.subscribe(Subscribe::to("t").mailbox(mailbox)).await.expect("allowed");
    let publisher = house.v5("publisher").await;
    let task = tokio::spawn(async move {
        let mut publisher = publisher;
        for number in 0..100u16 {
            publisher.publish(publish("t").payload(number.to_string())).await;
        }
        publisher
    });
    settle().await;
    assert!(inside.waiting().0 <= 8);
    let mut texts = Vec::new();
    while texts.len() < 100 {
        texts.push(inside.recv().await.expect("all come").text().into_owned());
    }
    assert_eq!(texts, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(inside.dropped(), 0);
    task.await.expect("no panic").leave().await;
}

#[tokio::test(start_paused = true)]
async fn publish_waits_for_a_slow_receiver_and_publish_now_drops_and_counts() {
    let house = broker().await;
    let mailbox = QueueLimits { messages_max: 4, ..QueueLimits::default() };
    let local = house.broker.local();
    let slow = local.subscribe(Subscribe::to("t").qos(AtLeastOnce).mailbox(mailbox)).await.expect("allowed");
    let message = || Publication::new("t", "x").qos(AtLeastOnce);
    for _ in 0..2 {
        local.publish(message()).await.expect("below the budget");
    }
    let before = tokio::time::Instant::now();
    local.publish(message()).await.expect("published");
    assert_eq!(before.elapsed(), Duration::from_secs(10), "it waited until the receiver counted as stalled");
    for _ in 0..3 {
        local.publish_now(message()).expect("published");
    }
    assert_eq!(slow.waiting().0, 4);
    assert_eq!(slow.dropped(), 2);
    assert_eq!(house.broker.metrics().dropped_for(DropReason::QueueFullMessages), 2);
}

async fn answering_client(house: &Harness) -> mqtt_testkit::Peer {
    let mut responder = house.v5("responder").await;
    responder.subscribe_with(subscribe(1).filter("ask", AtLeastOnce)).await;
    responder
}

#[tokio::test(start_paused = true)]
async fn a_request_gets_its_own_response() {
    let house = broker().await;
    let mut responder = answering_client(&house).await;
    let local = house.broker.local();
    let asking = local.clone();
    let ask = tokio::spawn(async move {
        asking.request(Publication::new("ask", "how warm?"), Duration::from_secs(5)).await
    });
    let request = responder.receive_text("how warm?").await;
    let topic = request.properties().response_topic().expect("a response topic").to_owned();
    let correlation = request.properties().correlation_data().expect("correlation data").to_vec();
    responder.publish(publish(&topic).payload("not this").property(Property::CorrelationData(b"?"))).await;
    responder
        .publish(publish(&topic).payload("21.5").property(Property::CorrelationData(&correlation)))
        .await;
    assert_eq!(ask.await.expect("no panic").expect("a response").text(), "21.5");
    let silent = local.request(Publication::new("ask", "again?"), Duration::from_secs(5)).await;
    assert_eq!(silent, Err(LocalError::TimedOut));
    let nobody = local.request(Publication::new("nobody", "there?"), Duration::from_secs(5)).await;
    assert_eq!(nobody, Err(LocalError::Refused(ReasonCode::NoMatchingSubscribers)));
}

#[tokio::test(start_paused = true)]
async fn local_clients_respond_to_each_other() {
    let house = broker().await;
    let (asking, answering) = (house.broker.local(), house.broker.local_as(LocalOptions::new("answering")));
    let mut requests = answering.subscribe("ask").await.expect("allowed");
    tokio::spawn(async move {
        let request = requests.recv().await.expect("a request");
        answering.respond(&request, "yes").await.expect("it named a topic");
    });
    let response = asking.request(Publication::new("ask", "?"), Duration::from_secs(1)).await;
    assert_eq!(response.expect("a response").text(), "yes");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_with_a_typed_error() {
    let house = broker().await;
    let local = house.broker.local();
    for topic in ["", "a/+", "#", "a\0"] {
        assert_eq!(
            local.publish(Publication::new(topic, "")).await,
            Err(LocalError::InvalidTopic),
            "{topic:?}"
        );
    }
    for filter in ["", "a#", "$share//a", "a\0"] {
        assert_eq!(local.subscribe(filter).await.err(), Some(LocalError::InvalidFilter), "{filter:?}");
    }
    let invalid = [
        Subscribe::to("a").identifier(0),
        Subscribe::to("a").identifier(1 << 28),
        Subscribe::to("$share/g/a").no_local(),
    ];
    for subscribe in invalid {
        assert_eq!(local.subscribe(subscribe).await.err(), Some(LocalError::InvalidOptions));
    }
    let nobody = local.publish(Publication::new("a", "").qos(AtLeastOnce)).await.expect("published");
    assert_eq!((nobody.matched, nobody.reason), (false, ReasonCode::NoMatchingSubscribers));
    assert_eq!(
        local.publish(Publication::new("a", "").qos(AtMostOnce)).await.expect("ok").reason,
        ReasonCode::Success
    );
}

#[tokio::test(start_paused = true)]
async fn messages_that_expired_while_they_waited_are_counted_and_not_handed_out() {
    let house = broker().await;
    let local = house.broker.local();
    let mut inside = local.subscribe("t").await.expect("allowed");
    let brief = Publication::new("t", "brief").property(&Property::MessageExpiryInterval(5));
    local.publish(brief).await.expect("published");
    local.publish(Publication::new("t", "lasting")).await.expect("published");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(waiting(&mut inside), ["lasting"]);
    assert_eq!(house.broker.metrics().dropped_for(DropReason::Expired), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_after_a_subscription_comes_once() {
    let house = broker().await;
    let local = house.broker.local();
    local.publish(Publication::new("t", "before").retain()).await.expect("published");
    let mut subscription = local.subscribe("t").await.expect("allowed");
    local.publish(Publication::new("t", "after").retain()).await.expect("published");
    let mut got = Vec::new();
    while let Some(message) = subscription.try_recv() {
        got.push((message.text().into_owned(), message.retain()));
    }
    assert_eq!(got, [("before".to_owned(), true), ("after".to_owned(), false)]);
}
