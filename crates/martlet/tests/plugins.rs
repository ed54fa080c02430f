//! Plug-ins in the program, as a process.
#![cfg(feature = "plugins")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::{Broker, Scratch, run, stderr};

/// Gives each device a room of its own.
const ROOMS: &[u8] = include_bytes!("../../mqtt-plugin/tests/guests/rooms.wasm");
/// Rewrites the payload of `asked` to how often it was asked.
const UNRULY: &[u8] = include_bytes!("../../mqtt-plugin/tests/guests/unruly.wasm");

/// CONNECT of MQTT 3.1.1 with the client identifier `c`, and its CONNACK.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";
/// SUBSCRIBE to `#` at QoS 0, and its SUBACK.
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01#\x00";
const SUBACK: &[u8] = b"\x90\x03\x00\x01\x00";

fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, expected);
}

#[test]
fn a_plug_in_answers_and_is_replaced_while_its_clients_stay() {
    let file = Scratch::with("answers.wasm", ROOMS);
    // One text that suits both: a single level for the one, one event only for the other.
    let files = format!("plugins.files=[{:?}]", file.path());
    let arguments = ["--listen", "tcp://127.0.0.1:0", "--set", &files];
    let settings = ["--set", "plugins.settings=[\"publish only\"]", "--set", "plugins.check_interval_ms=0"];
    let mut broker = Broker::start_with(&[&arguments[..], &settings].concat(), 1);
    let mut stream = TcpStream::connect(broker.socket(0)).expect("the listener is open");
    stream.write_all(&[CONNECT, SUBSCRIBE].concat()).expect("writable");
    expect(&mut stream, CONNACK);
    expect(&mut stream, SUBACK);
    stream.write_all(b"\x30\x06\x00\x04my/x").expect("writable");
    expect(&mut stream, b"\x30\x12\x00\x10publish only/c/x");

    std::fs::write(file.path(), UNRULY).expect("written");
    broker.signal("HUP");
    broker.line_with("a new version is asked from now on");
    stream.write_all(b"\x30\x07\x00\x05asked").expect("writable");
    expect(&mut stream, b"\x30\x08\x00\x05asked1");

    std::fs::write(file.path(), "no component").expect("written");
    broker.signal("HUP");
    broker.line_with("no WebAssembly component");
    broker.line_with("nothing was taken over");
    stream.write_all(b"\x30\x07\x00\x05asked").expect("writable");
    expect(&mut stream, b"\x30\x08\x00\x05asked2");
}

#[test]
fn a_plug_in_that_cannot_be_used_ends_the_start() {
    let file = Scratch::with("wrong.wasm", "no component");
    let files = format!("plugins.files=[{:?}]", file.path());
    let output = run(["serve", "--in-memory", "--listen", "tcp://127.0.0.1:0", "--set", &files]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains(file.path()) && told.contains("no WebAssembly component"), "{told}");
}
