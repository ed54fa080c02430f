//! The limit on open files, as the system gives it to the process.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use support::{Broker, Scratch};

/// A broker that is started with other limits, as the shell's `ulimit` takes them.
fn start(name: &str, ulimit: &str, limits: &str) -> (Broker, Scratch) {
    let listener = "[[listener]]\nurl = 'tcp://127.0.0.1:0'\nallow_anonymous = true";
    let text = format!("[storage]\nin_memory = true\n[log]\nformat = 'json'\n[limits]\n{limits}\n{listener}");
    let configuration = Scratch::with(name, text);
    let script = format!("ulimit {ulimit} && exec \"$@\"");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &script,
        "sh",
        env!("CARGO_BIN_EXE_martlet"),
        "serve",
        "--config",
        configuration.path(),
    ]);
    (Broker::spawn(command.env_clear(), 0), configuration)
}

/// Soft and hard limit of a running process.
fn open_files(process: u32) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs on Linux");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    std::array::from_fn(|_| words.next().expect("soft and hard"))
}

#[cfg(target_os = "linux")]
#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let [_, hard_here] = open_files(std::process::id());
    let (mut broker, _configuration) = start("soft.toml", "-Sn 64", "connections_max = 1");
    broker.line_with("\"listening\"");
    assert_eq!(open_files(broker.id()), [hard_here.clone(), hard_here]);
}

/// What does not fit is refused like any other connection too many, instead of waiting, and the others go on.
#[cfg(target_os = "linux")]
#[test]
fn a_hard_limit_below_the_connections_asked_for_is_told_and_bounds_them() {
    let (mut broker, _configuration) = start("hard.toml", "-n 200", "connections_max = 500");
    let told = broker.line_with("the limit on open files is too low for limits.connections_max");
    for part in ["\"WARN\"", "\"limit\":200", "\"asked\":500", "\"connections_max\":100"] {
        assert!(told.contains(part), "{told}");
    }
    let line = broker.line_with("\"listening\"");
    let (_, url) = line.split_once("tcp://").expect("its address");
    let address = url.split('"').next().expect("a closing quote");
    assert_eq!(open_files(broker.id()), ["200", "200"]);
    let dial = || TcpStream::connect(address).expect("it listens");
    let mut clients: Vec<TcpStream> = (0..100).map(|_| dial()).collect();
    for client in &mut clients {
        client.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00").expect("writable");
        let mut welcome = [0; 4];
        client.read_exact(&mut welcome).expect("a CONNACK");
        assert_eq!(welcome, *b"\x20\x02\x00\x00");
    }
    for _ in 0..20 {
        assert_eq!(dial().read(&mut [0]).unwrap_or(0), 0, "closed at once");
    }
    for client in &mut clients {
        client.write_all(b"\xC0\x00").expect("writable");
        let mut answer = [0; 2];
        client.read_exact(&mut answer).expect("a PINGRESP");
    }
}

/// Whoever asked for nothing is told as well, but not warned.
#[cfg(target_os = "linux")]
#[test]
fn a_hard_limit_below_the_usual_connections_is_no_warning() {
    let (mut broker, _configuration) = start("usual.toml", "-n 300", "");
    let told = broker.line_with("the limit on open files bounds the connections");
    assert!(told.contains("\"INFO\"") && told.contains("\"connections_max\":172"), "{told}");
}
