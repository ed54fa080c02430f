//! A broker with a plug-in, and clients of it.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::transport::Connection;
use mqtt_broker::{Broker, Settings};
use mqtt_plugin::{Limits, Plugin, PluginOptions};
use mqtt_testkit::{ConnectBuilder, Peer, connect, pipe};

/// Devices in rooms of their own: the example.
pub(crate) const ROOMS: &[u8] = include_bytes!("../guests/rooms.wasm");
/// Does what the topic says, most of it wrong.
pub(crate) const UNRULY: &[u8] = include_bytes!("../guests/unruly.wasm");

pub(crate) fn options(settings: &str) -> PluginOptions {
    // On a busy machine a millisecond of work may take a second.
    let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
    PluginOptions { settings: settings.to_owned(), limits, fail_open: false }
}

pub(crate) fn plugin(bytes: &[u8], options: PluginOptions) -> Arc<Plugin> {
    Arc::new(Plugin::from_bytes("guest", bytes, options).expect("a plug-in"))
}

pub(crate) async fn house(plugin: &Arc<Plugin>) -> Broker {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    let builder = Broker::builder().settings(settings).hook(plugin.clone());
    builder.start().await.expect("nothing has to be bound")
}

/// A client that has not said anything.
pub(crate) fn visitor(broker: &Broker) -> Peer {
    let (near, far) = pipe();
    broker.attach(Connection::boxed(far), mqtt_broker::Peer::anonymous());
    Peer::new("client", near)
}

pub(crate) async fn client_with(broker: &Broker, connect: ConnectBuilder) -> Peer {
    let mut peer = visitor(broker);
    peer.connect(connect).await;
    peer
}

pub(crate) async fn client(broker: &Broker, client_id: &str) -> Peer {
    client_with(broker, connect(client_id)).await
}
