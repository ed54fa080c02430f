//! What clients do that only make work, each a process of its own.

use std::io::{self, BufWriter, Write};

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ToWire, pingreq, publish};

use crate::fill::{client_id, retained_topic};
use crate::wire::{self, Wire};

/// `PORT MESSAGES WHAT [SESSION]`.
pub(crate) fn run(words: &[String]) {
    let [port, messages, what, rest @ ..] = words else { panic!("say what to do") };
    let port = port.parse().expect("a port");
    let messages = messages.parse().expect("a number of messages");
    let session = rest.first().map(|text| client_id(text.parse().expect("a session"))).unwrap_or_default();
    let done = match &**what {
        "take" => Wire::connect(port, &session, false).and_then(|mut wire| wire.take(messages)),
        "end" => Wire::connect(port, &session, true).map(|_| ()),
        "match" => match_all(port, messages),
        "clear" => clear(port, messages),
        _ => panic!("say what to do"),
    };
    done.expect("the broker goes on");
}

/// Takes all retained messages, and perhaps a few others.
fn match_all(port: u16, messages: usize) -> io::Result<()> {
    let mut wire = Wire::connect(port, "match", true)?;
    wire.write(mqtt_testkit::subscribe(1).filter("site/#", QoS::AtLeastOnce))?;
    wire.take(messages)
}

/// Clears so many retained messages, and waits until the broker has done it.
fn clear(port: u16, messages: usize) -> io::Result<()> {
    let (mut reader, writer) = Wire::connect(port, "clear", true)?.split();
    let mut writer = BufWriter::with_capacity(64 << 10, writer);
    for number in 0..messages {
        writer.write_all(&publish(&retained_topic(number)).retained().to_wire(Version::V3_1_1))?;
    }
    writer.write_all(&pingreq())?;
    writer.flush()?;
    wire::read(&mut reader).map(|_| ())
}
