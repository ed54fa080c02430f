//! `$exclusive/` in a whole broker over pipes in memory.

use std::sync::Arc;

use mqtt_broker::codec::QoS::AtMostOnce;
use mqtt_broker::transport::Connection;
use mqtt_broker::{Broker, LocalError, ReasonCode, Settings, TopicFilter};
use mqtt_hooks::Exclusive;
use mqtt_testkit::{ConnectBuilder, Peer, connect, pipe, publish, subscribe};

async fn house(filters_max: usize) -> (Broker, Arc<Exclusive>) {
    let hook = Arc::new(Exclusive::new(filters_max));
    let mut settings = Settings::default();
    settings.sys.interval = None;
    settings.topics.subscribe_denied = vec![TopicFilter::parse("denied").expect("a filter").to_boxed()];
    let builder = Broker::builder().settings(settings).hook(hook.clone());
    (builder.start().await.expect("nothing has to be bound"), hook)
}

async fn client(broker: &Broker, connect: ConnectBuilder) -> Peer {
    let (near, far) = pipe();
    broker.attach(Connection::boxed(far), mqtt_broker::Peer::anonymous());
    let mut peer = Peer::new("client", near);
    peer.connect(connect).await;
    peer
}

async fn ask(peer: &mut Peer, filter: &str) -> ReasonCode {
    let suback = peer.subscribe_with(subscribe(9).filter(filter, AtMostOnce)).await;
    suback.reasons[0]
}

#[tokio::test(start_paused = true)]
async fn one_client_at_a_time_has_an_exclusive_subscription() {
    let (broker, hook) = house(10).await;
    let mut first = client(&broker, connect("first")).await;
    let mut second = client(&broker, connect("second")).await;
    assert_eq!(ask(&mut first, "$exclusive/t").await, ReasonCode::GRANTED_QOS_0);
    assert_eq!(ask(&mut first, "$exclusive/t").await, ReasonCode::GRANTED_QOS_0, "it may ask again");
    assert_eq!(ask(&mut second, "$exclusive/t").await, ReasonCode::QuotaExceeded);
    assert_eq!(ask(&mut second, "t").await, ReasonCode::GRANTED_QOS_0, "that is another subscription");
    second.publish(publish("t").payload("x")).await;
    first.receive_text("x").await;
    second.receive_text("x").await;
    assert_eq!(first.unsubscribe("$exclusive/t").await.reasons, [ReasonCode::Success]);
    assert_eq!(hook.holder("t"), None);
    assert_eq!(ask(&mut second, "$exclusive/t").await, ReasonCode::GRANTED_QOS_0);
    assert_eq!(hook.holder("t").as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_session_and_not_with_the_connection() {
    let (broker, hook) = house(10).await;
    let mut first = client(&broker, connect("first").clean(false).session_expiry_s(60)).await;
    assert_eq!(ask(&mut first, "$exclusive/t").await, ReasonCode::GRANTED_QOS_0);
    first.leave().await;
    let mut second = client(&broker, connect("second")).await;
    assert_eq!(ask(&mut second, "$exclusive/t").await, ReasonCode::QuotaExceeded);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(hook.holder("t"), None);
    assert_eq!(ask(&mut second, "$exclusive/t").await, ReasonCode::GRANTED_QOS_0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_refused_afterwards_holds_nothing() {
    let (broker, hook) = house(10).await;
    let mut first = client(&broker, connect("first")).await;
    // The hook is asked before the rules of the broker.
    assert_eq!(ask(&mut first, "$exclusive/denied").await, ReasonCode::NotAuthorized);
    assert_eq!(hook.holder("denied").as_deref(), Some("first"));
    let mut second = client(&broker, connect("second")).await;
    assert_eq!(
        ask(&mut second, "$exclusive/denied").await,
        ReasonCode::NotAuthorized,
        "and not: it is taken"
    );
    assert_eq!(hook.holder("denied").as_deref(), Some("second"), "it could take it over");
}

#[tokio::test(start_paused = true)]
async fn nonsense_and_too_many_are_refused() {
    let (broker, _) = house(1).await;
    let mut peer = client(&broker, connect("c")).await;
    for filter in ["$exclusive/", "$exclusive/$share/g/t"] {
        assert_eq!(ask(&mut peer, filter).await, ReasonCode::TopicFilterInvalid, "{filter}");
    }
    assert_eq!(ask(&mut peer, "$exclusive/a").await, ReasonCode::GRANTED_QOS_0);
    assert_eq!(ask(&mut peer, "$exclusive/b").await, ReasonCode::QuotaExceeded);
    let local = broker.local();
    let refused = local.subscribe("$exclusive/a").await.err();
    assert_eq!(refused, Some(LocalError::Refused(ReasonCode::QuotaExceeded)));
}

#[tokio::test(start_paused = true)]
async fn a_client_inside_the_program_holds_what_it_subscribed() {
    let (broker, hook) = house(10).await;
    let own = broker.local().subscribe("$exclusive/t").await.expect("allowed");
    assert_eq!(own.filter(), "t");
    let mut peer = client(&broker, connect("c")).await;
    assert_eq!(ask(&mut peer, "$exclusive/t").await, ReasonCode::QuotaExceeded);
    drop(own);
    assert_eq!(hook.holder("t"), None);
}
