//! MQTT topic names and filters, and the two trees that match them
