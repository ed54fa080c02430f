//! `martlet bench` against the real broker, and against one that loses messages.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;

use serde_json::Value;
use support::{Broker, run, stderr, stdout};

/// Runs `martlet bench` with these words and the given address.
fn bench(words: &str, url: &str) -> Output {
    run(["bench"].into_iter().chain(words.split_whitespace()).chain(["--url", url]))
}

/// The JSON of a run that must find nothing wrong.
fn found(words: &str, url: &str) -> Value {
    let output = bench(&format!("{words} --json"), url);
    assert_eq!(output.status.code(), Some(0), "{words}: {}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!((&report["ok"], &report["problems"]), (&Value::Bool(true), &Value::Array(vec![])), "{words}");
    report
}

/// Runs a scenario whose publishers send 100 messages each, and compares what was received.
fn check_load(words: &str, url: &str, received: u64) {
    let report = found(&format!("{words} --count 100"), url);
    assert_eq!(report["check"]["received"], received, "{words}");
    assert_eq!(report["measured"]["delivered"], received, "{words}");
    assert!(report["latency"]["p99_us"].as_f64() > Some(0.0), "{words}");
}

#[test]
fn every_shape_arrives_completely_at_every_qos_and_version() {
    for version in ["3.1", "3.1.1", "5"] {
        // One for each, since nobody reads the log, and a pipe holds only so much of it.
        let broker = Broker::start();
        for qos in 0..=2 {
            let options = format!("--qos {qos} --protocol-version {version}");
            check_load(&format!("pairs 3 {options}"), &broker.addresses[0], 300);
            check_load(&format!("fanout 4 {options}"), &broker.addresses[0], 400);
            check_load(&format!("fanin 3 {options}"), &broker.addresses[0], 300);
            check_load(&format!("shared 3 2 {options}"), &broker.addresses[0], 300);
        }
    }
}

#[test]
fn options_change_the_load_and_nothing_is_lost() {
    let broker = Broker::start();
    let url = &broker.addresses[0];
    check_load("pairs 5 --window 1", url, 500);
    check_load("pairs 2 --window 7 --qos 1 --payload 16", url, 200);
    check_load("pairs 2 --payload 100000", url, 200);
    check_load("pairs 2 --rate 20000", url, 200);
    check_load("fanin 2 --total-rate 20000 --threads 2", url, 200);
}

#[test]
fn websocket_works_like_tcp() {
    let broker = Broker::start_with(&["--listen", "ws://127.0.0.1:0/mqtt"], 1);
    check_load("pairs 2 --qos 2", &broker.addresses[0], 200);
    found("conns 3 --idle 0", &broker.addresses[0]);
}

#[test]
fn a_run_of_some_time_tells_rates_and_what_the_broker_needs() {
    let broker = Broker::start();
    let words = format!("pairs 2 --warm-up 0.05 --duration 0.2 --pid {}", broker.id());
    let report = found(&words, &broker.addresses[0]);
    assert!(report["measured"]["delivered_per_s"].as_f64() > Some(0.0));
    assert!(report["broker"]["rss_bytes"].as_u64() > Some(0));
    assert!(report["broker"]["cpu_us_per_message"].is_number());
}

#[test]
fn connections_are_counted_and_measured() {
    let broker = Broker::start();
    let words = format!("conns 50 --concurrency 5 --idle 0 --pid {}", broker.id());
    let report = found(&words, &broker.addresses[0]);
    assert_eq!(
        (&report["connecting"]["clients"], &report["subscribing"]["clients"]),
        (&50.into(), &50.into())
    );
    assert!(report["idle"]["rss_bytes_each"].is_number());
}

#[test]
fn clients_that_come_and_go_are_counted() {
    let broker = Broker::start();
    assert_eq!(found("churn 4 --count 40", &broker.addresses[0])["clients"]["cycles"], 40);
}

#[test]
fn retained_messages_come_back_and_are_taken_away() {
    let broker = Broker::start();
    for qos in 0..=2 {
        // More than are sent in one go.
        let words = format!("retained 1200 --qos {qos} --prefix same");
        assert_eq!(found(&words, &broker.addresses[0])["replay"]["messages"], 1200);
    }
    let kept = found("retained 10 --keep --prefix kept", &broker.addresses[0]);
    assert_eq!(kept["replay"]["live"], 0);
    let more = bench("retained 5 --prefix kept --silence 0.1", &broker.addresses[0]);
    assert_eq!(more.status.code(), Some(0), "the five are among the ten: {}", stderr(&more));
}

#[test]
fn what_is_lost_is_told_and_the_exit_code_says_so() {
    let url = lossy_broker();
    let output = bench("pairs 1 --count 10 --protocol-version 3.1.1 --silence 0.1 --json", &url);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "error: 2 messages lost; 1 messages duplicated\n");
    let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!((&report["ok"], &report["check"]["lost"]), (&Value::Bool(false), &2.into()));
}

#[test]
fn a_broker_that_is_not_there_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let output = bench("pairs", &format!("tcp://{free}"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Connection refused"), "{}", stderr(&output));
    assert_eq!(bench("pairs --pid 4294967295", "tcp://127.0.0.1:1").status.code(), Some(2));
}

#[test]
fn people_get_a_table() {
    let broker = Broker::start();
    let output = bench("pairs 2 --count 10", &broker.addresses[0]);
    let text = stdout(&output);
    assert!(text.contains("\n  delivered per s ") && text.contains("\n  lost "), "{text}");
}

/// A broker for one pair at QoS 0: passes the third message on twice, the fifth and the last one not at all. Returns its
/// address.
fn lossy_broker() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        let mut subscriber = admitted(&listener);
        let subscribe = packet(&mut subscriber);
        subscriber.write_all(&[0x90, 3, subscribe[2], subscribe[3], 0]).expect("SUBACK");
        let mut publisher = admitted(&listener);
        for number in 1..=10 {
            let message = packet(&mut publisher);
            let copies = [1, 1, 2, 1, 0, 1, 1, 1, 1, 0][number - 1];
            subscriber.write_all(&message.repeat(copies)).expect("PUBLISH");
        }
        // Both stay open until their clients leave.
        assert_eq!((packet(&mut publisher)[0], packet(&mut subscriber)[0]), (0xE0, 0xE0));
    });
    url
}

/// The next client, after its CONNACK.
fn admitted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("a client");
    assert_eq!(packet(&mut stream)[0], 0x10);
    stream.write_all(&[0x20, 2, 0, 0]).expect("CONNACK");
    stream
}

/// One packet whose length takes one byte.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut packet = vec![0; 2];
    stream.read_exact(&mut packet).expect("a fixed header");
    packet.resize(2 + usize::from(packet[1]), 0);
    stream.read_exact(&mut packet[2..]).expect("the rest");
    packet
}
