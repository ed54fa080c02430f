//! What differs from one listener to the next.

use std::sync::{Arc, Mutex};

use mqtt_broker::{Access, Answer, Broker, Grant, Identity, ListenerRules, ListenerSettings, Login, Peer};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::{Refusal, Rights};
use mqtt_testkit::connect;
use mqtt_topic::TopicName;
use mqtt_transport::{Certificate, CertificateField, Connection};

use crate::harness::{broker, broker_asking, quiet};

/// A peer of a listener with these rules, who shows a certificate for `sensor 7` if told to.
fn visitor(rules: ListenerRules, with_certificate: bool) -> Peer {
    let certificate = Certificate { common_name: Some("sensor 7".into()), ..Certificate::default() };
    let certificate = with_certificate.then(|| Arc::new(certificate));
    Peer { listener: Arc::new(rules), address: None, certificate }
}

fn open(broker: &Broker, visitor: Peer) -> mqtt_testkit::Peer {
    let (near, far) = mqtt_testkit::pipe();
    broker.attach(Connection::boxed(far), visitor);
    mqtt_testkit::Peer::new("visitor", near)
}

#[tokio::test(start_paused = true)]
async fn a_listener_admits_only_its_versions() {
    let house = broker().await;
    let rules = ListenerRules {
        allow_anonymous: true,
        version_min: Version::V3_1_1,
        version_max: Version::V3_1_1,
        ..ListenerRules::default()
    };
    for version in Version::ALL {
        let mut peer = open(&house.broker, visitor(rules.clone(), false));
        peer.send(connect("c").version(version)).await;
        let reason = peer.expect_connack().await.reason;
        assert_eq!(reason.is_error(), version != Version::V3_1_1, "{version:?}: {reason}");
        house.v5("somewhere else").await.ping().await;
    }
}

#[tokio::test]
async fn a_full_listener_closes_one_more_and_others_go_on() {
    let url = "tcp://127.0.0.1:0";
    let mut narrow = ListenerSettings::new(url.parse().expect("an address")).allow_anonymous();
    narrow.rules.connections_max = Some(1);
    let wide = ListenerSettings::new(url.parse().expect("an address")).allow_anonymous();
    let builder = Broker::builder().settings(quiet(|_| ())).listen(narrow).listen(wide);
    let broker = builder.start().await.expect("two free ports");
    let [narrow, wide] = [0, 1].map(|nth| broker.addresses()[nth].clone());
    let dial = async |url| {
        let stream = mqtt_transport::connect(url).await.expect("it listens");
        mqtt_testkit::Peer::new("client", stream)
    };
    let mut first = dial(&narrow).await;
    first.connect(connect("first")).await;
    dial(&narrow).await.expect_closed().await;
    dial(&wide).await.connect(connect("elsewhere")).await;
    assert_eq!(broker.metrics().connections_refused, 1);
    first.leave().await;
    broker.shutdown().await;
}

/// User name, whether it is proven, listener.
type Shown = (Option<String>, bool, String);

/// Admits everybody and remembers what it was shown.
#[derive(Clone, Debug, Default)]
struct Curious(Arc<Mutex<Vec<Shown>>>);

impl Access for Curious {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        let seen =
            (login.username.map(str::to_owned), login.username_proven, login.listener.name.to_string());
        self.0.lock().expect("not poisoned").push(seen);
        Box::pin(std::future::ready(Ok(Grant::named(login.username))))
    }

    fn publish_rights(&self, client: &Identity, _: TopicName<&str>) -> Rights {
        assert_eq!(&*client.listener.name, "door");
        assert_eq!(client.certificate.is_some(), client.username.as_deref() == Some("sensor 7"));
        Rights::ALL
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_gives_the_user_name_where_the_listener_says_so() {
    let curious = Curious::default();
    let house = broker_asking(curious.clone()).await;
    let rules =
        |username_from| ListenerRules { name: "door".into(), username_from, ..ListenerRules::default() };
    let from_name = rules(Some(CertificateField::CommonName));
    for (rules, with_certificate) in [(&from_name, true), (&from_name, false), (&rules(None), true)] {
        let mut peer = open(&house.broker, visitor(rules.clone(), with_certificate));
        peer.connect(connect("c").username("me")).await;
        peer.leave().await;
    }
    let seen = |name: &str, proven| (Some(name.to_owned()), proven, "door".to_owned());
    let expected = [seen("sensor 7", true), seen("me", false), seen("me", false)];
    assert_eq!(*curious.0.lock().expect("not poisoned"), expected);
}

#[tokio::test(start_paused = true)]
async fn without_access_rules_a_proven_name_is_admitted_and_a_missing_one_is_not() {
    let house = broker().await;
    for (field, with_certificate, admitted) in [
        (CertificateField::CommonName, true, true),
        (CertificateField::CommonName, false, false),
        (CertificateField::AlternativeName, true, false),
    ] {
        let rules = ListenerRules { username_from: Some(field), ..ListenerRules::default() };
        let mut peer = open(&house.broker, visitor(rules, with_certificate));
        peer.send(connect("c")).await;
        let reason = peer.expect_connack().await.reason;
        let expected = if admitted { ReasonCode::Success } else { ReasonCode::NotAuthorized };
        assert_eq!(reason, expected, "{field:?} {with_certificate}");
    }
}
