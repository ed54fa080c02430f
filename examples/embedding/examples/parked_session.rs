//! Packets for a client that is away, from one that does not exist: a gateway of phones whose sessions wait for them.
//!
//! `cargo run -p embedding-examples --example parked_session`

use mqtt_broker::codec::{Ack, Publish, Subscribe, SubscribeFiltersBuf};
use mqtt_broker::{
    Broker, InjectError, InjectOptions, Packet, PacketId, Peer, Properties, QoS, ReasonCode,
    SubscriptionOptions,
};
use mqtt_client::{Client, Options};

const PLAIN: fn() -> InjectOptions = InjectOptions::default;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let dialled = broker.clone();
    let options = Options::in_memory(move || dialled.dial(Peer::anonymous())).client_id("phone").resume(600);
    let (phone, _) = Client::connect(options.clone()).await?;
    phone.disconnect(ReasonCode::NORMAL_DISCONNECTION).await?;
    let away = broker.client("phone");
    while away.is_online() == Some(true) {
        tokio::task::yield_now().await; // its session is about to be parked
    }

    // A SUBSCRIBE in its name, as it would have sent it: access rules and hooks are asked about `phone`.
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("sms/#", SubscriptionOptions::at(QoS::ExactlyOnce))?;
    let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
    let subscribe = Packet::Subscribe(Subscribe { packet_id, properties, filters: filters.as_filters() });
    let answers = away.inject(&subscribe, PLAIN()).await?;
    let Some(Packet::Suback(suback)) = answers.packets().next() else { return Err("no SUBACK".into()) };
    assert_eq!(suback.reasons.iter().collect::<Vec<_>>(), [ReasonCode::GrantedQoS2]);

    // Nobody is called `gateway`: it is made up for its first packet and kept for a minute, so that its exchange of QoS 2
    // can go on.
    let gateway = broker.client("gateway");
    let packet_id = PacketId::new(5).ok_or("not 0")?;
    let sms = Packet::Publish(Publish {
        dup: false,
        qos: QoS::ExactlyOnce,
        retain: false,
        topic: "sms/1",
        packet_id: Some(packet_id),
        properties,
        payload: b"hello",
    });
    assert_eq!(gateway.inject(&sms, PLAIN()).await, Err(InjectError::UnknownClient));
    let answers = gateway.inject(&sms, PLAIN().make_up(60)).await?;
    assert!(
        matches!(answers.packets().next(), Some(Packet::Pubrec(pubrec)) if pubrec.packet_id == packet_id)
    );
    let release = Packet::Pubrel(Ack { packet_id, reason: ReasonCode::Success, properties });
    let answers = gateway.inject(&release, PLAIN()).await?;
    assert!(matches!(answers.packets().next(), Some(Packet::Pubcomp(_))));
    assert_eq!(away.details().await?.queued_messages, 1);

    // The phone comes back and gets it. It never sent that SUBSCRIBE itself, so it listens instead of subscribing.
    let (phone, welcome) = Client::connect(options).await?;
    assert!(welcome.session_present);
    let mut messages = phone.listen("sms/#").await?;
    assert_eq!(messages.recv().await.ok_or("the client has ended")?.text(), "hello");
    broker.shutdown().await;
    Ok(())
}
