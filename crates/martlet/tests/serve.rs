//! `martlet serve` and the commands around its configuration, as processes.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use support::{Broker, Scratch, martlet, run, stderr, stdout};

/// CONNECT of MQTT 3.1.1 with an empty client identifier.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
/// CONNACK: accepted, no session.
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn connected(socket: &str) -> TcpStream {
    let mut stream = TcpStream::connect(socket).expect("the listener is open");
    stream.write_all(CONNECT).expect("writable");
    let mut answer = [0; CONNACK.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, CONNACK);
    stream
}

#[test]
fn the_addresses_are_written_once_all_listeners_are_open() {
    let file = Scratch::new("addresses");
    let listen = ["--listen", "tcp://127.0.0.1:0", "--listen", "ws://127.0.0.1:0/mqtt"];
    let broker = Broker::start_with(&[&listen[..], &["--print-addresses", file.path()]].concat(), 2);
    let written = std::fs::read_to_string(file.path()).expect("the file was written first");
    assert_eq!(written, broker.addresses.join("\n") + "\n");
    assert!(!written.contains(":0"), "real ports: {written}");
    assert!(broker.addresses[1].starts_with("ws://127.0.0.1:") && broker.addresses[1].ends_with("/mqtt"));
    connected(broker.socket(0));
}

#[test]
fn a_signal_ends_it_gracefully() {
    for signal in ["TERM", "INT"] {
        let mut broker = Broker::start();
        let mut client = connected(broker.socket(0));
        broker.signal(signal);
        let (code, log) = broker.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("shutting down") && log.contains("\"shut down\""), "{log}");
        // MQTT 3.1.1 has no words for it: the connection is closed, not reset.
        assert_eq!(client.read(&mut [0; 16]).expect("closed properly"), 0);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let patience = ["--set", "limits.linger_ms=3600000", "--set", "limits.shutdown_timeout_ms=3600000"];
    let mut broker = Broker::start_with(&[&["--listen", "tcp://127.0.0.1:0"][..], &patience].concat(), 1);
    // It does not close its side, so that the broker waits for it.
    let _client = connected(broker.socket(0));
    broker.signal("TERM");
    broker.line_with("shutting down");
    broker.signal("INT");
    let (code, log) = broker.wait();
    assert_eq!(code, Some(1));
    assert!(log.ends_with("error: SIGINT: ended before the shutdown was complete\n"), "{log}");
}

#[test]
fn an_address_that_is_taken_is_a_runtime_error() {
    let broker = Broker::start();
    let output = run(["serve", "--in-memory", "--listen", &broker.addresses[0]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(broker.socket(0)), "{}", stderr(&output));
}

#[test]
fn a_file_that_cannot_be_written_is_a_runtime_error() {
    let output = run([
        "serve",
        "--in-memory",
        "--listen",
        "tcp://127.0.0.1:0",
        "--print-addresses",
        "/nowhere/at/all",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: /nowhere/at/all: "), "{}", stderr(&output));
}

#[test]
fn an_address_for_everybody_needs_an_explicit_word() {
    let output = run(["serve", "--listen", "tcp://0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--allow-anonymous"), "{}", stderr(&output));
    let broker = Broker::start_with(&["--listen", "tcp://0.0.0.0:0", "--allow-anonymous"], 1);
    connected(&format!("127.0.0.1:{}", broker.port()));
}

#[test]
fn a_wrong_configuration_is_refused_with_all_its_errors() {
    let file = Scratch::with("wrong.toml", "[limits]\nlinger = 1\n[[listener]]\nurl = 'tcp://[::]:1883'\n");
    for (arguments, code) in [(&["serve", "--config"][..], 2), (&["check-config"], 1)] {
        let output = martlet(arguments).arg(file.path()).output().expect("it runs");
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        let expected = format!("error: {}:2:1: unknown option `limits.linger`", file.path());
        assert!(errors.starts_with(&expected), "{errors}");
        assert!(
            errors.contains(&format!("error: {}:4:7: tcp://[::]:1883 can be reached", file.path())),
            "{errors}"
        );
        assert!(errors.ends_with("2 errors in the configuration\n"), "{errors}");
    }
}

#[test]
fn a_right_configuration_is_confirmed() {
    let file = Scratch::with("right.toml", "[limits]\nlinger_ms = 1\n");
    let output = run(["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("{}: no errors\n", file.path()));
    let missing = run(["check-config", "/nowhere/at/all.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("/nowhere/at/all.toml: cannot be read"));
}

#[test]
fn the_printed_configuration_is_one_that_prints_itself() {
    let file = Scratch::with("source.toml", "[protocol]\nkeep_alive_max_s = 60\n[log]\nfilter = 'error'\n");
    let printed =
        martlet(["serve", "--config", file.path(), "--print-config", "--set", "queue.overflow=drop-oldest"])
            .env("MARTLET_LIMITS_LINGER_MS", "77")
            .env("RUST_LOG", "warn")
            .output()
            .expect("it runs");
    let text = stdout(&printed);
    assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
    for line in ["keep_alive_max_s = 60", "overflow = \"drop-oldest\"", "linger_ms = 77", "filter = \"warn\""]
    {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing");
    }
    let again = Scratch::with("printed.toml", &text);
    assert_eq!(stdout(&run(["--config", again.path(), "--print-config"])), text);
}

#[test]
fn every_key_of_the_configuration_reaches_the_broker_that_runs() {
    let broker = Broker::start_with(
        &[
            "--listen",
            "tcp://127.0.0.1:0",
            "--set",
            "protocol.version_max=3.1",
            "--set",
            "runtime.worker_threads=1",
        ],
        1,
    );
    let mut stream = TcpStream::connect(broker.socket(0)).expect("the listener is open");
    stream.write_all(CONNECT).expect("writable");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed properly");
    assert_eq!(answer, b"\x20\x02\x00\x01", "unacceptable protocol version");
}

#[test]
fn a_data_directory_belongs_to_one_broker_at_a_time() {
    let directory = std::env::temp_dir().join(format!("martlet-one-{}", std::process::id()));
    let path = directory.to_str().expect("text");
    let broker = Broker::start_on(path);
    let second = run(["serve", "--listen", "tcp://127.0.0.1:0", "--data-dir", path]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another process"), "{}", stderr(&second));
    let looked_into = run(["store", "dump", "--data-dir", path]);
    assert_eq!(looked_into.status.code(), Some(1), "{}", stderr(&looked_into));
    drop(broker);
    let looked_into = run(["store", "dump", "--data-dir", path]);
    assert!(stdout(&looked_into).contains("sessions        0"), "{}", stderr(&looked_into));
    std::fs::remove_dir_all(directory).expect("it is there");
}

#[test]
fn a_wrong_command_line_is_told_from_a_request_for_help() {
    assert_eq!(run(["serve", "--nothing"]).status.code(), Some(2));
    assert_eq!(run(["nothing"]).status.code(), Some(2));
    for command in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{command:?}");
    }
}

#[test]
fn log_lines_are_json_unless_a_terminal_reads_them() {
    let mut broker = Broker::start_with(
        &["--listen", "tcp://127.0.0.1:0", "--log", "debug", "--set", "log.format=auto"],
        1,
    );
    broker.signal("TERM");
    let (_, log) = broker.wait();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with('}'), "{line}");
    }
}

#[test]
fn log_lines_are_text_on_request() {
    let mut child =
        martlet(["serve", "--in-memory", "--listen", "tcp://127.0.0.1:0", "--set", "log.format=text"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let line = log.lines().map_while(Result::ok).find(|line| line.contains("listening"));
    let line = line.expect("it listens");
    assert!(line.contains(" INFO ") && line.contains("listening url=tcp://127.0.0.1:"), "{line}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[cfg(not(feature = "plugins"))]
#[test]
fn a_program_without_plug_ins_refuses_them_with_their_place_whether_it_serves_or_checks() {
    let file = Scratch::with("plugins.toml", "[plugins]\nfiles = [\"rooms.wasm\"]\n");
    for (arguments, code) in [(&["serve", "--config"][..], 2), (&["check-config"], 1)] {
        let output = martlet(arguments).arg(file.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let told = stderr(&output);
        let place = format!("{}:2:", file.path());
        assert!(told.contains(&place) && told.contains("--features plugins"), "{told}");
    }
}

#[test]
fn what_no_rule_decides_is_explained_as_left_to_the_service_that_is_asked() {
    let text = "[access]\nrules = [\"allow user=anna publish own/#\", \"deny subscribe secret/#\"]\n\
                [http_access]\nurl = \"http://127.0.0.1:9/topics\"\n";
    let file = Scratch::with("asked.toml", text);
    let asked = "no rule decides: the service of [http_access] is asked";
    for (action, topic, code, told) in [
        ("publish", "own/1", 0, "allowed by "),
        ("publish", "others/1", 1, asked),
        ("subscribe", "secret/#", 1, "denied by "),
        ("subscribe", "others/#", 1, asked),
        ("receive", "others/1", 1, "denied: no rule applies"),
    ] {
        let arguments = &["acl", "explain", "--user", "anna", "--config"];
        let output = martlet(arguments).arg(file.path()).args([action, topic]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(told), "{action} {topic}: {said}{}", stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{action} {topic}");
    }
}
