//! Two hooks in a chain: one keeps guests out and short of breath, one rewrites topics.
//!
//! `cargo run -p mqtt-broker --example hooks`

use std::sync::Arc;

use mqtt_broker::{
    Answer, Authentication, Broker, DisconnectCause, Events, Hooks, Identity, InboundPublish, Login, Opening,
    Peer, Publication, PublishVerdict, ReasonCode, Refusal,
};

#[derive(Debug)]
struct Doorkeeper;

impl Hooks for Doorkeeper {
    fn interests(&self) -> Events {
        Events::AUTHENTICATE | Events::CONNECT | Events::DISCONNECTED
    }

    // May ask a service: only this connection waits, for `failure_rule().deadline` at most.
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        Box::pin(async move {
            match (login.username, login.password) {
                (Some("house"), Some(b"open sesame")) => Authentication::Admit,
                (Some(_), _) => Authentication::Refuse(ReasonCode::BadUserNameOrPassword.into()),
                (None, _) => Authentication::NoOpinion, // the access rules decide
            }
        })
    }

    fn connect<'a>(&'a self, _: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            opening.keep_alive_s = opening.keep_alive_s.clamp(1, 60);
            Ok(())
        })
    }

    #[allow(clippy::print_stdout, reason = "an example shows what it does")]
    fn disconnected(&self, client: &Identity, cause: DisconnectCause) {
        println!("{} left: {cause:?}", client.client_id);
    }
}

#[derive(Debug)]
struct OldTopics;

impl Hooks for OldTopics {
    fn interests(&self) -> Events {
        Events::PUBLISH
    }

    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        let Some(rest) = publish.topic.as_str().strip_prefix("old/") else { return PublishVerdict::Pass };
        PublishVerdict::rewrite(Publication { topic: format!("new/{rest}"), ..Publication::from(publish) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().hook(Arc::new(Doorkeeper)).hook(Arc::new(OldTopics)).start().await?;
    let mut seen = broker.local().subscribe("new/#").await?;
    // A client would do this over a connection; here its packet is injected under its name.
    let packet = b"\x30\x0a\x00\x05old/t\x00Hi"; // a PUBLISH of MQTT 5
    let options = mqtt_broker::InjectOptions::default().make_up(0);
    broker.client("sensor").inject_bytes(packet, options).await?;
    let message = seen.recv().await.ok_or("the broker has stopped")?;
    assert_eq!((message.topic(), message.payload()), ("new/t", &b"Hi"[..]));
    broker.shutdown().await;
    Ok(())
}
