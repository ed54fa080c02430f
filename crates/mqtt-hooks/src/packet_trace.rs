use mqtt_broker::{Events, Hooks, Identity, Packet, PacketVerdict};

/// Logs every packet of admitted clients, in both directions, at level `debug`: what it says, but for payloads and
/// authentication data, of which it tells the number of bytes. A CONNECT, which holds the password, is never seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketTrace;

impl Hooks for PacketTrace {
    fn interests(&self) -> Events {
        Events::PACKET_RECEIVED | Events::PACKET_SENDING
    }

    fn packet_received(&self, client: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        tracing::debug!(client_id = &*client.client_id, "received {}", masked(packet));
        PacketVerdict::Pass
    }

    fn packet_sending(&self, client: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        tracing::debug!(client_id = &*client.client_id, "sending {}", masked(packet));
        PacketVerdict::Pass
    }
}

/// A packet without its secrets.
fn masked(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => format!(
            "Publish {{ topic: {:?}, qos: {}, retain: {}, dup: {}, packet_id: {:?}, properties: {} bytes, payload: {} bytes }}",
            publish.topic,
            publish.qos as u8,
            publish.retain,
            publish.dup,
            publish.packet_id,
            publish.properties.as_bytes().len(),
            publish.payload.len(),
        ),
        Packet::Auth(auth) => format!("Auth {{ reason: {:?}, data: masked }}", auth.reason),
        Packet::Connect(connect) => format!("Connect {{ client_id: {:?}, .. }}", connect.client_id),
        Packet::Connack(connack) => format!("Connack {{ reason: {:?}, .. }}", connack.reason),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use mqtt_broker::codec::{Auth, Publish};
    use mqtt_broker::{Packet, Properties, PropertiesBuf, Property, QoS, ReasonCode};

    use super::masked;

    #[test]
    fn payloads_and_authentication_data_are_not_shown() {
        let mut properties = PropertiesBuf::new();
        properties.push(&Property::AuthenticationMethod("SCRAM")).expect("short");
        properties.push(&Property::AuthenticationData(b"hunter2")).expect("short");
        let auth = Packet::Auth(Auth {
            reason: ReasonCode::ContinueAuthentication,
            properties: properties.as_properties(),
        });
        assert_eq!(masked(&auth), "Auth { reason: ContinueAuthentication, data: masked }");
        let publish = Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic: "t",
            packet_id: None,
            properties: Properties::EMPTY,
            payload: b"hunter2",
        });
        let line = masked(&publish);
        assert!(line.contains("payload: 7 bytes") && !line.contains("hunter2"), "{line}");
    }
}
