//! Events on their way to somebody else, in virtual time; and over HTTP.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::transport::Connection;
use mqtt_broker::{Answer, Broker, Events, Publication, Settings};
use mqtt_hooks::{Deliver, Webhook, WebhookOptions};
use mqtt_testkit::{HttpAnswer, HttpService, Peer, connect, pipe, publish};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Takes what it is given, in its own way and time.
#[derive(Clone, Debug, Default)]
struct Receiver {
    batches: Arc<Mutex<Vec<Value>>>,
    /// Attempts that fail first, and how long each attempt takes.
    failing: Arc<Mutex<(u32, Duration)>>,
}

impl Deliver for Receiver {
    fn deliver<'a>(&'a self, batch: &'a str) -> Answer<'a, Result<(), String>> {
        Box::pin(async move {
            let (failing, takes) = *self.failing.lock();
            sleep(takes).await;
            if failing > 0 {
                self.failing.lock().0 -= 1;
                return Err("not now".into());
            }
            self.batches.lock().push(serde_json::from_str(batch).expect("JSON"));
            Ok(())
        })
    }
}

async fn broker(hook: &Arc<Webhook>) -> Broker {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    let builder = Broker::builder().settings(settings).hook(hook.clone());
    builder.start().await.expect("nothing has to be bound")
}

fn hook(receiver: &Receiver, change: impl FnOnce(&mut WebhookOptions)) -> Arc<Webhook> {
    let mut options = WebhookOptions { events: Events::PUBLISHED, ..WebhookOptions::default() };
    change(&mut options);
    Arc::new(Webhook::new(receiver.clone(), options))
}

async fn publish_some(broker: &Broker, messages: usize) {
    for number in 0..messages {
        broker.local().publish(Publication::new("t", number.to_string())).await.expect("published");
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_in_batches_and_in_their_order() {
    let receiver = Receiver::default();
    let hook = hook(&receiver, |options| options.batch_max = 2);
    let broker = broker(&hook).await;
    publish_some(&broker, 5).await;
    let asked = Instant::now();
    hook.flush().await;
    assert_eq!(asked.elapsed(), Duration::from_millis(100), "the last one waits for more");
    let batches = receiver.batches.lock().clone();
    let payloads = |batch: &Value| {
        let events = batch.as_array().expect("an array").iter();
        events.map(|event| event["payload"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(batches.iter().map(payloads).collect::<Vec<_>>(), [vec!["0", "1"], vec!["2", "3"], vec!["4"]]);
    assert_eq!((hook.delivered(), hook.dropped()), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_is_asked_again_and_then_given_up() {
    let receiver = Receiver::default();
    let hook = hook(&receiver, |options| options.attempts_max = 3);
    let broker = broker(&hook).await;
    receiver.failing.lock().0 = 2;
    publish_some(&broker, 1).await;
    let asked = Instant::now();
    hook.flush().await;
    assert_eq!((hook.delivered(), hook.dropped()), (1, 0));
    assert_eq!(asked.elapsed(), Duration::from_millis(100 + 1000 + 2000), "the pauses grow");
    receiver.failing.lock().0 = 3;
    publish_some(&broker, 2).await;
    hook.flush().await;
    assert_eq!((hook.delivered(), hook.dropped()), (1, 2));
    publish_some(&broker, 1).await;
    hook.flush().await;
    assert_eq!((hook.delivered(), hook.dropped()), (2, 2), "and what comes later is delivered");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_holds_nobody_up() {
    let receiver = Receiver::default();
    let hook = hook(&receiver, |options| {
        (options.queue_max, options.batch_max, options.attempts_max) = (3, 1, 1);
    });
    let broker = broker(&hook).await;
    receiver.failing.lock().1 = Duration::from_secs(3600);
    publish_some(&broker, 1).await;
    sleep(Duration::from_millis(1)).await; // it is taken from the queue
    let asked = Instant::now();
    publish_some(&broker, 10).await;
    assert_eq!(asked.elapsed(), Duration::ZERO, "no publisher waits");
    assert_eq!(hook.dropped(), 7, "as many fit into the queue as it may hold");
    hook.flush().await;
    let passed = asked.elapsed() + Duration::from_millis(1); // the first attempt began that much earlier
    assert_eq!(passed.as_secs(), 4 * 5, "each attempt has its time");
    assert_eq!((hook.delivered(), hook.dropped()), (0, 11));
}

#[tokio::test(start_paused = true)]
async fn each_event_says_what_it_is_about() {
    let receiver = Receiver::default();
    let hook = hook(&receiver, |options| {
        options.events = Events::ALL;
        options.payload_bytes_max = 4;
    });
    let broker = broker(&hook).await;
    let (near, far) = pipe();
    broker.attach(Connection::boxed(far), mqtt_broker::Peer::anonymous());
    let mut peer = Peer::new("c", near);
    peer.connect(connect("c").username("u")).await;
    peer.subscribe("t", mqtt_broker::QoS::AtLeastOnce).await;
    peer.publish(publish("t").payload("abcdef").qos1(1)).await;
    peer.receive_text("abcdef").await;
    peer.publish(publish("t").payload([0xFF]).retained()).await;
    peer.receive().await;
    peer.unsubscribe("t").await;
    peer.leave().await;
    sleep(Duration::from_secs(1)).await;
    hook.flush().await;
    let batches = receiver.batches.lock().clone();
    let events: Vec<&Value> = batches.iter().flat_map(|batch| batch.as_array().expect("an array")).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    for name in [
        "session_established",
        "subscribed",
        "published",
        "acknowledged",
        "unsubscribed",
        "disconnected",
        "session_ended",
    ] {
        assert!(names.contains(&name), "{name} among {names:?}");
    }
    let published: Vec<&&Value> = events.iter().filter(|event| event["event"] == "published").collect();
    assert_eq!(published[0]["payload"], "abcd", "cut where the options say");
    assert_eq!((&published[0]["username"], &published[0]["qos"]), (&"u".into(), &1.into()));
    assert_eq!((&published[1]["payload_base64"], &published[1]["retain"]), (&"/w==".into(), &true.into()));
    assert!(events.iter().all(|event| event["client_id"] == "c" && event["time_ms"].is_u64()));
}

#[tokio::test]
async fn a_service_gets_the_events_over_http() {
    let service = HttpService::start().await;
    service.answer(HttpAnswer::status(503, "busy"));
    service.always(HttpAnswer::status(204, ""));
    let url = mqtt_http::HttpUrl::parse(&service.url("/events")).expect("an address");
    let client = mqtt_http::Client::new(&url, &mqtt_http::ClientOptions::default()).expect("a client");
    let pause = Duration::from_millis(1);
    let options = WebhookOptions { events: Events::PUBLISHED, pause, ..WebhookOptions::default() };
    let hook = Arc::new(Webhook::new(client, options));
    let broker = broker(&hook).await;
    publish_some(&broker, 3).await;
    hook.flush().await;
    assert_eq!((hook.delivered(), hook.dropped()), (3, 0));
    let asked = service.asked();
    assert_eq!(asked.len(), 2, "the first time it was busy");
    assert!(asked[1].starts_with("POST /events HTTP/1.1"), "{}", asked[1]);
    let (_, body) = asked[1].split_once("\r\n\r\n").expect("a body");
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON").as_array().map(Vec::len), Some(3));
}
