//! Whether a message costs more among many clients: an empty broker and one with silent clients and their subscriptions, in
//! turns, under the load of `martlet bench` over sockets.
//!
//! `cargo run --release -p benches --example crowd -- MARTLET [CLIENTS SUBSCRIPTIONS_EACH]`. The silent clients are
//! connected through memory: no limit of open files bounds them.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::process::Command;
use std::time::Instant;

use mqtt_broker::{Broker, ListenerSettings, Peer};
use mqtt_codec::QoS;
use mqtt_testkit::{connect, subscribe};
use mqtt_transport::Connection;
use tokio::io::DuplexStream;

const CLIENTS: usize = 100_000;
const SUBSCRIPTIONS_EACH: usize = 10;
/// Bytes on their way to a silent client at most.
const PIPE_BYTES: usize = 1024;
const ROUNDS: usize = 3;
const LOADS: [(&str, &str); 4] = [
    ("10 pairs, QoS 0", "pairs 10 --qos 0"),
    ("10 pairs, QoS 1", "pairs 10 --qos 1"),
    ("50 pairs, one message under way, QoS 0", "pairs 50 --qos 0 --window 1"),
    ("50 pairs, one message under way, QoS 1", "pairs 50 --qos 1 --window 1"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, usual| words.get(at).map_or(usual, |word| word.parse().expect("a number"));
    let (clients, each) = (number(1, CLIENTS), number(2, SUBSCRIPTIONS_EACH));
    let program = words.first().expect("name the program `martlet`");
    // One thread serves: the load tool has the other processor, and nothing moves between threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (empty, full) = runtime.block_on(async { (start().await, start().await) });
    let (before, began) = (resident_bytes(), Instant::now());
    let crowd = runtime.block_on(gather(&full, clients, each));
    println!(
        "{} clients with {each} subscriptions each within {:.1} s; {} bytes of memory for each, its end of the pipe included",
        crowd.len(),
        began.elapsed().as_secs_f64(),
        (resident_bytes() - before) / clients.max(1),
    );
    for (name, load) in LOADS {
        for round in 1..=ROUNDS {
            let [alone, among] = [&empty, &full].map(|broker| cpu_us(program, load, broker));
            println!(
                "{name}, round {round}: {alone:.3} us alone, {among:.3} us among them, {:.2} x",
                among / alone
            );
        }
    }
}

async fn start() -> Broker {
    let url = "tcp://127.0.0.1:0".parse().expect("an address");
    let builder = Broker::builder().listen(ListenerSettings::new(url).allow_anonymous());
    builder.start().await.expect("a port is free")
}

/// Connects the silent clients and hands their ends of the pipes over.
async fn gather(broker: &Broker, clients: usize, each: usize) -> Vec<DuplexStream> {
    let mut crowd = Vec::with_capacity(clients);
    for client in 0..clients {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        broker.attach(Connection::boxed(far), Peer::anonymous());
        let mut peer = mqtt_testkit::Peer::new("silent", near);
        peer.connect(connect(&format!("silent {client}")).keep_alive_s(0)).await;
        let filter = |number| format!("house/{client}/room/{number}/#");
        let request =
            (0..each).fold(subscribe(1), |request, number| request.filter(&filter(number), QoS::AtMostOnce));
        peer.subscribe_with(request).await;
        crowd.push(peer.into_stream());
    }
    crowd
}

/// CPU time of this process for each message of a load, in microseconds.
fn cpu_us(program: &str, load: &str, broker: &Broker) -> f64 {
    let address = broker.addresses().iter().next().expect("it listens");
    let mut command = Command::new(program);
    command.arg("bench").args(load.split(' ')).args([
        "--duration",
        "1.5",
        "--warm-up",
        "0.3",
        "--quiet",
        "--json",
    ]);
    command.args(["--url", &address.to_string(), "--pid", &std::process::id().to_string()]);
    let said = command.output().expect("it can be started").stdout;
    let said = String::from_utf8(said).expect("JSON");
    let (_, rest) = said.split_once("\"cpu_us_per_message\":").expect("a figure");
    let end = rest.find([',', '}']).expect("the end of a member");
    rest[..end].trim().parse().expect("a number")
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}
