//! Request and response: section 4.10.

use mqtt_codec::{
    Property,
    QoS::{AtLeastOnce, AtMostOnce},
    Version,
};
use mqtt_testkit::publish;

use crate::harness::broker;

/// [MQTT-3.3.2-15] [MQTT-3.3.2-16]: the whole exchange, with the responder doing only what it was asked.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_15_a_response_finds_its_request() {
    let broker = broker().await;
    let mut requester = broker.v5("requester").await;
    requester.subscribe("answers/requester", AtLeastOnce).await;
    let mut responder = broker.v5("responder").await;
    responder.subscribe("requests/+", AtLeastOnce).await;
    for number in 0..3_u8 {
        let request = publish("requests/time")
            .payload("what time is it?")
            .qos1(1)
            .property(Property::ResponseTopic("answers/requester"))
            .property(Property::CorrelationData(&[number, 0, 255]));
        requester.publish(request).await;
    }
    for _ in 0..3 {
        let request = responder.receive().await;
        let properties = request.properties();
        let topic = properties.response_topic().expect("it says where to");
        let data = properties.correlation_data().expect("it says which");
        let answer = publish(topic).payload("late").qos1(1).property(Property::CorrelationData(data));
        responder.publish(answer).await;
    }
    for number in 0..3 {
        let answer = requester.receive_text("late").await;
        assert_eq!(answer.properties().correlation_data(), Some(&[number, 0, 255][..]));
        assert_eq!(answer.properties().response_topic(), None);
    }
}

/// Clients of 3.1.1 take part through topics alone.
#[tokio::test(start_paused = true)]
async fn a_client_of_3_1_1_may_answer_on_an_agreed_topic() {
    let broker = broker().await;
    let mut requester = broker.v5("requester").await;
    requester.subscribe("answers", AtMostOnce).await;
    let mut responder = broker.client(Version::V3_1_1, "responder").await;
    responder.subscribe("requests", AtMostOnce).await;
    requester.publish(publish("requests").payload("?").property(Property::ResponseTopic("answers"))).await;
    responder.receive_text("?").await;
    responder.publish(publish("answers").payload("!")).await;
    requester.receive_text("!").await;
}
