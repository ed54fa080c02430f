//! Topics that somebody else decides about, and takes time: only the client concerned waits, answers hold as long as they
//! say, and where there is none the answer is no.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mqtt_broker::{
    Access, Action, Answer, Broker, Consulted, Grant, Identity, LocalError, LocalOptions, Login, Publication,
    Question, Unanswered,
};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::{DropReason, Refusal, Rights};
use mqtt_testkit::{Peer, connect, publish, subscribe, will};
use mqtt_topic::{TopicFilter, TopicName};
use tokio::time::{Instant, sleep};

use crate::harness::{Harness, quiet, start};

/// The first level of a topic says what is answered. Nothing below `rule` is asked about.
#[derive(Clone, Debug, Default)]
struct Elsewhere {
    asked: Arc<Mutex<Vec<String>>>,
}

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(60);

impl Access for Elsewhere {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(async move { Ok(Grant::named(login.username)) })
    }

    fn publish_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        if topic.as_str().starts_with("rule") { Rights::ALL } else { Rights::NONE }
    }

    fn open_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        if topic.as_str().starts_with("denied") { Rights::NONE } else { Rights::ALL }
    }

    fn may_subscribe(&self, _: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        filter.filter().starts_with("rule")
    }

    fn consults(&self) -> bool {
        true
    }

    fn is_open(&self, _: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        !filter.filter().starts_with("denied")
    }

    fn consult(&self, question: Question) -> Answer<'static, Consulted> {
        let Question { client, action, topic, qos } = question;
        let said = match action {
            Action::Publish { retain } => {
                format!("{} publishes {topic} {} {retain}", client.client_id, qos as u8)
            }
            Action::Subscribe => format!("{} subscribes {topic} {}", client.client_id, qos as u8),
        };
        self.asked.lock().expect("nobody panics").push(said);
        Box::pin(async move {
            if topic.starts_with("slow") {
                sleep(Duration::from_secs(3)).await;
            }
            let verdict = match &*topic {
                text if text.starts_with("no") => Ok(false),
                text if text.starts_with("down") => Err(Unanswered::Unreachable),
                _ => Ok(true),
            };
            let holds = if topic.starts_with("once") { Duration::ZERO } else { HOLDS };
            Consulted { verdict, until: (Instant::now() + holds).into_std() }
        })
    }
}

impl Elsewhere {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panics"))
    }
}

async fn house() -> (Harness, Elsewhere) {
    let elsewhere = Elsewhere::default();
    let builder = Broker::builder().settings(quiet(|_| ())).access(Arc::new(elsewhere.clone()));
    (start(builder).await, elsewhere)
}

async fn puback(peer: &mut Peer, topic: &str) -> ReasonCode {
    peer.send(publish(topic).payload("x").qos1(1)).await;
    peer.expect_puback(1).await.reason
}

/// Somebody who gets everything that is published to a topic.
async fn reader(house: &Harness, elsewhere: &Elsewhere, topic: &str) -> Peer {
    let mut reader = house.v5("reader").await;
    reader.subscribe(topic, ExactlyOnce).await;
    elsewhere.take();
    reader
}

#[tokio::test(start_paused = true)]
async fn what_rules_decide_is_not_asked_and_the_rest_once_while_the_answer_holds() {
    let (house, elsewhere) = house().await;
    let mut reader = reader(&house, &elsewhere, "yes/#").await;
    let mut peer = house.v5("c").await;
    assert_eq!(puback(&mut peer, "rule/1").await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(puback(&mut peer, "denied/1").await, ReasonCode::NotAuthorized);
    assert_eq!(elsewhere.take(), [""; 0]);
    for _ in 0..3 {
        assert_eq!(puback(&mut peer, "yes/1").await, ReasonCode::Success);
        reader.receive_text("x").await;
    }
    assert_eq!(elsewhere.take(), ["c publishes yes/1 1 false"]);
    peer.publish(publish("yes/1").payload("x")).await;
    reader.receive_text("x").await;
    assert_eq!(elsewhere.take(), ["c publishes yes/1 0 false"], "another QoS is another question");
    sleep(HOLDS).await;
    for _ in 0..3 {
        peer.publish(publish("yes/1").payload("x")).await;
        reader.receive_text("x").await;
    }
    assert_eq!(elsewhere.take(), ["c publishes yes/1 0 false"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_holds_for_once_is_asked_for_each_message_and_keeps_their_order() {
    let (house, elsewhere) = house().await;
    let mut reader = reader(&house, &elsewhere, "once/#").await;
    let mut peer = house.v5("c").await;
    let burst: Vec<u8> = (0..5)
        .flat_map(|number| {
            mqtt_testkit::ToWire::to_wire(&publish("once/1").payload(number.to_string()), Version::V5)
        })
        .collect();
    peer.send(burst).await;
    for number in 0..5 {
        reader.receive_text(&number.to_string()).await;
    }
    assert_eq!(elsewhere.take().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn only_the_client_that_is_asked_about_waits() {
    let (house, elsewhere) = house().await;
    let mut reader = reader(&house, &elsewhere, "slow/#").await;
    let (mut slow, mut other) = (house.v5("slow").await, house.v5("other").await);
    let began = Instant::now();
    for number in 0..100 {
        slow.send(publish("slow/1").payload(number.to_string())).await;
    }
    assert_eq!(puback(&mut other, "rule/1").await, ReasonCode::NoMatchingSubscribers);
    other.ping().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    for number in 0..100 {
        reader.receive_text(&number.to_string()).await;
    }
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(elsewhere.take(), ["slow publishes slow/1 0 false"]);
}

#[tokio::test(start_paused = true)]
async fn a_denial_and_no_answer_are_refusals_with_different_reasons_and_both_are_counted() {
    for version in Version::ALL {
        let (house, _) = house().await;
        let mut peer = house.client(version, "c").await;
        for (topic, expected) in
            [("no", ReasonCode::NotAuthorized), ("down", ReasonCode::ImplementationSpecificError)]
        {
            let reason = puback(&mut peer, topic).await;
            assert_eq!(reason, if version == Version::V5 { expected } else { ReasonCode::Success });
            peer.send(subscribe(2).filter(topic, AtLeastOnce)).await;
            assert!(peer.expect_suback().await.reasons[0].is_error(), "{topic}");
        }
        let metrics = house.broker.metrics();
        assert_eq!(metrics.dropped_for(DropReason::PublishNotAuthorized), 1);
        assert_eq!(metrics.dropped_for(DropReason::PublishUndecided), 1);
        assert_eq!(metrics.unanswered[Unanswered::Unreachable as usize], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn each_filter_is_asked_about_when_it_is_subscribed_to_and_share_names_do_not_count() {
    let (house, elsewhere) = house().await;
    let mut peer = house.v5("c").await;
    let filters = ["yes/#", "no/#", "rule/#", "denied/#", "$share/g/slow/+"];
    let all = filters.into_iter().fold(subscribe(1), |all, filter| all.filter(filter, AtLeastOnce));
    peer.send(all).await;
    let (granted, denied) = (ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized);
    assert_eq!(peer.expect_suback().await.reasons, [granted, denied, granted, denied, granted]);
    assert_eq!(elsewhere.take(), ["c subscribes yes/# 1", "c subscribes no/# 1", "c subscribes slow/+ 1"]);
    house.broker.access_changed();
    peer.ping().await;
    assert_eq!(house.broker.metrics().subscriptions_revoked, 0, "nobody takes the answer back");
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_found_out_once_for_all_filters_of_a_packet() {
    let (house, elsewhere) = house().await;
    let mut peer = house.v5("c").await;
    peer.send(subscribe(1).filter("down/1", AtMostOnce).filter("yes", AtMostOnce)).await;
    let unanswered = ReasonCode::ImplementationSpecificError;
    assert_eq!(peer.expect_suback().await.reasons, [unanswered, unanswered]);
    assert_eq!(elsewhere.take(), ["c subscribes down/1 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_will_is_asked_about_when_its_client_connects() {
    let (house, elsewhere) = house().await;
    let mut reader = reader(&house, &elsewhere, "slow/#").await;
    for (topic, reason) in
        [("no", ReasonCode::NotAuthorized), ("down", ReasonCode::ImplementationSpecificError)]
    {
        let mut peer = house.open("with a will");
        peer.send(connect("c").will(will(topic, "gone"))).await;
        peer.expect_refusal(reason).await;
    }
    house.connect(connect("c").will(will("slow/1", "gone").retained())).await.cut();
    reader.receive_text("gone").await;
    let asked = ["c publishes no 0 false", "c publishes down 0 false", "c publishes slow/1 0 true"];
    assert_eq!(elsewhere.take(), asked);
}

#[tokio::test(start_paused = true)]
async fn clients_inside_the_program_are_asked_about_unless_they_are_privileged() {
    let (house, elsewhere) = house().await;
    let local = house.broker.local_as(LocalOptions::new("inside").unprivileged());
    drop(local.subscribe("slow/#").await.expect("it is allowed"));
    local.publish(Publication::new("slow/1", "x")).await.expect("it is allowed");
    let refused = local.publish(Publication::new("no", "x")).await;
    assert!(matches!(refused, Err(LocalError::Refused(ReasonCode::NotAuthorized))), "{refused:?}");
    let late = local.publish_now(Publication::new("slow/1", "x"));
    assert!(matches!(late, Err(LocalError::Refused(ReasonCode::ImplementationSpecificError))), "{late:?}");
    assert_eq!(elsewhere.take().len(), 4);
    house.broker.local().publish(Publication::new("no", "x")).await.expect("it may do everything");
    assert_eq!(elsewhere.take().len(), 0);
}
