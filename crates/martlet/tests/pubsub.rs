//! `martlet pub`, `sub` and `request` against `martlet serve`, as processes.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use support::{Broker, Scratch, martlet, run, run_with_input, stderr, stdout};

/// A subscriber process whose subscriptions are acknowledged.
struct Subscriber {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Subscriber {
    /// Subscribes, and waits for a retained message that tells that the subscription is there.
    fn start(broker: &Broker, arguments: &[&str]) -> Self {
        static SUBSCRIBERS: AtomicU32 = AtomicU32::new(0);
        let topic = format!("test/ready/{}", SUBSCRIBERS.fetch_add(1, Ordering::Relaxed));
        check_published(broker, &["-t", &topic, "-m", "ready", "-r", "-q", "1"]);
        let mut child = martlet(["sub", "-p", broker.port(), "-t", &topic, "-q", "2"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut subscriber = Self { child, lines };
        assert_ne!(subscriber.line(), "", "it ended");
        subscriber
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("readable");
        line
    }

    /// The rest of the output, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("readable");
        (rest, self.child.wait().expect("it ends").code())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn publish(broker: &Broker, arguments: &[&str]) -> Output {
    martlet(["pub", "-p", broker.port()]).args(arguments).output().expect("the binary runs")
}

fn check_published(broker: &Broker, arguments: &[&str]) {
    let output = publish(broker, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
}

#[test]
fn a_message_arrives_in_every_version_and_quality_of_service() {
    let broker = Broker::start();
    for version in ["31", "311", "5"] {
        let subscriber =
            Subscriber::start(&broker, &["-t", "a/#", "-V", version, "-C", "4", "-F", "%t %q %p"]);
        for qos in ["0", "1", "2"] {
            check_published(&broker, &["-t", "a/b", "-V", version, "-q", qos, "-m", qos]);
        }
        assert_eq!(
            subscriber.end(),
            ("a/b 0 0\na/b 1 1\na/b 2 2\n".to_owned(), Some(0)),
            "version {version}"
        );
    }
}

#[test]
fn websocket_carries_the_same() {
    let broker =
        Broker::start_with(&["--listen", "tcp://127.0.0.1:0", "--listen", "ws://127.0.0.1:0/mqtt"], 2);
    let url = &broker.addresses[1];
    let published = run(["pub", "-L", url, "-t", "over/ws", "-m", "hello", "-q", "2", "-r"]);
    assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
    assert_eq!(stdout(&run(["sub", "-L", url, "-t", "over/ws", "-C", "1"])), "hello\n");
}

#[test]
fn the_topic_may_stand_in_the_url() {
    let broker = Broker::start();
    let url = format!("mqtt://me:word@{}/in%20url", broker.socket(0));
    assert!(run(["pub", "-L", &url, "-m", "hello", "-r", "-q", "1"]).status.success());
    assert_eq!(stdout(&run(["sub", "-L", &url, "-C", "1", "-v"])), "in url hello\n");
}

#[test]
fn payloads_come_from_everywhere() {
    let broker = Broker::start();
    let file = Scratch::with("payload.bin", b"\x00\xff\n");
    let subscriber = Subscriber::start(&broker, &["-t", "p", "-C", "7", "-F", "%x"]);
    check_published(&broker, &["-t", "p", "-q", "1", "-f", file.path()]);
    check_published(&broker, &["-t", "p", "-q", "1", "-n"]);
    let arguments = ["pub", "-p", broker.port(), "-t", "p", "-q", "1"];
    assert!(run_with_input(&[&arguments[..], &["-s"]].concat(), b"a\nb").status.success());
    assert!(run_with_input(&[&arguments[..], &["-l", "-M", "1"]].concat(), b"c\n\nd").status.success());
    let (lines, code) = subscriber.end();
    assert_eq!(lines, "00ff0a\n\n610a62\n63\n\n64\n");
    assert_eq!(code, Some(0));
    let missing = publish(&broker, &["-t", "p", "-f", "/nowhere/at/all"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("/nowhere/at/all: "));
}

#[test]
fn lines_are_published_in_order_with_many_under_way() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(&broker, &["-t", "n", "-C", "2001"]);
    let lines: String = (0..2000).map(|number| format!("{number}\n")).collect();
    let arguments = ["pub", "-p", broker.port(), "-t", "n", "-q", "2", "-l", "-M", "100"];
    let output = run_with_input(&arguments, lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(subscriber.end(), (lines, Some(0)));
}

#[test]
fn a_message_is_repeated_on_request() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(&broker, &["-t", "r", "-C", "4"]);
    check_published(&broker, &["-t", "r", "-m", "x", "--repeat", "3", "--repeat-delay", "0.001", "-q", "1"]);
    assert_eq!(subscriber.end().0, "x\nx\nx\n");
}

#[test]
fn all_properties_travel_and_are_printed() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(
        &broker,
        &[
            "-t",
            "j",
            "-C",
            "2",
            "-F",
            "%C|%D|%F|%P|%R|%S|%r|%j",
            "-D",
            "subscribe",
            "subscription-identifier",
            "7",
        ],
    );
    let properties = "-D publish content-type text/plain -D publish correlation-data id -D publish \
                      payload-format-indicator 1 -D publish user-property k v -D publish user-property k -w \
                      -D publish response-topic r/t -D publish message-expiry-interval 1000";
    let arguments: Vec<&str> = "-t j -q 1 -m hello".split(' ').chain(properties.split_whitespace()).collect();
    check_published(&broker, &arguments);
    let (line, _) = subscriber.end();
    let (fields, json) = line.split_at(line.find('{').expect("JSON"));
    assert_eq!(fields, "text/plain|id|1|k:v k:-w|r/t|7|0|");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json["topic"], "j");
    assert_eq!(json["payload"], "hello");
    assert_eq!(json["qos"], 1);
    assert_eq!(json["retain"], 0);
    assert!(json["mid"].as_u64().is_some_and(|id| id > 0), "{json}");
    let properties = &json["properties"];
    assert_eq!(properties["user-properties"]["k"], serde_json::json!(["v", "-w"]));
    assert_eq!(properties["subscription-identifier"], 7);
    assert!(
        properties["message-expiry-interval"].as_u64().is_some_and(|left| (1..=1000).contains(&left)),
        "{json}"
    );
}

#[test]
fn messages_can_be_left_out() {
    let broker = Broker::start();
    for topic in ["o/1", "o/2", "o/3"] {
        check_published(&broker, &["-t", topic, "-m", topic, "-r", "-q", "1"]);
    }
    let without = run(["sub", "-p", broker.port(), "-t", "o/#", "-T", "o/1", "-T", "+/2", "-C", "1"]);
    assert_eq!(stdout(&without), "o/3\n");
    let subscriber = Subscriber::start(&broker, &["-t", "o/#", "--retained-only"]);
    check_published(&broker, &["-t", "o/1", "-m", "fresh", "-q", "1"]);
    let (retained, code) = subscriber.end();
    assert_eq!((retained.lines().count(), code), (3, Some(0)));
    let fresh_only = run(["sub", "-p", broker.port(), "-t", "o/#", "-R", "-W", "0.3"]);
    assert_eq!((stdout(&fresh_only).as_str(), fresh_only.status.code()), ("", Some(27)));
}

#[test]
fn retained_messages_can_be_removed() {
    let broker = Broker::start();
    for topic in ["x/1", "x/2"] {
        check_published(&broker, &["-t", topic, "-m", topic, "-r", "-q", "1"]);
    }
    let removed = run(["sub", "-p", broker.port(), "-t", "x/#", "-q", "1", "--remove-retained", "-C", "2"]);
    assert_eq!((stdout(&removed).as_str(), removed.status.code()), ("x/1\nx/2\n", Some(0)));
    let rest = run(["sub", "-p", broker.port(), "-t", "x/#", "-W", "0.3"]);
    assert_eq!((stdout(&rest).as_str(), rest.status.code()), ("", Some(27)));
}

#[test]
fn a_session_keeps_messages_while_its_client_is_away() {
    let broker = Broker::start();
    for version in ["311", "5"] {
        let id = format!("me-{version}");
        let session = ["sub", "-p", broker.port(), "-V", version, "-i", &id, "-c", "-t", "s", "-q", "1"];
        let subscribed = martlet(session).arg("-E").output().expect("it runs");
        assert_eq!(subscribed.status.code(), Some(0), "{}", stderr(&subscribed));
        check_published(&broker, &["-t", "s", "-m", "kept", "-q", "1"]);
        let received = martlet(session).args(["-C", "1"]).output().expect("it runs");
        assert_eq!(stdout(&received), "kept\n", "version {version}");
    }
}

#[test]
fn the_will_is_published_when_the_process_dies() {
    let broker = Broker::start();
    let subscriber = Subscriber::start(&broker, &["-t", "will", "-C", "2", "-F", "%p %q %r %C"]);
    let will = "--will-topic will --will-payload gone --will-qos 1 --will-retain -D will content-type c";
    let arguments: Vec<&str> = ["-t", "none", "-V", "5"].into_iter().chain(will.split(' ')).collect();
    let mut victim = Subscriber::start(&broker, &arguments);
    victim.child.kill().expect("it runs");
    victim.child.wait().expect("it ends");
    assert_eq!(subscriber.end().0, "gone 1 0 c\n");
}

#[test]
fn a_request_prints_its_own_response() {
    let broker = Broker::start();
    // The responder is one more pair of tools: it waits for a request, then answers it.
    let mut responder = Subscriber::start(&broker, &["-t", "q", "-C", "2", "-F", "%R %D %p"]);
    let request = martlet([
        "request",
        "-p",
        broker.port(),
        "-t",
        "q",
        "-e",
        "answers",
        "-m",
        "what?",
        "-W",
        "60",
        "-v",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .expect("the binary starts");
    let line = responder.line();
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [topic, data, "what?"] = parts[..] else { panic!("{line}") };
    assert_eq!(topic, "answers");
    check_published(&broker, &["-t", topic, "-m", "not yours", "-D", "publish", "correlation-data", "other"]);
    check_published(&broker, &["-t", topic, "-m", "42", "-D", "publish", "correlation-data", data]);
    let answer = request.wait_with_output().expect("it ends");
    assert_eq!((stdout(&answer).as_str(), answer.status.code()), ("answers 42\n", Some(0)));
    let unanswered = run(["request", "-p", broker.port(), "-t", "nobody", "-e", "e", "-n", "-W", "0.2"]);
    assert_eq!(unanswered.status.code(), Some(27));
}

#[test]
fn a_refusal_is_the_exit_code() {
    let broker = Broker::start_with(
        &[
            "--listen",
            "tcp://127.0.0.1:0",
            "--set",
            "topics.subscribe_denied=[\"secret\"]",
            "--set",
            "protocol.version_max=3.1.1",
        ],
        1,
    );
    let sub =
        |arguments: &[&str]| martlet(["sub", "-p", broker.port()]).args(arguments).output().expect("it runs");
    let version = sub(&["-t", "a"]);
    assert_eq!(version.status.code(), Some(0x84), "{}", stderr(&version));
    let all = sub(&["-t", "secret", "-V", "311"]);
    assert_eq!(all.status.code(), Some(0x80), "{}", stderr(&all));
    let one = sub(&["-t", "secret", "-t", "open", "-V", "311", "-E"]);
    assert_eq!(one.status.code(), Some(0));
    assert!(stderr(&one).contains("warning: the subscription to secret was refused"), "{}", stderr(&one));
    let quiet = sub(&["-t", "secret", "-V", "311", "--quiet"]);
    assert_eq!((quiet.status.code(), stderr(&quiet).as_str()), (Some(0x80), ""));
}

#[test]
fn nobody_there_is_a_runtime_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("a free port").port().to_string();
    for arguments in
        [&["pub", "-t", "a", "-n"][..], &["sub", "-t", "a"], &["request", "-t", "a", "-e", "b", "-n"]]
    {
        let output = martlet(arguments).args(["-h", "127.0.0.1", "-p", &port]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    }
}

#[test]
fn mistakes_on_the_command_line_connect_to_nobody() {
    for arguments in [
        &["pub", "-t", "a/#", "-n"][..],
        &["pub", "-n"],
        &["sub", "-t", "a/#/b"],
        &["sub", "-t", "a", "-V", "311", "--no-local"],
        &["sub", "-t", "a", "-D", "publish", "content-type"],
        &["request", "-t", "a", "-e", "+#", "-n"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_closed_pipe_and_a_signal_end_a_subscriber_quietly() {
    let broker = Broker::start();
    let mut subscriber = Subscriber::start(&broker, &["-t", "c"]);
    drop(std::mem::replace(&mut subscriber.lines, empty_lines()));
    check_published(&broker, &["-t", "c", "-m", "nobody reads this", "-q", "1"]);
    assert_eq!(subscriber.child.wait().expect("it ends").code(), Some(0));

    let subscriber = Subscriber::start(&broker, &["-t", "c"]);
    let process = subscriber.child.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-INT", &process]).status().expect("kill runs").success()
    );
    assert_eq!(subscriber.end(), (String::new(), Some(0)));
}

/// The output of a process that has none.
fn empty_lines() -> BufReader<ChildStdout> {
    let mut child = martlet(["--version"]).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let output = child.stdout.take().expect("piped");
    child.wait().expect("it ends");
    BufReader::new(output)
}
