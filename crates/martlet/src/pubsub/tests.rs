use std::ffi::OsString;

use clap::Parser as _;
use mqtt_codec::{Property, QoS, Version};

use super::args::ConnectionArguments;
use super::format::Format;
use super::options::ConnectionOptions;
use super::properties::join_parts;
use crate::cli::{Arguments, Command};

/// Parses a command line, in which words are separated by one space.
fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = line.split(' ').map(OsString::from);
    Arguments::try_parse_from(join_parts(words)).map(|arguments| arguments.command.expect("a command"))
}

fn connection(line: &str) -> ConnectionArguments {
    match parse(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
        Command::Pub(arguments) => arguments.connection,
        Command::Sub(arguments) => arguments.connection,
        Command::Request(arguments) => arguments.connection,
        _ => panic!("{line} is no tool"),
    }
}

fn options(line: &str) -> ConnectionOptions {
    ConnectionOptions::new(&connection(line), || "unique".to_owned()).expect(line)
}

fn check_refused(line: &str, part: &str) {
    let message = parse(line).err().unwrap_or_else(|| panic!("{line} is accepted")).to_string();
    assert!(message.contains(part), "{line}: {message}");
}

fn check_options_refused(line: &str, expected: &str) {
    let refused = ConnectionOptions::new(&connection(line), || "unique".to_owned());
    assert_eq!(refused.expect_err(line), expected, "{line}");
}

#[test]
fn clap_finds_no_contradiction_in_the_definitions() {
    use clap::CommandFactory as _;
    Arguments::command().debug_assert();
}

#[test]
fn nothing_but_a_topic_means_mqtt_5_on_this_machine() {
    let options = options("martlet sub -t a");
    assert_eq!(options.url.to_string(), "tcp://localhost:1883");
    assert_eq!(options.version, Version::V5);
    assert_eq!((options.client_id.as_str(), options.clean_start, options.keep_alive_s), ("", true, 60));
    assert!(options.username.is_none() && options.password.is_none() && options.will.is_none());
    assert!(options.connect_properties.is_empty() && options.disconnect_properties.is_empty());
}

#[test]
fn the_letters_of_mosquitto_are_understood() {
    let options = options(
        "martlet pub -h broker -p 99 -t a -m x -q 1 -r -V mqttv5 -u me -P -word -i one -k 0 -c -x 7 -d --quiet \
         --will-topic w --will-payload -1 --will-qos 2 --will-retain -D connect receive-maximum 3 -D will \
         content-type c -D disconnect session-expiry-interval 0 -M 5 --repeat 3 --repeat-delay 0.5",
    );
    assert_eq!(options.url.to_string(), "tcp://broker:99");
    assert_eq!(options.client_id, "one");
    assert_eq!(options.username.as_deref(), Some("me"));
    assert_eq!(options.password.as_deref(), Some(&b"-word"[..]));
    assert_eq!((options.keep_alive_s, options.clean_start), (0, false));
    let connect: Vec<Property<'_>> = options.connect_properties.as_properties().iter().collect();
    assert_eq!(connect.len(), 2);
    assert_eq!(options.connect_properties.as_properties().session_expiry_interval_s(), Some(7));
    assert_eq!(options.disconnect_properties.as_properties().session_expiry_interval_s(), Some(0));
    let will = options.will.expect("a will");
    assert_eq!(
        (will.topic.as_str(), &*will.payload, will.qos, will.retain),
        ("w", &b"-1"[..], QoS::ExactlyOnce, true)
    );
    assert_eq!(will.properties.as_properties().content_type(), Some("c"));
}

#[test]
fn every_way_to_give_a_payload_excludes_the_others() {
    for payload in ["-m x", "-m -5", "-f file", "-s", "-n", "-l"] {
        assert!(parse(&format!("martlet pub -t a {payload}")).is_ok(), "{payload}");
    }
    for payload in ["-m x", "-m -D", "-f file", "-s", "-n"] {
        assert!(parse(&format!("martlet request -t a -e b {payload}")).is_ok(), "{payload}");
    }
    check_refused("martlet pub -t a", "required");
    check_refused("martlet pub -t a -m x -n", "cannot be used with");
    check_refused("martlet pub -t a -l -s", "cannot be used with");
    check_refused("martlet pub -t a -l --repeat 2", "cannot be used with");
    check_refused("martlet request -t a -e b", "required");
    check_refused("martlet request -t a -m x", "--response-topic");
}

#[test]
fn a_session_that_is_kept_needs_a_name() {
    check_refused("martlet sub -t a -c", "--id");
    assert!(!options("martlet sub -t a -c -I prefix-").clean_start);
    let id = options("martlet sub -t a -I prefix-").client_id;
    assert_eq!(id, format!("prefix-{}", std::process::id()));
    check_refused("martlet sub -t a -i one -I two", "cannot be used with");
}

#[test]
fn a_session_expires_as_asked_for() {
    let expiry = |line| options(line).connect_properties.as_properties().session_expiry_interval_s();
    assert_eq!(expiry("martlet sub -t a"), None);
    assert_eq!(expiry("martlet sub -t a -i me -c"), Some(u32::MAX));
    assert_eq!(expiry("martlet sub -t a -i me -c -x 5"), Some(5));
    assert_eq!(expiry("martlet sub -t a -x -1"), Some(u32::MAX));
    assert_eq!(expiry("martlet sub -t a -x \u{221e}"), Some(u32::MAX));
    assert_eq!(expiry("martlet sub -t a -i me -c -D connect session-expiry-interval 9"), Some(9));
    assert_eq!(expiry("martlet sub -t a -i me -c -V 311"), None);
    check_refused("martlet sub -t a -x never", "-1 for no end");
    check_options_refused(
        "martlet sub -t a -x 1 -D connect session-expiry-interval 9",
        "the session expiry interval is given twice",
    );
}

#[test]
fn what_only_mqtt_5_has_is_refused_for_older_versions() {
    check_options_refused("martlet sub -t a -V 311 -x 1", "--session-expiry-interval exists in MQTT 5 only");
    check_options_refused(
        "martlet pub -t a -n -V 31 -D publish content-type x",
        "--property exists in MQTT 5 only",
    );
    check_options_refused("martlet sub -t a -V 311 -P word", "a password needs a user name before MQTT 5");
    assert!(options("martlet sub -t a -P word").password.is_some());
}

#[test]
fn a_client_identifier_suits_the_version() {
    assert_eq!(options("martlet sub -t a -V 311").client_id, "unique");
    assert_eq!(options("martlet sub -t a -V 31").client_id, "unique");
    assert!((1..=23).contains(&super::unique_name().len()));
    assert_ne!(super::unique_name(), super::unique_name());
    check_options_refused(
        "martlet sub -t a -V 31 -i 123456789012345678901234",
        "a client identifier has 1 to 23 characters in MQTT 3.1",
    );
}

#[test]
fn a_url_takes_the_place_of_host_and_port() {
    let with_login = options("martlet sub -L mqtt://me:word@broker/a -u you");
    assert_eq!(with_login.url.to_string(), "tcp://broker:1883");
    assert_eq!(with_login.username.as_deref(), Some("you"));
    assert_eq!(with_login.password.as_deref(), Some(&b"word"[..]));
    assert_eq!(options("martlet sub -t a -L ws://[::1]:80/mqtt").url.to_string(), "ws://[::1]:80/mqtt");
    check_refused("martlet sub -L mqtt://broker/a -p 5", "cannot be used with");
    assert_eq!(options("martlet sub -L mqtts://broker/a").url.to_string(), "mqtts://broker:8883");
    check_refused("martlet sub -L http://broker/a", "http:// is not supported");
}

#[test]
fn tls_options_mean_tls_and_need_an_encrypted_url() {
    let url = |arguments: &str| options(arguments).url.to_string();
    assert_eq!(url("martlet sub -t a --cafile ca.pem"), "mqtts://localhost:8883");
    assert_eq!(url("martlet sub -t a -h broker -p 1 --cert a.pem --key a.key"), "mqtts://broker:1");
    check_refused("martlet sub -t a --cert a.pem", "--key");
    let plain = "martlet sub -t a -L mqtt://broker --cafile ca.pem";
    check_options_refused(
        plain,
        "--cafile and --cert need an encrypted address, which tcp://broker:1883 is not",
    );
}

#[test]
fn a_will_is_complete_or_not_there() {
    check_refused("martlet sub -t a --will-payload x", "--will-topic");
    check_refused("martlet sub -t a --will-retain", "--will-topic");
    check_options_refused(
        "martlet sub -t a -D will content-type x",
        "a property of the will needs --will-topic",
    );
}

#[test]
fn wrong_values_are_refused_with_a_hint() {
    check_refused("martlet sub -t a -q 3", "0, 1 or 2");
    check_refused("martlet sub -t a -V 4", "possible values: 31, 311, 5");
    check_refused("martlet sub -t a -F %z", "unknown sequence `%z`");
    check_refused("martlet sub -t a -C 0", "0 is not in");
    check_refused("martlet sub -t a -W soon", "write seconds");
    check_refused("martlet sub -t a -T b/#/c", "`#` is a whole level");
    check_refused("martlet sub -t a --retain-handling 3", "0, 1 or 2");
    check_refused("martlet pub -t a -n -M 0", "0 is not in");
    check_refused("martlet sub -t a -D publish nothing x", "publish has no property \"nothing\"");
    check_refused("martlet sub -t a -D publish", "PACKET PROPERTY VALUE");
    check_refused("martlet sub -t a -R --retained-only", "cannot be used with");
    check_refused("martlet sub -t a --json -F %t", "cannot be used with");
}

#[test]
fn the_output_has_the_format_that_was_asked_for() {
    let format = |line: &str| match parse(line) {
        Ok(Command::Sub(arguments)) => arguments.output.format(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(format("martlet sub -t a"), Format::payload());
    assert_eq!(format("martlet sub -t a -v"), Format::verbose());
    assert_eq!(format("martlet sub -t a --json"), Format::json());
    assert_eq!(format("martlet sub -t a -v -F %j"), Format::json());
    assert_eq!(format("martlet sub -t a -F %p"), Format::payload());
}

#[test]
fn help_is_long_because_h_is_the_host() {
    for command in ["pub", "sub", "request"] {
        let help = parse(&format!("martlet {command} --help")).expect_err("help").to_string();
        for part in ["Examples:", "Exit codes:", "-h, --host", "-V, --protocol-version", "--help"] {
            assert!(help.contains(part), "{command} --help lacks {part}:\n{help}");
        }
    }
}
