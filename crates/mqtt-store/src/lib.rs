//! What must outlive an MQTT connection: retained messages, parked sessions, offline queues
