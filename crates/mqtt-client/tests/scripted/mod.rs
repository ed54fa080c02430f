//! A server in memory that does what a test tells it.
#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::Arc;

use mqtt_client::{Client, Options, Version};
use mqtt_testkit::{Peer, pipe, raw};
use mqtt_transport::Connection;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, mpsc};

/// The server's side of every connection that a client opens.
pub(crate) struct FarSide {
    pub(crate) connections: mpsc::UnboundedReceiver<DuplexStream>,
    version: Version,
}

pub(crate) fn scripted(version: Version) -> (Options, FarSide) {
    let (opened, connections) = mpsc::unbounded_channel();
    let opened = Arc::new(Mutex::new(opened));
    let options = Options::with_streams(move || {
        let opened = opened.clone();
        Box::pin(async move {
            let (near, far) = pipe();
            opened.lock().await.send(far).map_err(|_| std::io::ErrorKind::ConnectionRefused)?;
            Ok(Connection::boxed(near))
        })
    });
    (options.version(version).client_id("c"), FarSide { connections, version })
}

impl FarSide {
    /// Takes the next connection and its CONNECT.
    pub(crate) async fn accept(&mut self) -> Peer {
        let mut peer = Peer::new("server", self.connections.recv().await.expect("the client connects"));
        peer.set_version(self.version);
        let connect = peer.expect_packet().await;
        assert_eq!(connect.bytes()[0], 0x10);
        peer
    }

    pub(crate) async fn admit(&mut self, session_present: bool) -> Peer {
        let mut peer = self.accept().await;
        peer.send(connack(self.version, session_present, 0)).await;
        peer
    }
}

pub(crate) fn connack(version: Version, session_present: bool, reason: u8) -> Vec<u8> {
    let packet = raw(0x20).byte(u8::from(session_present)).byte(reason);
    if version == Version::V5 { packet.properties(&[]).finish() } else { packet.finish() }
}

/// A client that has been admitted, and the server's end of its connection.
pub(crate) async fn connected(change: impl FnOnce(Options) -> Options) -> (Client, Peer, FarSide) {
    let (options, mut server) = scripted(Version::V5);
    let (client, peer) = tokio::join!(Client::connect(change(options)), server.admit(false));
    (client.expect("admitted").0, peer, server)
}

pub(crate) async fn suback(peer: &mut Peer, reason: u8) {
    let subscribe = peer.expect_packet().await;
    assert_eq!(subscribe.bytes()[0], 0x82);
    let id = u16::from_be_bytes([subscribe.bytes()[2], subscribe.bytes()[3]]);
    peer.send(raw(0x90).u16(id).properties(&[]).byte(reason).finish()).await;
}
