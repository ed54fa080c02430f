//! The Martlet MQTT broker and its command-line tools.
fn main() {}
