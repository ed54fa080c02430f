//! An embeddable MQTT broker: connections, routing, retained messages, sessions
