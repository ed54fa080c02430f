//! Every MQTT connection looks the same: TCP and WebSocket streams, framed reading, coalesced writing
