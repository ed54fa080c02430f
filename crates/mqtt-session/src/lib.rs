//! The MQTT protocol as a state machine without I/O, for brokers and clients
