//! New versions of a plug-in, and components that are none.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::codec::QoS::AtMostOnce;
use mqtt_plugin::{Plugin, PluginError};
use mqtt_testkit::publish;

use crate::harness::{ROOMS, UNRULY, client, house, options};

/// One level, as the example wants its settings, and what keeps the other guest to one event.
const SETTINGS: &str = "publish only";

#[tokio::test(start_paused = true)]
async fn a_new_version_answers_for_clients_that_stay_connected() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("guest.wasm");
    fs::write(&path, ROOMS).expect("written");
    let plugin = Arc::new(Plugin::open(&path, options(SETTINGS)).expect("a plug-in"));
    assert_eq!(plugin.name(), "guest");
    let broker = house(&plugin).await;
    let mut peer = client(&broker, "c").await;
    peer.subscribe("#", AtMostOnce).await;
    peer.publish(publish("my/x").payload("old")).await;
    assert_eq!(peer.receive_text("old").await.topic, "publish only/c/x");

    fs::write(&path, UNRULY).expect("written");
    plugin.reload().expect("a version that can be used");
    peer.publish(publish("asked")).await;
    peer.receive_text("1").await;

    fs::write(&path, b"half a fi").expect("written");
    assert!(matches!(plugin.reload(), Err(PluginError::NoComponent(_))));
    fs::remove_file(&path).expect("removed");
    assert!(matches!(plugin.reload(), Err(PluginError::Read(..))));
    peer.publish(publish("asked")).await;
    peer.receive_text("2").await;
    let figures = plugin.figures();
    assert_eq!((figures.reloads, figures.failed_reloads), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_noticed() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("guest.wasm");
    fs::write(&path, ROOMS).expect("written");
    let plugin = Arc::new(Plugin::open(&path, options(SETTINGS)).expect("a plug-in"));
    let broker = house(&plugin).await;
    let interval = Duration::from_secs(10);
    let watching = tokio::spawn(plugin.watch(interval));
    let mut peer = client(&broker, "c").await;
    peer.subscribe("asked", AtMostOnce).await;
    fs::write(&path, UNRULY).expect("written");
    while plugin.figures().reloads == 0 {
        tokio::time::sleep(interval).await;
    }
    peer.publish(publish("asked")).await;
    peer.receive_text("1").await;
    assert_eq!(plugin.figures().failed_reloads, 0);
    broker.shutdown().await;
    drop((broker, plugin));
    watching.await.expect("it ends with the plug-in");
}

#[test]
fn a_version_that_wants_to_be_asked_more_needs_a_new_start() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("guest.wasm");
    fs::write(&path, UNRULY).expect("written");
    let plugin = Plugin::open(&path, options(SETTINGS)).expect("a plug-in");
    fs::write(&path, ROOMS).expect("written");
    assert!(matches!(plugin.reload(), Err(PluginError::MoreEvents)));
}

#[test]
fn what_is_no_component_for_this_interface_is_refused() {
    let open = |bytes: &[u8]| Plugin::from_bytes("guest", bytes, options(""));
    let module = b"\0asm\x01\0\0\0";
    for bytes in [&b""[..], b"text", module] {
        assert!(matches!(open(bytes), Err(PluginError::NoComponent(_))), "{bytes:?}");
    }
    let empty = b"\0asm\x0d\0\x01\0";
    assert!(matches!(open(empty), Err(PluginError::Interface(_))));
    let other = replaced(ROOMS, b"@0.1.0", b"@0.9.0");
    let error = open(&other).expect_err("another version");
    assert!(matches!(error, PluginError::Interface(_)), "{error}");
    assert!(error.to_string().contains("martlet:plugin"), "{error}");
}

/// The bytes with each occurrence of `from` replaced by as many bytes.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}
