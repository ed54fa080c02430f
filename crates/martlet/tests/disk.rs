//! The broker on disks that are full, read-only or broken: real ones, as far as the system lets a test make them.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::{ReasonCode, Version};
use mqtt_testkit::{ConnectBuilder, Peer, connect, publish};
use support::{Broker, martlet, run, stderr, stdout};
use tempfile::{TempDir, tempdir};
use tokio::net::TcpStream;

/// Bytes of a message of which a few dozen fill what is left of the disk.
const LARGE_BYTES: usize = 16 << 10;
const MESSAGES: u16 = 60;

/// A shell with mounts of its own, if the system allows it.
fn apart() -> Option<Command> {
    let is_root = nix::unistd::geteuid().is_root();
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let place = tempdir().expect("a directory");
    let shell = || {
        let mut command = Command::new("unshare");
        command.args(user).args(["--mount", "/bin/sh", "-c"]).stdin(Stdio::null());
        command
    };
    let probe = shell().arg("mount -t tmpfs none \"$0\"").arg(place.path()).output();
    if probe.is_ok_and(|output| output.status.success()) {
        return Some(shell());
    }
    eprintln!("skipped: no file system can be mounted here");
    None
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

async fn open(broker: &Broker, name: &str) -> Peer<TcpStream> {
    Peer::new(name, TcpStream::connect(broker.socket(0)).await.expect("it listens"))
}

async fn admitted(broker: &Broker, client: ConnectBuilder) -> Peer<TcpStream> {
    let mut peer = open(broker, "client").await;
    peer.connect(client).await;
    peer
}

fn lasting(client_id: &str) -> ConnectBuilder {
    connect(client_id).clean(false).session_expiry_s(1000)
}

/// Ends a process that is not a child of the test.
fn kill(pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).expect("it was written before the broker listened");
    let status = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(status.expect("kill runs").success());
}

#[tokio::test]
async fn a_full_disk_is_told_and_survived_and_what_was_acknowledged_is_there() {
    let Some(mut shell) = apart() else { return };
    let (mount, seen) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    shell.arg(include_str!("disk/full.sh")).arg("sh").arg(env!("CARGO_BIN_EXE_martlet"));
    let mut broker = Broker::spawn(shell.arg(mount.path()).arg(seen.path()), 1);

    let mut away = admitted(&broker, lasting("away")).await;
    away.subscribe("t", AtLeastOnce).await;
    let mut publisher = admitted(&broker, connect("publisher")).await;
    publisher.publish(publish("r").payload("stands").qos1(100).retained()).await;
    drop(away);
    for number in 1..=MESSAGES {
        let payload = format!("{number} {}", "x".repeat(LARGE_BYTES));
        publisher.send(publish("t").payload(payload).qos1(number)).await;
    }
    broker.line_with("the durable store is full");

    // Nothing new is taken that would have to be stored, each client is told in its way, and the rest goes on.
    let mut second = admitted(&broker, connect("second")).await;
    second.send(publish("t").payload("refused").qos1(1)).await;
    assert_eq!(second.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    let mut old = admitted(&broker, connect("old").version(Version::V3_1_1)).await;
    old.send(publish("t").payload("refused").qos1(1)).await;
    old.expect_closed().await;
    let mut fresh = open(&broker, "fresh").await;
    let granted = fresh.connect(lasting("fresh")).await;
    assert_eq!(granted.properties().session_expiry_interval_s(), Some(0));
    fresh.subscribe("r", AtMostOnce).await;
    fresh.receive_text("stands").await;
    fresh.subscribe("live", AtMostOnce).await;
    second.send(publish("live").payload("served")).await;
    fresh.receive_text("served").await;

    fs::write(seen.path().join("free"), "").expect("writable");
    broker.line_with("the durable store has room again");
    second.publish(publish("t").payload("after").qos1(2)).await;
    let mut stored = vec!["after".to_owned()];
    for number in 1..=MESSAGES {
        match publisher.expect_puback(number).await.reason {
            ReasonCode::Success => stored.push(format!("{number} {}", "x".repeat(LARGE_BYTES))),
            reason => assert_eq!(reason, ReasonCode::QuotaExceeded),
        }
    }
    kill(&seen.path().join("pid"));
    broker.wait();
    let export = fs::read_to_string(seen.path().join("export.jsonl")).expect("it was written");
    let kept: Vec<&str> = export.lines().filter(|line| line.contains("\"kind\":\"message\"")).collect();
    assert!(stored.len() > 2, "the disk was full before it was used");
    for text in stored {
        assert!(kept.iter().any(|line| line.contains(&text)), "{}", &text[..text.len().min(20)]);
    }
}

/// A directory with a message in it.
async fn filled() -> TempDir {
    let place = tempdir().expect("a directory");
    let broker = Broker::start_on(text(place.path()));
    let mut publisher = admitted(&broker, connect("publisher")).await;
    publisher.publish(publish("r").payload("stands").qos1(1).retained()).await;
    place
}

#[tokio::test]
async fn a_read_only_directory_is_refused_with_a_sentence_and_can_be_looked_at() {
    let place = filled().await;
    let before = stdout(&run(["store", "export", "--data-dir", text(place.path())]));
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && shift && exec \"$@\"";
    for (command, succeeds) in
        [(&["serve", "--listen", "tcp://127.0.0.1:0"][..], false), (&["store", "export"], true)]
    {
        let Some(mut shell) = apart() else { return };
        shell.arg(read_only).arg("sh").arg(place.path()).arg(env!("CARGO_BIN_EXE_martlet"));
        let output = shell.args(command).arg("--data-dir").arg(place.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(if succeeds { 0 } else { 1 }), "{}", stderr(&output));
        if succeeds {
            assert_eq!(stdout(&output), before);
        } else {
            let sentence = format!("error: data directory {}: Read-only file system", text(place.path()));
            assert!(stderr(&output).contains(&sentence), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_with_a_sentence() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let place = file.path().join("data");
    let output = run(["serve", "--listen", "tcp://127.0.0.1:0", "--data-dir", text(&place)]);
    assert_eq!(output.status.code(), Some(1));
    let sentence = format!("error: data directory {}: Not a directory", text(&place));
    assert!(stderr(&output).contains(&sentence), "{}", stderr(&output));
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_nothing_is_written_of_it() {
    let place = tempdir().expect("a directory");
    let _broker = Broker::start_on(text(place.path()));
    for command in [&["serve", "--listen", "tcp://127.0.0.1:0"][..], &["store", "export"], &["store", "dump"]]
    {
        let output = martlet(command).args(["--data-dir", text(place.path())]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("another process uses it"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[tokio::test]
async fn a_sync_that_fails_is_told_and_nothing_is_acknowledged_after_it() {
    let place = tempdir().expect("a directory");
    let library = place.path().join("sync_fails.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/sync_fails.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    if !compiler.status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: there is no C compiler");
    }
    let (data, fails) = (place.path().join("data"), place.path().join("fails"));
    let mut command = martlet(["serve", "--set", "log.format=json", "--set", "storage.durability=acked"]);
    command.args(["--listen", "tcp://127.0.0.1:0", "--data-dir", text(&data)]);
    command.env("LD_PRELOAD", &library).env("SYNC_FAILS", &fails);
    let mut broker = Broker::spawn(&mut command, 1);
    let mut publisher = admitted(&broker, connect("publisher")).await;
    publisher.publish(publish("r").payload("safe").qos1(1).retained()).await;
    fs::write(&fails, "").expect("writable");
    publisher.send(publish("r").payload("not kept").qos1(2).retained()).await;
    publisher.expect_disconnect(ReasonCode::QuotaExceeded).await;
    broker.line_with("the durable store has failed");
    let mut second = admitted(&broker, connect("second")).await;
    second.send(publish("r").payload("refused").qos1(1).retained()).await;
    assert_eq!(second.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    second.ping().await;
    broker.signal("KILL");
    broker.wait();
    let kept = stdout(&run(["store", "export", "--data-dir", text(&data)]));
    // What was written and not synced is there or not, as the system likes; never half.
    assert!(kept.contains("\"safe\"") || kept.contains("\"not kept\""), "{kept}");
    assert!(!kept.contains("refused"), "{kept}");
}
