use super::fuzz_case;
use super::print::{effective, example};
use super::problem::Problems;
use super::resolve::{Draft, environment_name};
use super::settings::{Configuration, ListenerEntry};
use super::table::{LISTENER_ROWS, ROWS, SECTIONS, Unit};
use super::value::{INTEGER_MAX, Kind, Value};
use super::{SourceText, needing_restart, reference};

fn read(text: &str) -> Result<Configuration, Problems> {
    let mut draft = Draft::default();
    draft.read_file(SourceText { name: "martlet.toml", text });
    draft.finish()
}

/// What the file `text` is refused with, line by line.
fn check_refused(text: &str, expected: &[&str]) {
    let problems = read(text).expect_err(text).to_string();
    let lines: Vec<&str> =
        problems.lines().filter_map(|line| line.strip_prefix("error: martlet.toml:")).collect();
    assert_eq!(lines, expected, "for {text:?}");
}

fn check_set_refused(arguments: &[&str], expected: &[&str]) {
    let mut draft = Draft::default();
    arguments.iter().for_each(|argument| draft.set(argument));
    let problems = draft.finish().expect_err("a wrong --set").to_string();
    let lines: Vec<&str> = problems.lines().filter_map(|line| line.strip_prefix("error: --set ")).collect();
    assert_eq!(lines, expected, "for {arguments:?}");
}

/// A value of this kind that differs from `default`.
fn another_value(kind: &Kind, default: &Value, key: &str) -> Value {
    match (kind, default) {
        (Kind::Boolean, default) => Value::Boolean(*default != Value::Boolean(true)),
        (Kind::Integer { min, max }, _) => {
            Value::Integer(if *default == Value::Integer(*min) { (*max).min(min + 1) } else { *min })
        }
        (Kind::Choice(names), _) => {
            let other = names.iter().rev().find(|name| *default != Value::Text((**name).to_owned()));
            Value::Text((*other.expect("more than one choice")).to_owned())
        }
        (Kind::Text, _) if key == "log.filter" => Value::Text("warn,mqtt_broker=debug".to_owned()),
        (Kind::Text, _) if key == "unix_mode" => Value::Text("660".to_owned()),
        (Kind::Text, _) if key == "unix_user" => Value::Text("root".to_owned()),
        (Kind::Text, _) if key == "unix_group" => Value::Text("12".to_owned()),
        (Kind::Text, _) if key == "mountpoint" => Value::Text("site/${username}/".to_owned()),
        (Kind::Text, _) if key.ends_with("_url") || matches!(key, "http_login.url" | "http_access.url") => {
            Value::Text("http://a/b".to_owned())
        }
        (Kind::Text, _) => Value::Text("ws://localhost:9001/a \"quoted\" \\ text\n".trim().to_owned()),
        (Kind::List, _) if ["trusted_proxies", "proxy_from"].contains(&key) => {
            Value::List(vec!["10.0.0.0/8".to_owned(), "::1/128".to_owned()])
        }
        (Kind::List, _) if key.ends_with("authentication") => {
            Value::List(vec!["scram".to_owned(), "anonymous".to_owned()])
        }
        (Kind::List, _) if key == "access.users" => Value::List(vec!["a:(hidden)".to_owned()]),
        (Kind::List, _) if key == "jwt.algorithms" => Value::List(vec!["HS256".to_owned()]),
        (Kind::List, _) if matches!(key, "http_login.headers" | "http_access.headers") => {
            Value::List(vec!["a: (hidden)".to_owned()])
        }
        (Kind::List, _) if key == "access.bans" => Value::List(vec!["user=a for 60s".to_owned()]),
        (Kind::List, _) if key == "storage.durability_by_topic" => {
            Value::List(vec!["a/#=memory".to_owned(), "b=c=acked".to_owned()])
        }
        (Kind::List, _) => Value::List(vec!["a/#".to_owned(), "$share/g/b".to_owned()]),
    }
}

/// A listener of which every option has another value than by default.
fn changed_listener() -> ListenerEntry {
    let mut entry = ListenerEntry::default();
    for row in LISTENER_ROWS {
        let other = match row.key {
            "url" => Value::Text("wss://[::]:9001/mqtt".to_owned()),
            _ => another_value(&row.kind, &(row.show)(&entry), row.key),
        };
        (row.store)(&mut entry, other).expect(row.key);
    }
    // "5.0" to "3.1" would leave no version.
    let ListenerEntry { rules, transport, .. } = &mut entry;
    (rules.version_min, rules.version_max) = (rules.version_max, rules.version_min);
    let tls = &mut transport.tls;
    (tls.version_min, tls.version_max) = (tls.version_max, tls.version_min);
    entry
}

/// A configuration in which every option of the table has another value than by default.
fn everything_changed() -> Configuration {
    let mut configuration = Configuration { listeners: vec![changed_listener()], ..Configuration::default() };
    for row in ROWS {
        let other = another_value(&row.kind, &(row.show)(&configuration), row.key);
        (row.store)(&mut configuration, other).expect(row.key);
    }
    // "5.0" to "3.1" would leave no version.
    let policy = &mut configuration.settings.policy;
    (policy.version_min, policy.version_max) = (policy.version_max, policy.version_min);
    configuration
}

#[test]
fn nothing_at_all_is_a_configuration_for_this_machine_only() {
    let configuration = read("").expect("an empty file");
    let listeners: Vec<String> = configuration.listeners.iter().map(|entry| entry.url.to_string()).collect();
    assert_eq!(listeners, ["tcp://127.0.0.1:1883", "ws://127.0.0.1:8083/mqtt"]);
    assert!(configuration.listeners.iter().all(|entry| entry.allow_anonymous == Some(true)));
    assert_eq!(effective(&configuration), effective(&read("# nothing\n").expect("a comment")));
}

#[test]
fn every_option_can_be_shown_stored_and_is_kept_apart_from_the_others() {
    for row in ROWS {
        let mut configuration = Configuration::default();
        let default = (row.show)(&configuration);
        let other = another_value(&row.kind, &default, row.key);
        (row.store)(&mut configuration, other.clone()).expect(row.key);
        assert_eq!((row.show)(&configuration), other, "{}", row.key);
        for unrelated in ROWS.iter().filter(|unrelated| unrelated.key != row.key) {
            let untouched = (unrelated.show)(&Configuration::default());
            assert_eq!((unrelated.show)(&configuration), untouched, "{} by {}", unrelated.key, row.key);
        }
    }
}

#[test]
fn both_bounds_of_every_number_can_be_stored() {
    for row in ROWS {
        let Kind::Integer { min, max } = row.kind else { continue };
        for bound in [min, max] {
            let mut configuration = Configuration::default();
            (row.store)(&mut configuration, Value::Integer(bound)).expect(row.key);
            assert_eq!((row.show)(&configuration), Value::Integer(bound), "{}", row.key);
        }
    }
}

#[test]
fn every_key_stands_in_a_section_once_and_names_its_unit() {
    for (position, row) in ROWS.iter().enumerate() {
        let (section, name) = row.split_key();
        assert!(SECTIONS.iter().any(|(known, _)| *known == section), "{}", row.key);
        assert!(ROWS[..position].iter().all(|other| other.key != row.key), "{} twice", row.key);
        let environment = environment_name(row.key);
        assert!(
            ROWS[..position].iter().all(|other| environment_name(other.key) != environment),
            "{environment}"
        );
        assert_eq!(row.unit, unit_of(name, &row.kind), "{}", row.key);
        assert!(row.doc.ends_with('.'), "{}", row.key);
    }
    for row in LISTENER_ROWS {
        assert_eq!(row.unit, unit_of(row.key, &row.kind), "{}", row.key);
        assert!(row.doc.ends_with('.'), "{}", row.key);
    }
}

fn unit_of(name: &str, kind: &Kind) -> Unit {
    match kind {
        Kind::Integer { .. } if name.ends_with("_ms") => Unit::Milliseconds,
        Kind::Integer { .. } if name.ends_with("_s") => Unit::Seconds,
        Kind::Integer { .. } if name.contains("bytes") => Unit::Bytes,
        _ => Unit::None,
    }
}

#[test]
fn the_effective_configuration_is_a_file_that_says_the_same() {
    let mut changed = everything_changed();
    if cfg!(not(feature = "plugins")) {
        // A program that has none refuses them.
        (changed.plugins.files, changed.plugins.settings) = Default::default();
    }
    for configuration in [read("").expect("an empty file"), changed] {
        let printed = effective(&configuration);
        let read_again = read(&printed).unwrap_or_else(|problems| panic!("{problems}\n{printed}"));
        assert_eq!(effective(&read_again), printed);
        assert_eq!(format!("{read_again:?}"), format!("{configuration:?}"));
    }
}

#[test]
fn the_example_is_all_defaults_and_says_so_when_switched_on() {
    let untouched = read(&example()).expect("the example as it is");
    assert_eq!(format!("{untouched:?}"), format!("{:?}", read("").expect("an empty file")));
    let is_switched_off = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| !rest.starts_with(' ') && !rest.is_empty() && !rest.ends_with('='))
    };
    let example = example();
    let options = example.lines().filter(is_switched_off).count();
    let switched_on: Vec<&str> =
        example.lines().map(|line| if is_switched_off(&line) { &line[1..] } else { line }).collect();
    let switched_on = read(&switched_on.join("\n")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(format!("{switched_on:?}"), format!("{untouched:?}"));
    // All but `allow_anonymous` and `access.authentication`, which have no default, and two listeners of three lines.
    assert_eq!(options, ROWS.len() - 2 + 2 * 3);
}

#[test]
fn the_reference_and_the_example_in_the_repository_are_up_to_date() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for (file, text, option) in
        [("docs/configuration.md", reference(), ""), ("martlet.example.toml", example(), " --example")]
    {
        let committed = std::fs::read_to_string(format!("{root}{file}")).unwrap_or_default();
        assert!(committed == text, "write it again: martlet config-reference{option} > {file}");
    }
}

#[test]
fn values_reach_their_place() {
    let configuration = read(
        "allow_anonymous = true
         [protocol]
         version_min = \"3.1.1\"
         keep_alive_max_s = 60
         receive_maximum = 0x14
         maximum_packet_size_bytes = 1_000
         response_information = \"answers/\"
         [limits]
         connect_timeout_ms = 1500
         [queue]
         overflow = \"drop-oldest\"
         [topics]
         subscribe_denied = [
             \"test/nosubscribe\", # by everybody
         ]
         denial_reveals_reason = false
         [sys]
         interval_ms = 0
         [[listener]]
         url = \"tcp://0.0.0.0:0\"",
    )
    .expect("a valid file");
    let settings = &configuration.settings;
    assert_eq!(settings.policy.version_min, mqtt_codec::Version::V3_1_1);
    assert_eq!(settings.policy.keep_alive_max_s, 60);
    assert_eq!(settings.policy.ours.receive_maximum.get(), 20);
    assert_eq!(settings.policy.ours.maximum_packet_size_bytes, 1000);
    assert_eq!(settings.policy.response_information.as_deref(), Some("answers/"));
    assert_eq!(settings.limits.connect_timeout.as_millis(), 1500);
    assert_eq!(settings.queue.overflow, mqtt_store::Overflow::DropOldest);
    assert_eq!(settings.topics.subscribe_denied.len(), 1);
    assert!(!settings.topics.denial_reveals_reason);
    assert_eq!(settings.sys.interval, None);
    assert_eq!(configuration.listeners[0].allow_anonymous, Some(true));
}

#[test]
fn dotted_keys_are_the_same_as_sections() {
    let configuration = read("limits.linger_ms = 7\nlog.filter = 'warn'").expect("dotted keys");
    assert_eq!(configuration.settings.limits.linger.as_millis(), 7);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    check_refused(
        "[limits]\nconections_max = 1",
        &["2:1: unknown option `limits.conections_max`; did you mean `limits.connections_max`?"],
    );
    check_refused("[limit]\nx = 1", &["1:2: unknown option `limit`; did you mean `limits`?"]);
    check_refused("[lisener]\nx = 1", &["1:2: unknown option `lisener`; did you mean `listener`?"]);
    check_refused(
        "[limits]\noverflow = 1",
        &["2:1: unknown option `limits.overflow`; did you mean `queue.overflow`?"],
    );
    check_refused("[sys]\nzzz = 1", &["2:1: unknown option `sys.zzz`"]);
    check_refused("sys = 1", &["1:7: `sys` is a section: write [sys] with its options below"]);
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_bounds_is_an_error() {
    let linger = "`limits.linger_ms` must be a whole number from 0 to 86400000, not";
    check_refused("[limits]\nlinger_ms = \"1\"", &[&format!("2:13: {linger} a string")]);
    check_refused("[limits]\nlinger_ms = 1.5", &[&format!("2:13: {linger} a number with a fraction")]);
    check_refused("[limits]\nlinger_ms = -1", &[&format!("2:13: {linger} -1")]);
    check_refused("[limits]\nlinger_ms = 86400001", &[&format!("2:13: {linger} 86400001")]);
    check_refused(
        "[limits]\nlinger_ms = 99999999999999999999",
        &[&format!("2:13: {linger} 99999999999999999999")],
    );
    check_refused("limits.linger_ms = {}", &[&format!("1:20: {linger} a section")]);
    check_refused(
        "allow_anonymous = 1",
        &["1:19: `allow_anonymous` must be true or false, not a whole number"],
    );
    check_refused(
        "queue.overflow = 'drop'",
        &["1:18: `queue.overflow` must be one of \"drop-newest\", \"drop-oldest\", not \"drop\""],
    );
}

#[test]
fn every_wrong_element_of_a_list_is_found() {
    check_refused(
        "[topics]\nsubscribe_denied = ['a',\n 'b/#/c', '']",
        &[
            "3:2: `topics.subscribe_denied` holds \"b/#/c\", which is no topic filter: `#` is a whole level and the \
             last one [MQTT-4.7.1-1]",
            "3:11: `topics.subscribe_denied` holds \"\", which is no topic filter: a topic has at least one character \
             [MQTT-4.7.3-1]",
        ],
    );
    check_refused(
        "topics.subscribe_denied = [1]",
        &["1:28: `topics.subscribe_denied` must be a list of strings, not a list with a whole number"],
    );
}

#[test]
fn a_wrong_log_filter_is_an_error() {
    let problems = read("log.filter = 'martlet=loud'").expect_err("no level").to_string();
    assert!(problems.starts_with("error: martlet.toml:1:14: `log.filter` is \"martlet=loud\""), "{problems}");
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file_whatever_their_kind() {
    check_refused(
        "zzzzzz = 1\n[shared]\nstrategy =\n[sys]\ninterval_ms = -1\ninterval_ms = 5\n[[listener]]\n[[listener]]\nurl = 'x'",
        &[
            "1:1: unknown option `zzzzzz`",
            "3:11: string values must be quoted, expected literal string",
            "5:15: `sys.interval_ms` must be a whole number from 0 to 86400000, not -1",
            "6:1: duplicate key `interval_ms`",
            "7:1: a listener needs a `url`",
            "9:7: `url` is \"x\": it needs a scheme: write tcp://host:port, for example",
        ],
    );
}

#[test]
fn columns_count_characters() {
    check_refused(
        "log = { \"\u{fc}\u{4e2d}\" = 1, x = 2 }",
        &["1:9: unknown option `log.\u{fc}\u{4e2d}`", "1:19: unknown option `log.x`"],
    );
}

#[test]
fn versions_in_the_wrong_order_are_an_error() {
    let message = "`protocol.version_min` is above `protocol.version_max`: no version is left";
    check_refused(
        "protocol.version_min = '5.0'\nprotocol.version_max = '3.1'",
        &[&format!("1:24: {message}")],
    );
    assert!(read("protocol.version_min = '5.0'").is_ok());
}

#[test]
fn strangers_are_admitted_only_on_the_loopback_or_on_request() {
    let reachable = "can be reached from other machines, and no way to log in is configured. If really everybody may \
                     connect, say so with `allow_anonymous = true` in this [[listener]], or with --allow-anonymous; else \
                     listen on 127.0.0.1 only";
    for url in ["tcp://0.0.0.0:1883", "tcp://[::]:1883", "tcp://10.0.0.1:1883", "ws://broker.example:80/"] {
        let listener = format!("[[listener]]\nurl = '{url}'");
        check_refused(&listener, &[&format!("2:7: {url} {reachable}")]);
        let asked_for = read(&format!("{listener}\nallow_anonymous = true")).expect("asked for");
        assert_eq!(asked_for.listeners[0].allow_anonymous, Some(true));
        assert!(read(&format!("allow_anonymous = true\n{listener}")).is_ok());
        assert!(read(&format!("allow_anonymous = true\n{listener}\nallow_anonymous = false")).is_err());
    }
    for url in [
        "tcp://127.0.0.1:1",
        "tcp://127.8.9.1:1",
        "tcp://[::1]:1",
        "ws://localhost:1/",
        "tcp://[::ffff:127.0.0.1]:1",
    ] {
        let read = read(&format!("[[listener]]\nurl = '{url}'"));
        assert_eq!(read.expect(url).listeners[0].allow_anonymous, Some(true));
    }
}

#[test]
fn a_listener_that_would_admit_nobody_is_an_error() {
    check_refused(
        "[[listener]]\nurl = 'tcp://127.0.0.1:1'\nallow_anonymous = false",
        &[
            "2:7: tcp://127.0.0.1:1 would admit nobody: anonymous clients are refused, and no way to log in is \
           configured. Remove `allow_anonymous = false`",
        ],
    );
}

#[test]
fn an_authentication_chain_that_cannot_be_meant_is_an_error() {
    let users = "password_files = ['users']\n";
    let there_are = "there are certificate, scram, password_file, jwt, http, redis, postgres, anonymous";
    for (list, element, message) in [
        ("['pasword_file']", 20, format!("holds \"pasword_file\"; {there_are}")),
        ("['scram', 'scram']", 29, "holds \"scram\" twice".to_owned()),
        ("['anonymous', 'scram']", 20, "holds \"anonymous\" before others; it must come last".to_owned()),
    ] {
        let text = format!("[access]\n{users}authentication = {list}");
        check_refused(&text, &[&format!("3:{}: `access.authentication` {message}", element - 1)]);
    }
    let empty = "is empty, so nobody could log in; leave it away for the usual order";
    check_refused("access.authentication = []", &[&format!("1:25: `access.authentication` {empty}")]);
    let lacking = "names \"scram\", but there are neither `access.users` nor `access.password_files`";
    check_refused(
        "access.authentication = ['scram', 'anonymous']",
        &[&format!("1:25: `access.authentication` {lacking}")],
    );
    let listener = "[[listener]]\nurl = 'tcp://0.0.0.0:1'\n";
    let no_certificate = "tcp://0.0.0.0:1: `authentication` names \"certificate\", but the listener does not ask for \
                          certificates or takes no user names from them: see `client_certificates` and `username_from`";
    check_refused(
        &format!("[access]\n{users}{listener}authentication = ['password_file', 'certificate']"),
        &[&format!("4:7: {no_certificate}")],
    );
    let said_twice = "`authentication` names \"anonymous\", but `allow_anonymous` is false";
    check_refused(
        &format!(
            "[access]\n{users}{listener}authentication = ['scram', 'anonymous']\nallow_anonymous = false"
        ),
        &[&format!("4:7: tcp://0.0.0.0:1: {said_twice}")],
    );
    let said = "does not name \"anonymous\", but `allow_anonymous` is true: add it at the end, or remove `allow_anonymous`";
    check_refused(
        &format!("allow_anonymous = true\n[access]\n{users}authentication = ['scram']"),
        &[&format!("4:18: `access.authentication` {said}")],
    );
}

#[test]
fn a_listener_whose_chain_ends_with_anonymous_says_so_in_words() {
    let listener = "[[listener]]\nurl = 'tcp://0.0.0.0:1'\n";
    let admitted = |text: &str| read(text).expect(text).listeners[0].allow_anonymous;
    assert_eq!(admitted(&format!("{listener}authentication = ['anonymous']")), Some(true));
    assert_eq!(admitted(&format!("access.authentication = ['anonymous']\n{listener}")), Some(true));
    let users = "access.password_files = ['users']\n";
    assert_eq!(admitted(&format!("{users}{listener}authentication = ['password_file']")), Some(false));
    let local = "[[listener]]\nurl = 'tcp://127.0.0.1:1'\n";
    assert_eq!(admitted(&format!("{users}{local}authentication = ['password_file']")), Some(false));
}

#[test]
fn listeners_are_blocks_with_addresses_of_their_own() {
    let blocks = "listeners are written as blocks that start with [[listener]]";
    check_refused("listener = 'tcp://127.0.0.1:1'", &[&format!("1:12: {blocks}")]);
    check_refused("[listener]\nurl = 'tcp://127.0.0.1:1'", &[&format!("1:1: {blocks}")]);
    check_refused("listener = [1]", &[&format!("1:12: {blocks}")]);
    check_refused(
        "[[listener]]\nurl = 'tcp://localhost:1'\n[[listener]]\nurl = 'ws://LOCALHOST:1/x'",
        &["4:7: ws://LOCALHOST:1/x is already taken by the listener at martlet.toml:2:7"],
    );
    check_refused(
        "[[listener]]\nurl = 'tcp://127.0.0.1:0'\nallow_anon = true",
        &["3:1: unknown option `allow_anon` of a listener; did you mean `allow_anonymous`?"],
    );
    assert!(read("[[listener]]\nurl = 'tcp://127.0.0.1:0'\n[[listener]]\nurl = 'tcp://127.0.0.1:0'").is_ok());
}

#[test]
fn the_owner_of_a_unix_socket_is_somebody_this_system_knows() {
    let listener = |option| format!("[[listener]]\nurl = 'unix:///tmp/m.sock'\n{option}");
    let nobody = "this system has no such";
    check_refused(
        &listener("unix_user = 'no one'"),
        &[&format!("3:13: `unix_user` is \"no one\": {nobody} user")],
    );
    check_refused(
        &listener("unix_group = 'no one'"),
        &[&format!("3:14: `unix_group` is \"no one\": {nobody} group")],
    );
    let read = read(&listener("unix_user = 'root'\nunix_group = '4711'")).expect("valid");
    let socket = read.listeners[0].clone().into_settings().transport.socket;
    assert_eq!((socket.unix_user, socket.unix_group), (Some(0), Some(4711)));
}

#[test]
fn a_socket_of_systemd_may_be_reached_from_anywhere() {
    let listener = "[[listener]]\nurl = 'tcp://127.0.0.1:1'\nsystemd_socket = 'mqtt'\n";
    let reachable = "can be reached from other machines, and no way to log in is configured. If really everybody may \
                     connect, say so with `allow_anonymous = true` in this [[listener]], or with --allow-anonymous; else \
                     listen on 127.0.0.1 only";
    check_refused(listener, &[&format!("2:7: tcp://127.0.0.1:1 {reachable}")]);
    let twice = format!("{listener}allow_anonymous = true\n").repeat(2);
    assert_eq!(read(&twice).expect("two sockets of one name").listeners.len(), 2);
}

#[test]
fn a_mountpoint_that_could_lead_anywhere_is_an_error() {
    let listener =
        |mountpoint| format!("[[listener]]\nurl = 'tcp://127.0.0.1:1'\nmountpoint = '{mountpoint}'");
    for (mountpoint, problem) in [
        ("site", "a mountpoint ends with `/`"),
        ("a/${user}/", "${user} is unknown: there are ${username} and ${clientid}"),
        ("+/", "a mountpoint holds no `+`, no `#` and no U+0000"),
    ] {
        check_refused(&listener(mountpoint), &[&format!("3:14: `mountpoint` is {mountpoint:?}: {problem}")]);
    }
    let read = |mountpoint| read(&listener(mountpoint)).expect("valid").listeners[0].rules.mountpoint.clone();
    assert_eq!(read("site/").map(|it| it.to_string()).as_deref(), Some("site/"));
    assert_eq!(read(""), None);
}

#[test]
fn later_sources_override_earlier_ones() {
    let text = "[sys]\ninterval_ms = 1\n[limits]\nlinger_ms = 1\nconnections_max = 1\nsubscriptions_max = 1";
    let mut draft = Draft::default();
    draft.set_from_flag("--log debug", "log.filter", "debug");
    draft.read_file(SourceText { name: "martlet.toml", text });
    draft.read_environment(|name| {
        let set = [
            "MARTLET_LIMITS_LINGER_MS",
            "MARTLET_LIMITS_CONNECTIONS_MAX",
            "MARTLET_LIMITS_SUBSCRIPTIONS_MAX",
        ];
        set.contains(&name).then(|| "2".to_owned())
    });
    draft.set("limits.connections_max=3");
    draft.set(" limits.subscriptions_max = 3 ");
    draft.set("limits.subscriptions_max=4");
    let configuration = draft.finish().expect("all valid");
    let limits = &configuration.settings.limits;
    assert_eq!(configuration.settings.sys.interval.expect("on").as_millis(), 1);
    assert_eq!(limits.linger.as_millis(), 2);
    assert_eq!(limits.connections_max, 3);
    assert_eq!(limits.subscriptions_max, 4);
}

#[test]
fn set_needs_no_quotes_around_strings() {
    let mut draft = Draft::default();
    for argument in [
        "log.filter=info,mqtt_broker=debug",
        "log.format=\"json\"",
        "protocol.response_information='quoted'",
        "topics.subscribe_denied=[\"a/#\", 'b']",
        "allow_anonymous=true",
        "shared.strategy=hash-topic",
    ] {
        draft.set(argument);
    }
    let configuration = draft.finish().expect("all valid");
    assert_eq!(configuration.log.format, super::LogFormat::Json);
    assert_eq!(configuration.settings.policy.response_information.as_deref(), Some("quoted"));
    assert_eq!(configuration.settings.topics.subscribe_denied.len(), 2);
    assert_eq!(configuration.allow_anonymous, Some(true));
}

#[test]
fn every_wrong_set_is_reported() {
    check_set_refused(
        &[
            "limits.linger=1",
            "sys.interval_ms=soon",
            "nothing",
            "listener.url=tcp://127.0.0.1:1",
            "topics.subscribe_denied=a",
        ],
        &[
            "limits.linger=1: unknown option `limits.linger`; did you mean `limits.linger_ms`?",
            "sys.interval_ms=soon: `sys.interval_ms` must be a whole number from 0 to 86400000, not \"soon\"",
            "nothing: must be KEY=VALUE",
            "listener.url=tcp://127.0.0.1:1: listeners cannot be set this way: use [[listener]] in the file, or --listen",
            "topics.subscribe_denied=a: `topics.subscribe_denied` must be a list of strings, not \"a\"",
        ],
    );
}

#[test]
fn a_wrong_environment_variable_is_named() {
    let mut draft = Draft::default();
    draft.read_environment(|name| (name == "MARTLET_SYS_INTERVAL_MS").then(|| "often".to_owned()));
    let problems = draft.finish().expect_err("no number").to_string();
    assert!(
        problems.starts_with("error: environment variable MARTLET_SYS_INTERVAL_MS: `sys.interval_ms`"),
        "{problems}"
    );
}

#[test]
fn a_listener_that_leaves_no_version_is_reported() {
    let text = "[[listener]]\nurl = 'tcp://127.0.0.1:1'\nversion_min = '5.0'\nversion_max = '3.1.1'\n";
    let problems = read(text).expect_err("no version is left").to_string();
    assert!(problems.contains("tcp://127.0.0.1:1: `version_min` is above `version_max`"), "{problems}");
}

#[test]
fn tls_options_and_addresses_must_fit_together() {
    let check = |url: &str, options: &str, part: &str| {
        let text = format!("[[listener]]\nurl = '{url}'\n{options}\n");
        let problems = read(&text).expect_err(&text).to_string();
        assert!(problems.contains(part), "{text}\n{problems}");
    };
    let pair = "certificates = ['a.pem']\nkeys = ['a.key']";
    check("mqtts://127.0.0.1:1", "", "needs `certificates` and `keys`");
    check("mqtts://127.0.0.1:1", "certificates = ['a.pem']", "must have the same length");
    check("tcp://127.0.0.1:1", pair, "need an encrypted address");
    check("ws://127.0.0.1:1", "client_certificates = 'optional'", "needs an encrypted address");
    check(
        "wss://127.0.0.1:1",
        &format!("{pair}\nclient_certificates = 'required'"),
        "needs a `client_ca_file`",
    );
    check(
        "wss://127.0.0.1:1",
        &format!("{pair}\ntls_version_min = '1.3'\ntls_version_max = '1.2'"),
        "is above",
    );
    check("quic://127.0.0.1:1", "", "needs `certificates` and `keys`");
    check("quic://127.0.0.1:1", &format!("{pair}\ntls_version_max = '1.2'"), "QUIC needs TLS 1.3");
    check("quic://127.0.0.1:1", &format!("{pair}\nproxy_from = ['::1']"), "is not for QUIC");
}

#[test]
fn a_port_of_udp_is_none_of_tcp() {
    let pair = "certificates = ['a.pem']\nkeys = ['a.key']";
    let listeners = |urls: &[&str]| {
        let blocks = urls.iter().map(|url| format!("[[listener]]\nurl = '{url}'\n{pair}\n"));
        read(&blocks.collect::<String>())
    };
    listeners(&["mqtts://127.0.0.1:1", "quic://127.0.0.1:1"]).expect("two sockets");
    listeners(&["quic://127.0.0.1:1", "quic://127.0.0.1:1"]).expect_err("one socket");
}

#[test]
fn a_listener_that_knows_its_clients_by_certificates_may_be_open_to_others() {
    let text = "[[listener]]\nurl = 'mqtts://0.0.0.0:1'\ncertificates = ['a.pem']\nkeys = ['a.key']\n\
                client_certificates = 'required'\nclient_ca_file = 'ca.pem'\nusername_from = 'cn'\n";
    let configuration = read(text).expect("nobody is let in by accident");
    assert_eq!(configuration.listeners[0].allow_anonymous, Some(false));
}

#[test]
fn listen_replaces_the_listeners_of_the_file() {
    let mut draft = Draft::default();
    draft.read_file(SourceText { name: "martlet.toml", text: "[[listener]]\nurl = 'tcp://0.0.0.0:1'" });
    draft.replace_listeners(&["tcp://127.0.0.1:0".to_owned(), "ws://127.0.0.1:0/x".to_owned()]);
    let configuration = draft.finish().expect("loopback only");
    let urls: Vec<String> = configuration.listeners.iter().map(|entry| entry.url.to_string()).collect();
    assert_eq!(urls, ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/x"]);
}

#[test]
fn the_largest_number_is_one_that_toml_can_hold() {
    assert!(read(&format!("limits.connections_max = {INTEGER_MAX}")).is_ok());
    assert!(read(&format!("limits.connections_max = {}", INTEGER_MAX + 1)).is_err());
}

#[test]
fn whatever_a_reload_cannot_take_over_is_named() {
    let started = "[limits]\nconnections_max = 10\n[[listener]]\nurl = \"tcp://127.0.0.1:1\"\n";
    let changes = |text: &str| {
        needing_restart(&read(started).expect("a configuration"), &read(text).expect("a configuration"))
    };
    assert!(changes(started).is_empty());
    assert!(changes(&format!("[access]\nrules = [\"allow publish #\"]\n{started}")).is_empty());
    assert_eq!(changes(&started.replace("10", "11")), ["limits.connections_max"]);
    let other_order = format!("{started}authentication = [\"anonymous\"]\n");
    assert_eq!(changes(&other_order), ["authentication of the listener tcp://127.0.0.1:1"]);
    let another = format!("{started}[[listener]]\nurl = \"tcp://127.0.0.1:2\"\n");
    assert_eq!(changes(&another), ["the number of listeners"]);
}

/// The corpus of the fuzz target `configuration`.
#[test]
fn every_input_of_the_corpus_is_taken_or_refused() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/configuration");
    let inputs = std::fs::read_dir(corpus).expect("the corpus is part of the repository");
    let count = inputs
        .map(|input| fuzz_case::run(&std::fs::read(input.expect("listed").path()).expect("readable")))
        .count();
    assert!(count > 0, "the corpus is not empty");
}
