//! Hooks that take their time over a message or a filter: whom they hold up, and what becomes of those that never answer.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{
    Answer, Broker, Builder, Events, FailureRule, Hooks, Identity, InjectOptions, LocalError, Publication,
    PublishVerdict,
};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Packet, ReasonCode, SubscriptionOptions, Version};
use mqtt_session::DropReason;
use mqtt_testkit::{ToWire, connect, publish, pubrel, subscribe};
use tokio::time::{Instant, sleep};

use crate::harness::{Harness, quiet, start};
use crate::wires::settle;

/// Answers after the seconds that a topic or filter begins with, in the way that its second level says.
#[derive(Debug)]
struct Examiner {
    rule: FailureRule,
}

impl Examiner {
    const DEADLINE: Duration = Duration::from_secs(5);

    fn that_refuses(refuse: bool) -> Arc<dyn Hooks> {
        Arc::new(Self { rule: FailureRule { deadline: Self::DEADLINE, refuse } })
    }

    /// Waits as long as the text says; what the answer should be.
    async fn think(text: &str) -> &str {
        let (seconds, verdict) = text.split_once('/').unwrap_or(("0", text));
        sleep(Duration::from_secs(seconds.parse().unwrap_or(0))).await;
        verdict
    }
}

impl Hooks for Examiner {
    fn interests(&self) -> Events {
        Events::REVIEW_PUBLISH | Events::REVIEW_SUBSCRIBE
    }
    fn failure_rule(&self) -> FailureRule {
        self.rule
    }
    fn review_publish<'a>(
        &'a self,
        _: &'a Identity,
        publication: &'a Publication,
    ) -> Answer<'a, PublishVerdict> {
        Box::pin(async move {
            match Self::think(&publication.topic).await {
                "rejected" => PublishVerdict::Reject(ReasonCode::PayloadFormatInvalid),
                "swallowed" => PublishVerdict::Swallow,
                "rewritten" => {
                    PublishVerdict::rewrite(Publication { topic: "out".into(), ..publication.clone() })
                }
                "nonsense" => {
                    PublishVerdict::rewrite(Publication { topic: "#".into(), ..publication.clone() })
                }
                "success" => PublishVerdict::Reject(ReasonCode::Success),
                "panic" => panic!("a hook that panics while it is awaited"),
                _ => PublishVerdict::Pass,
            }
        })
    }
    fn review_subscribe<'a>(
        &'a self,
        _: &'a Identity,
        filter: &'a mut String,
        options: &'a mut SubscriptionOptions,
    ) -> Answer<'a, Result<(), ReasonCode>> {
        Box::pin(async move {
            options.qos = if filter == "#" { AtMostOnce } else { AtLeastOnce };
            let verdict = Self::think(filter).await.to_owned();
            match verdict.as_str() {
                "rejected" => Err(ReasonCode::QuotaExceeded),
                "rewritten" => {
                    *filter = "out".into();
                    Ok(())
                }
                "nonsense" => {
                    *filter = "a#".into();
                    Ok(())
                }
                "panic" => panic!("a hook that panics while it is awaited"),
                _ => Ok(()),
            }
        })
    }
}

async fn house(hooks: impl IntoIterator<Item = Arc<dyn Hooks>>) -> Harness {
    let builder = Broker::builder().settings(quiet(|_| ()));
    start(hooks.into_iter().fold(builder, Builder::hook)).await
}

#[tokio::test(start_paused = true)]
async fn a_review_decides_about_each_message_in_its_time() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut inside = house.broker.local().subscribe("#").await.expect("allowed");
    let mut peer = house.v5("c").await;
    let cases = [
        ("3/plain", 3, ReasonCode::Success, Some("3/plain")),
        ("0/plain", 0, ReasonCode::Success, Some("0/plain")),
        ("2/rewritten", 2, ReasonCode::Success, Some("out")),
        ("2/swallowed", 2, ReasonCode::Success, None),
        ("2/rejected", 2, ReasonCode::PayloadFormatInvalid, None),
        ("2/nonsense", 2, ReasonCode::ImplementationSpecificError, None),
        ("2/success", 2, ReasonCode::ImplementationSpecificError, None),
        ("2/panic", 2, ReasonCode::ImplementationSpecificError, None),
        ("99/plain", 5, ReasonCode::ImplementationSpecificError, None),
    ];
    for (id, (topic, after_s, reason, arrives)) in (1..).zip(cases) {
        let asked = Instant::now();
        peer.send(publish(topic).payload("x").qos1(id)).await;
        assert_eq!(peer.expect_puback(id).await.reason, reason, "{topic}");
        assert_eq!(asked.elapsed().as_secs(), after_s, "{topic}");
        let got = inside.try_recv().map(|message| message.topic().to_owned());
        assert_eq!(got.as_deref(), arrives, "{topic}");
    }
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PublishNotAuthorized), 5);
}

#[tokio::test(start_paused = true)]
async fn a_review_that_fails_open_changes_nothing() {
    let house = house([Examiner::that_refuses(false)]).await;
    let mut inside = house.broker.local().subscribe("#").await.expect("allowed");
    let mut peer = house.v5("c").await;
    for (id, topic) in (1..).zip(["1/panic", "1/nonsense", "99/plain"]) {
        peer.send(publish(topic).payload("x").qos1(id)).await;
        assert_eq!(peer.expect_puback(id).await.reason, ReasonCode::Success, "{topic}");
        assert_eq!(inside.try_recv().expect("it passed").topic(), topic);
    }
    // What a hook changed before it failed is forgotten: the quality of service, here.
    peer.send(subscribe(9).filter("1/panic", ExactlyOnce).filter("99/x", AtMostOnce)).await;
    let granted = peer.expect_suback().await.reasons;
    assert_eq!(granted, [ReasonCode::GrantedQoS2, ReasonCode::GRANTED_QOS_0]);
}

#[tokio::test(start_paused = true)]
async fn a_review_decides_about_each_filter() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut peer = house.v5("c").await;
    let request = subscribe(1)
        .filter("1/rewritten", ExactlyOnce)
        .filter("1/rejected", AtMostOnce)
        .filter("1/nonsense", AtMostOnce)
        .filter("1/panic", AtMostOnce)
        .filter("99/late", AtMostOnce);
    let asked = Instant::now();
    let suback = peer.subscribe_with(request).await;
    assert_eq!(asked.elapsed().as_secs(), 4 + Examiner::DEADLINE.as_secs());
    let expected = [
        ReasonCode::GrantedQoS1,
        ReasonCode::QuotaExceeded,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::ImplementationSpecificError,
    ];
    assert_eq!(suback.reasons, expected);
    house.broker.local().publish(Publication::new("out", "x")).await.expect("published");
    peer.receive_text("x").await;
}

#[tokio::test(start_paused = true)]
async fn a_review_holds_up_its_client_alone_and_keeps_the_order() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut watcher = house.v5("watcher").await;
    watcher.subscribe("#", AtMostOnce).await;
    let mut peer = house.connect(connect("c").keep_alive_s(2)).await;
    for (id, topic) in (1..).zip(["4/first", "0/second"]) {
        peer.send(publish(topic).payload(topic).qos1(id)).await;
    }
    settle().await;
    // What is sent to it still arrives, and others are served at once.
    house.broker.client("c").subscribe("0/news", SubscriptionOptions::default()).await.expect("known");
    let mut other = house.v5("other").await;
    other.publish(publish("0/news").payload("news")).await;
    watcher.receive_text("news").await;
    peer.receive_text("news").await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::Success, "longer than its Keep Alive");
    peer.expect_puback(2).await;
    watcher.receive_text("4/first").await;
    watcher.receive_text("0/second").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_review_is_cut_off_can_be_sent_again() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut inside = house.broker.local().subscribe("#").await.expect("allowed");
    let resume = || connect("c").clean(false).session_expiry_s(100);
    let mut peer = house.connect(resume()).await;
    peer.send(publish("4/x").payload("x").qos2(7)).await;
    settle().await;
    let mut again = house.connect(resume()).await;
    again.send(publish("4/x").payload("x").qos2(7).dup()).await;
    again.expect_pubrec(7).await;
    assert_eq!(inside.try_recv().expect("once").text(), "x");
    sleep(Duration::from_secs(60)).await;
    assert!(inside.try_recv().is_none(), "what was cut off is not published late");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_counts_from_the_arrival_and_not_from_the_review() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut away = house.connect(connect("away").clean(false).session_expiry_s(100)).await;
    away.subscribe("4/#", AtLeastOnce).await;
    away.leave().await;
    let mut peer = house.v5("c").await;
    peer.publish(publish("4/x").payload("x").qos1(1).expiry_s(6)).await;
    let mut back = house.connect(connect("away").clean(false).session_expiry_s(100)).await;
    let got = back.receive_text("x").await;
    assert_eq!(got.properties().message_expiry_interval_s(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn clients_inside_the_program_wait_for_a_review_or_have_it_at_once() {
    let house = house([Examiner::that_refuses(true)]).await;
    let local = house.broker.local();
    let asked = Instant::now();
    local.publish(Publication::new("3/x", "x")).await.expect("it passes");
    assert_eq!(asked.elapsed().as_secs(), 3);
    let rejected = local.publish(Publication::new("1/rejected", "x")).await;
    assert_eq!(rejected, Err(LocalError::Refused(ReasonCode::PayloadFormatInvalid)));
    assert!(!local.publish(Publication::new("1/swallowed", "x")).await.expect("taken").matched);
    local.publish_now(Publication::new("1/x", "x")).expect_err("a timer is no answer at once");
    let ours = local.subscribe("1/rewritten").await.expect("rewritten");
    assert_eq!(ours.filter(), "out");
    let refused = local.subscribe("1/rejected").await.err();
    assert_eq!(refused, Some(LocalError::Refused(ReasonCode::QuotaExceeded)));
}

#[tokio::test(start_paused = true)]
async fn injected_packets_are_reviewed_without_holding_their_client_up() {
    let house = house([Examiner::that_refuses(true)]).await;
    let mut inside = house.broker.local().subscribe("#").await.expect("allowed");
    let mut peer = house.v5("c").await;
    let client = house.broker.client("c");
    let made_up = house.broker.client("made up");
    for (client, options) in [
        (&client, InjectOptions::default()),
        (&client, InjectOptions::default().past_access()),
        (&made_up, InjectOptions::default().make_up(0)),
    ] {
        for (topic, reason) in
            [("3/x", ReasonCode::Success), ("3/rejected", ReasonCode::PayloadFormatInvalid)]
        {
            let packet = publish(topic).payload("x").qos2(3).to_wire(Version::V5);
            let injected = client.inject_bytes(&packet, options);
            let ping = async {
                settle().await;
                peer.ping().await;
                Instant::now()
            };
            let asked = Instant::now();
            let (answers, pinged_at) = tokio::join!(injected, ping);
            assert!(pinged_at - asked < Duration::from_secs(1), "the client is served meanwhile");
            assert_eq!(asked.elapsed().as_secs(), 3);
            let answers = answers.expect("it is answered");
            let Some(Packet::Pubrec(pubrec)) = answers.packets().next() else { panic!("no PUBREC") };
            assert_eq!(pubrec.reason, reason);
            assert_eq!(inside.try_recv().is_some(), reason == ReasonCode::Success);
            let released = pubrel(3).to_wire(Version::V5);
            client.inject_bytes(&released, options).await.expect("released");
        }
    }
    let refused = client.subscribe("1/rejected", SubscriptionOptions::default()).await;
    assert_eq!(refused, Ok(ReasonCode::QuotaExceeded));
}
