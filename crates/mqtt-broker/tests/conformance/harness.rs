//! The only place that knows how the broker is embedded.

use std::{future::Future, panic::Location, sync::Arc};

use mqtt_broker::{Access, Broker, Builder, ListenerSettings, Settings};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::AuthenticationMethod;
use mqtt_testkit::{ConnectBuilder, Peer, connect, pipe};
use mqtt_transport::{Connection, Url};

/// A broker of its own for one test.
pub(crate) struct Harness {
    pub(crate) broker: Broker,
    origin: mqtt_broker::Peer,
}

/// A broker with the default settings that publishes nothing by itself.
pub(crate) async fn broker() -> Harness {
    broker_with(|_| ()).await
}

/// The same with some settings changed.
pub(crate) async fn broker_with(change: impl FnOnce(&mut Settings)) -> Harness {
    start(Broker::builder().settings(quiet(change))).await
}

/// A broker that asks `access` whom to admit.
pub(crate) async fn broker_asking(access: impl Access) -> Harness {
    start(Broker::builder().settings(quiet(|_| ())).access(Arc::new(access))).await
}

/// A broker that knows a method of enhanced authentication.
pub(crate) async fn broker_with_method(method: impl AuthenticationMethod + 'static) -> Harness {
    start(Broker::builder().settings(quiet(|_| ())).authentication_method(Arc::new(method))).await
}

/// A broker on a real socket, for tests that do not pause the clock.
pub(crate) async fn broker_listening(url: &str) -> Harness {
    let listener = ListenerSettings::new(Url::parse(url).expect("an address")).allow_anonymous();
    start(Broker::builder().settings(quiet(|_| ())).listen(listener)).await
}

/// A broker whose connections come from a listener that admits nobody unknown.
pub(crate) async fn broker_refusing_anonymous() -> Harness {
    broker().await.refusing_anonymous()
}

/// Starts a broker that was put together.
pub(crate) async fn start(builder: Builder) -> Harness {
    let broker = builder.start().await.expect("the broker starts");
    Harness { broker, origin: mqtt_broker::Peer::anonymous() }
}

/// The default settings with some changed, and without `$SYS`, so that the broker says nothing by itself.
pub(crate) fn quiet(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    change(&mut settings);
    settings
}

impl Harness {
    /// The same, with connections from a listener that admits nobody unknown.
    pub(crate) fn refusing_anonymous(self) -> Self {
        Self { origin: mqtt_broker::Peer::default(), ..self }
    }

    /// A connection on which nothing has been sent.
    pub(crate) fn open(&self, name: &str) -> Peer {
        let (near, far) = pipe();
        self.broker.attach(Connection::boxed(far), self.origin.clone());
        Peer::new(name, near)
    }

    /// A client that has been admitted.
    #[track_caller]
    pub(crate) fn connect(&self, client: ConnectBuilder) -> impl Future<Output = Peer> {
        let mut peer = self.open("client");
        let admitted = Location::caller();
        async move {
            peer.connect_at(admitted, client).await;
            peer
        }
    }

    /// A client of this version and name, with a clean session and no keep-alive.
    #[track_caller]
    pub(crate) fn client(&self, version: Version, client_id: &str) -> impl Future<Output = Peer> {
        self.connect(connect(client_id).version(version))
    }

    /// A client of 5.0.
    #[track_caller]
    pub(crate) fn v5(&self, client_id: &str) -> impl Future<Output = Peer> {
        self.client(Version::V5, client_id)
    }

    /// A client of 3.1.1.
    #[track_caller]
    pub(crate) fn v3(&self, client_id: &str) -> impl Future<Output = Peer> {
        self.client(Version::V3_1_1, client_id)
    }

    /// Where it listens, with the real port.
    pub(crate) fn url(&self) -> &Url {
        &self.broker.addresses()[0]
    }

    /// Sends a client away; whether it was there.
    pub(crate) fn send_away(&self, client_id: &str, reason: ReasonCode) -> bool {
        self.broker.disconnect(client_id, reason)
    }

    /// Stops the broker and waits until every connection has ended.
    pub(crate) async fn shut_down(self) {
        self.broker.shutdown().await;
    }
}

/// The end that a violation brings: 5.0 is told the reason, 3.x just sees the connection close.
pub(crate) async fn expect_violation(peer: &mut Peer, reason: ReasonCode) {
    if peer.version() == Version::V5 {
        peer.expect_disconnect(reason).await;
    } else {
        peer.expect_closed().await;
    }
}
