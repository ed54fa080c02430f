//! The one table of options: it resolves a configuration, prints it, and writes the reference.

use super::settings::{Configuration, LogFormat};
use super::value::{Kind, Refusal, Setting, Value};
use mqtt_broker::SharedStrategy;
use mqtt_codec::Version;
use mqtt_login::http::{AnswerStyle, QuestionStyle};
use mqtt_login::jwt::TokenField;
use mqtt_store::{Durability, Overflow};

/// One option of `T`.
pub(crate) struct Row<T: 'static> {
    /// Section and name, such as `limits.connections_max`; an option of the top level has no section.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// Whether a running broker takes a new value over. None does yet.
    pub(crate) reloadable: bool,
    /// For operators: what it does, and what its special values mean.
    pub(crate) doc: &'static str,
    pub(crate) show: fn(&T) -> Value,
    pub(crate) store: fn(&mut T, Value) -> Result<(), Vec<Refusal>>,
}

impl<T> Row<T> {
    /// Section (empty for the top level) and name.
    pub(crate) fn split_key(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Bytes,
    Milliseconds,
    Seconds,
}

impl Unit {
    /// The word for the reference; empty for plain numbers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
        }
    }
}

/// Sections in the order of the reference, with what they are about.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("", "Options that belong to no section stand at the top of the file."),
    (
        "protocol",
        "What clients are offered: the values that a CONNACK announces, and the bounds of a session.",
    ),
    ("limits", "Bounds that protect the broker, on connections and on what one connection may hold."),
    ("queue", "Messages that wait for one session, whether its client is connected or away."),
    ("retained", "The most that may be retained."),
    (
        "access",
        "Who may do what: users, rules, bans, and what failed logins lead to. docs/security.md explains it. \
     `SIGHUP` makes a running broker take all of this section over; if anything is wrong there or in what else it reads again, it keeps what it has.",
    ),
    (
        "jwt",
        "JSON Web Tokens as a way to log in: the member `jwt` of the authentication chain. `SIGHUP` takes this section over, too.",
    ),
    (
        "http_login",
        "A service that decides on logins: the member `http` of the authentication chain. `SIGHUP` takes this section over, too.",
    ),
    (
        "http_access",
        "A service that is asked what clients may publish and subscribe to where no rule decides. `SIGHUP` takes this section over, too.",
    ),
    (
        "redis",
        "Users and rules in Redis: the member `redis` of the authentication chain. `SIGHUP` takes this section over, too.",
    ),
    (
        "postgres",
        "Users and rules in PostgreSQL: the member `postgres` of the authentication chain. `SIGHUP` takes this section over, too.",
    ),
    ("shared", "Shared subscriptions (`$share/NAME/FILTER`)."),
    ("topics", "Rules on topics that hold for every client."),
    ("tls", "Certificates of all encrypted listeners; each `[[listener]]` names its own files."),
    (
        "storage",
        "What outlives the process, and what an acknowledgement promises. Sessions without an expiry and QoS 0 \
messages are never stored.",
    ),
    (
        "plugins",
        "Plug-ins: WebAssembly components that decide on logins, connections, messages, subscriptions and wills, or rewrite them, in a \
sandbox. Only in a program that was built with `--features plugins`. The guide has a chapter on them.",
    ),
    ("sys", "The `$SYS` tree: the broker's own figures as retained messages."),
    ("log", "What is logged, and how. Log lines go to standard error."),
    ("runtime", "The process itself."),
];

/// About `[[listener]]`, for the reference.
pub(crate) const LISTENER_DOC: &str = "An address that is listened on; the block may be repeated. With no listener at all, \
the broker listens on `tcp://127.0.0.1:1883` and `ws://127.0.0.1:8083/mqtt`. `--listen URL` replaces the listeners of the file.";

pub(crate) use super::listener_table::LISTENER_ROWS;

/// Whether a key begins so.
pub(super) const fn in_section(key: &str, section: &str) -> bool {
    let (key, section) = (key.as_bytes(), section.as_bytes());
    let mut at = 0;
    while at < section.len() {
        if at >= key.len() || key[at] != section[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether a key is about access, which is read again while the broker runs.
pub(super) const fn is_about_access(key: &str) -> bool {
    in_section(key, "access.")
        || in_section(key, "jwt.")
        || in_section(key, "http_login.")
        || in_section(key, "http_access.")
        || in_section(key, "redis.")
        || in_section(key, "postgres.")
}

macro_rules! row {
    ($type:ty, $key:literal, $($path:ident).+, $kind:expr, $unit:ident, $doc:literal) => {
        Row::<$type> {
            key: $key,
            kind: $kind,
            unit: Unit::$unit,
            reloadable: super::table::is_about_access($key),
            doc: $doc,
            show: |target| Setting::show(&target.$($path).+),
            store: |target, value| {
                target.$($path).+ = Setting::read(value)?;
                Ok(())
            },
        }
    };
}

macro_rules! rows {
    ($type:ty: $(($key:literal, $($path:ident).+, $kind:expr, $unit:ident, $doc:literal),)*) => {
        &[$(row!($type, $key, $($path).+, $kind, $unit, $doc)),*]
    };
}

pub(super) use {row, rows};

const U16_MAX: u64 = u16::MAX as u64;
const U32_MAX: u64 = u32::MAX as u64;
const PACKET_BYTES_MAX: u64 = mqtt_session::PACKET_BYTES_MAX as u64;
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// All other options.
pub(crate) const ROWS: &[Row<Configuration>] = rows! { Configuration:
    ("allow_anonymous", allow_anonymous, Kind::Boolean, None,
        "Whether clients may connect without logging in, for listeners that do not say it themselves. Not \
         given, only listeners on a loopback address admit them, and others refuse to start."),

    ("protocol.version_min", settings.policy.version_min, Kind::choice::<Version>(), None,
        "Lowest version of MQTT that is admitted."),
    ("protocol.version_max", settings.policy.version_max, Kind::choice::<Version>(), None,
        "Highest version of MQTT that is admitted."),
    ("protocol.receive_maximum", settings.policy.ours.receive_maximum, Kind::integer(1, U16_MAX), None,
        "QoS 1 and 2 messages that a client may have under way to the broker. An MQTT 5 client that exceeds it \
         is disconnected with reason 0x93."),
    ("protocol.inflight_max", settings.policy.inflight_max, Kind::integer(1, U16_MAX), None,
        "QoS 1 and 2 messages that the broker has under way to one client at most, whatever the client allows."),
    ("protocol.maximum_packet_size_bytes", settings.policy.ours.maximum_packet_size_bytes,
        Kind::integer(64, PACKET_BYTES_MAX), Bytes,
        "Size of the largest packet that a client may send."),
    ("protocol.topic_alias_maximum", settings.policy.ours.topic_alias_maximum, Kind::integer(0, U16_MAX), None,
        "Topic aliases that a client may set; 0 for none."),
    ("protocol.topic_alias_assign_max", settings.policy.topic_alias_assign_max, Kind::integer(0, U16_MAX), None,
        "Topic aliases that the broker sets towards one client at most, whatever the client allows; 0 for none."),
    ("protocol.maximum_qos", settings.policy.maximum_qos, Kind::integer(0, 2), None,
        "Highest quality of service at which a client may publish."),
    ("protocol.keep_alive_max_s", settings.policy.keep_alive_max_s, Kind::integer(0, U16_MAX), Seconds,
        "Longest Keep Alive. An MQTT 5 client that asks for more, or for none, is given this one; older \
         clients cannot be told and keep their own. 0 for no maximum."),
    ("protocol.session_expiry_max_s", settings.policy.session_expiry_max_s, Kind::integer(0, U32_MAX), Seconds,
        "Longest Session Expiry Interval that is granted. 4294967295 for no end."),
    ("protocol.session_expiry_v3_s", settings.policy.session_expiry_v3_s, Kind::integer(0, U32_MAX), Seconds,
        "Time that a session of an MQTT 3 client with Clean Session 0 is kept after its connection ended. \
         4294967295 for no end."),
    ("protocol.client_id_bytes_max", settings.policy.client_id_bytes_max, Kind::integer(23, U16_MAX), Bytes,
        "Length of the longest client identifier."),
    ("protocol.empty_client_id_allowed", settings.policy.empty_client_id_allowed, Kind::Boolean, None,
        "Whether a client may leave the choice of its identifier to the broker."),
    ("protocol.retain_available", settings.policy.retain_available, Kind::Boolean, None,
        "Whether retained messages are supported."),
    ("protocol.wildcard_subscription_available", settings.policy.wildcard_subscription_available,
        Kind::Boolean, None,
        "Whether subscriptions may hold the wildcards `+` and `#`."),
    ("protocol.subscription_identifiers_available", settings.policy.subscription_identifiers_available,
        Kind::Boolean, None,
        "Whether subscriptions may have identifiers."),
    ("protocol.shared_subscription_available", settings.policy.shared_subscription_available, Kind::Boolean, None,
        "Whether shared subscriptions are supported."),
    ("protocol.response_information", settings.policy.response_information, Kind::Text, None,
        "What a client that asks for Response Information is given: the start of its response topics. \
         Empty to give nothing."),

    ("limits.connections_max", settings.limits.connections_max, Kind::at_least(1), None,
        "Connections at a time, over all listeners. One more is closed at once. Never more than the system's limit on open files, \
         which is raised at the start as far as that allows, leaves room for: 128 are kept for other files. If that is less, the \
         log says so."),
    ("limits.parked_sessions_max", settings.limits.parked_sessions_max, Kind::at_least(0), None,
        "Sessions of clients that are away. When there are so many, further sessions end with their connection."),
    ("limits.connect_timeout_ms", settings.limits.connect_timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time from an accepted connection to its complete CONNECT packet, the WebSocket handshake included."),
    ("limits.connect_bytes_max", settings.limits.connect_bytes_max, Kind::integer(64, PACKET_BYTES_MAX), Bytes,
        "Size of the largest CONNECT packet."),
    ("limits.outbox_bytes_high", settings.limits.outbox_bytes_high, Kind::at_least(1), Bytes,
        "Bytes that may wait for one connected client before those who publish to it are slowed down. They are \
         slowed down in any case when its queue is half full."),
    ("limits.stall_timeout_ms", settings.limits.stall_timeout, Kind::integer(0, DAY_MS), Milliseconds,
        "Time that a client may slow down its publishers while it takes nothing: no bytes, and no message by \
         acknowledging another. After that, QoS 0 messages to it are dropped and QoS 1 and 2 messages fill its \
         queue until it has caught up."),
    ("limits.subscriptions_max", settings.limits.subscriptions_max, Kind::at_least(1), None,
        "Subscriptions of one session."),
    ("limits.topic_levels_max", settings.limits.topic_levels_max, Kind::integer(1, 65_536), None,
        "Levels of a topic name or topic filter."),
    ("limits.topic_bytes_max", settings.limits.topic_bytes_max, Kind::integer(1, U16_MAX), Bytes,
        "Length of a topic name or topic filter."),
    ("limits.connections_per_address_max", settings.limits.connections_per_address_max, Kind::at_least(0), None,
        "Connections at a time from one address; a whole IPv6 /64 counts as one. 0 for no limit."),
    ("limits.connections_per_user_max", settings.limits.connections_per_user_max, Kind::at_least(0), None,
        "Connections at a time of one user name. One more is refused with reason 0x97. 0 for no limit."),
    ("limits.connects_per_second_max", settings.limits.connects_per_second_max, Kind::integer(0, U32_MAX), None,
        "Connections accepted in a second, over all listeners; a second's worth may come at once. Those beyond are \
         closed at once. 0 for no limit."),
    ("limits.connects_per_address_per_second_max", settings.limits.connects_per_address_per_second_max,
        Kind::integer(0, U32_MAX), None,
        "Connections accepted in a second from one address. 0 for no limit."),
    ("limits.handshakes_max", settings.limits.handshakes_max, Kind::at_least(0), None,
        "Connections that have not been admitted yet, over all listeners. One more is closed at once. 0 for no limit."),
    ("limits.handshake_bytes_max", settings.limits.handshake_bytes_max, Kind::at_least(0), Bytes,
        "Bytes of CONNECT and AUTH packets that are held for connections not admitted yet, all together. Who sends more \
         is closed at once; the first 1,024 bytes of each do not count, so that ordinary clients still come in. 0 for \
         no limit."),
    ("limits.messages_per_second_max", settings.limits.messages_per_second_max, Kind::integer(0, U32_MAX), None,
        "Messages in a second that are taken from one client. A client that sends more is not read from for a while; \
         nothing is dropped. 0 for no limit."),
    ("limits.publish_bytes_per_second_max", settings.limits.publish_bytes_per_second_max, Kind::integer(0, U32_MAX),
        Bytes,
        "Bytes of PUBLISH packets in a second that are taken from one client, in the same way. 0 for no limit."),
    ("limits.payload_bytes_max", settings.limits.payload_bytes_max, Kind::at_least(0), Bytes,
        "Size of the largest payload. A larger message is refused with reason 0x97 and dropped."),
    ("limits.connection_lifetime_ms", settings.limits.connection_lifetime, Kind::at_least(0), Milliseconds,
        "Time that a connection may last; an MQTT 5 client is then told 0xA0. 0 for no end."),
    ("limits.memory_bytes_max", settings.limits.memory_bytes_max, Kind::at_least(0), Bytes,
        "Memory of the whole process above which new connections, subscriptions and retained messages are refused, \
         until it is below again. Needs Linux. 0 for no budget."),
    ("limits.linger_ms", settings.limits.linger, Kind::integer(0, DAY_MS), Milliseconds,
        "Time that a client gets to read the last packet (a DISCONNECT) before its connection is closed."),
    ("limits.shutdown_timeout_ms", settings.limits.shutdown_timeout, Kind::integer(0, DAY_MS), Milliseconds,
        "Time that a shutdown waits for connections to end."),

    ("queue.messages_max", settings.queue.messages_max, Kind::at_least(0), None,
        "Messages that may wait for one session."),
    ("queue.bytes_max", settings.queue.bytes_max, Kind::at_least(0), Bytes,
        "Bytes that may wait for one session."),
    ("queue.overflow", settings.queue.overflow, Kind::choice::<Overflow>(), None,
        "What happens at either limit: the message that comes is dropped, or those that have waited longest."),
    ("queue.qos0_offline", settings.limits.queue_qos0_offline, Kind::Boolean, None,
        "Whether QoS 0 messages wait, too, for a client that is away."),

    ("retained.messages_max", settings.retained.messages_max, Kind::at_least(0), None,
        "Messages that may be retained."),
    ("retained.bytes_max", settings.retained.bytes_max, Kind::at_least(0), Bytes,
        "Bytes that retained messages may use."),

    ("access.authentication", access.authentication, Kind::List, None,
        "Who decides on logins, in this order, for listeners that do not say it themselves: `certificate` (see \
         `username_from`), `scram`, `password_file`, `jwt`, `http`, and last `anonymous`. The first one that knows the client decides; if \
         none does, the client is refused. Not given, all that are configured are asked in this order."),
    ("access.users", access.users, Kind::List, None,
        "Users, each as `NAME:HASH`, where `martlet passwd` makes the hash. Passwords in plain text are refused."),
    ("access.password_files", access.password_files, Kind::List, None,
        "Password files: one `NAME:HASH` in a line, as `martlet passwd` and mosquitto_passwd write them. As soon as there \
         are users, anonymous clients are admitted only where a listener says so."),
    ("access.rules", access.rules, Kind::List, None,
        "Access rules, such as `allow user=* publish devices/${username}/#`. They come before those of the files. Without \
         any rule, whoever is admitted may do everything; with one, what no rule allows is denied."),
    ("access.rule_files", access.rule_files, Kind::List, None,
        "Files of access rules, one in a line."),
    ("access.mosquitto_acl_files", access.mosquitto_acl_files, Kind::List, None,
        "mosquitto's ACL files, which are read as they are. Their rules come last."),
    ("access.bans", access.bans, Kind::List, None,
        "Who is shut out: `client=ID`, `user=NAME` or `address=NETWORK`, for good or, counted from when the broker reads it, \
         `for 3600s`; a note may follow: `because it floods`. Whoever is connected is disconnected."),
    ("access.ban_files", access.ban_files, Kind::List, None,
        "Files with one such ban in a line; lines that begin with `#` are comments. They are read again with SIGHUP."),
    ("access.bans_max", access.bans_max, Kind::at_least(1), None,
        "Bans that may hold at a time, wherever they come from. Clients that come and go too often take half of them at most."),
    ("access.password_checks_max", access.checker.checks_max, Kind::at_least(0), None,
        "Checks of argon2id passwords at a time, each with 19 MiB and a processor; 0 for as many as there are processors."),
    ("access.password_waiting_max", access.checker.waiting_max, Kind::at_least(1), None,
        "Logins whose password check is under way or waits; more are told 0x89 (Server busy)."),
    ("access.login_failures_free", access.backoff.free, Kind::integer(0, U32_MAX), None,
        "Failed logins of one user from one address that cost nothing. Each further one makes the user wait there. An address, \
         and a user from everywhere, have four times as many."),
    ("access.login_delay_ms", access.backoff.delay, Kind::integer(1, DAY_MS), Milliseconds,
        "The first such wait; it doubles with each further failure. Only a user's failures from everywhere make it wait no \
         longer than this, and not at all where it has logged in during the last day."),
    ("access.login_delay_max_ms", access.backoff.delay_max, Kind::integer(1, DAY_MS), Milliseconds,
        "The longest wait. After so long without a failure everything is forgotten."),
    ("access.login_entries_max", access.backoff.entries_max, Kind::at_least(2), None,
        "Users, addresses, and users at an address, whose failures are remembered."),
    ("access.flapping_connects_max", access.flapping.connects_max, Kind::integer(0, U32_MAX), None,
        "Connects of one client identifier within the window; with one more it is banned for a while. 0 to allow any number."),
    ("access.flapping_window_ms", access.flapping.window, Kind::integer(1, DAY_MS), Milliseconds,
        "The window in which connects are counted."),
    ("access.flapping_ban_ms", access.flapping_ban, Kind::integer(1, DAY_MS), Milliseconds,
        "How long a client that comes and goes too often is banned."),

    ("jwt.secret_file", access.jwt.secret_file, Kind::Text, None,
        "A file with the secret of HS256, HS384 and HS512: at least 32 bytes; a line end after it does not count."),
    ("jwt.public_key_files", access.jwt.public_key_files, Kind::List, None,
        "PEM files with a `PUBLIC KEY` each: RSA, P-256, P-384 or Ed25519."),
    ("jwt.jwks_file", access.jwt.jwks_file, Kind::Text, None,
        "A file with a JSON Web Key Set. Secrets in it are not used."),
    ("jwt.jwks_url", access.jwt.jwks_url, Kind::Text, None,
        "Where a JSON Web Key Set is fetched from (`https://` or `http://`), when the first token comes and then from time to \
         time. Secrets in it are not used."),
    ("jwt.jwks_ca_file", access.jwt.jwks_ca_file, Kind::Text, None,
        "PEM file with the authorities of that service. Empty for those of the system."),
    ("jwt.jwks_timeout_ms", access.jwt.jwks_timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time for one answer of that service. Logins wait for it only if there are no keys yet, or none that fits."),
    ("jwt.jwks_refresh_ms", access.jwt.jwks.refresh, Kind::integer(1, DAY_MS), Milliseconds,
        "Age at which the set is fetched again; a shorter `max-age` of the answer counts instead."),
    ("jwt.jwks_pause_ms", access.jwt.jwks.pause, Kind::integer(1, DAY_MS), Milliseconds,
        "Time between two attempts, whatever asks for them: tokens that name unknown keys, or a service that is down."),
    ("jwt.jwks_age_max_ms", access.jwt.jwks.age_max, Kind::integer(1, 30 * DAY_MS), Milliseconds,
        "Age up to which the last good set is used if no new one can be fetched."),
    ("jwt.algorithms", access.jwt.algorithms, Kind::List, None,
        "Algorithms that are taken. Each key is only ever used with those of its own kind."),
    ("jwt.token_in", access.jwt.token.field, Kind::choice::<TokenField>(), None,
        "The field of the CONNECT that holds the token."),
    ("jwt.token_bytes_max", access.jwt.token.bytes_max, Kind::integer(64, U16_MAX), Bytes,
        "Length of the longest token."),
    ("jwt.leeway_ms", access.jwt.token.checks.leeway, Kind::integer(0, DAY_MS), Milliseconds,
        "How far the clocks of those who sign may differ from this one."),
    ("jwt.expiry_required", access.jwt.token.checks.expiry_required, Kind::Boolean, None,
        "Whether a token must have an end (`exp`). At the end its client is disconnected in any case."),
    ("jwt.issuers", access.jwt.token.checks.issuers, Kind::List, None,
        "Issuers (`iss`) whose tokens are taken. Empty for any."),
    ("jwt.audiences", access.jwt.token.checks.audiences, Kind::List, None,
        "Audiences (`aud`) of which a token must have one. Empty for any."),
    ("jwt.username_claim", access.jwt.token.checks.username_claim, Kind::Text, None,
        "The claim that is the user name. A user name in the CONNECT must be the same."),
    ("jwt.required_claims", access.jwt.token.checks.required, Kind::List, None,
        "Further claims that must have a value, each as `CLAIM=TEXT`, in which `${username}` and `${clientid}` stand for the \
         client's names, such as `device=${clientid}`. `a.b` is the claim `b` in `a`."),
    ("jwt.acl_claim", access.jwt.token.checks.acl_claim, Kind::Text, None,
        "The claim with the client's own rules. Empty to look at none."),
    ("jwt.groups_claim", access.jwt.token.checks.groups_claim, Kind::Text, None,
        "The claim with the client's groups, such as `realm_access.roles`. Empty to look at none."),

    ("http_login.url", access.http.url, Kind::Text, None,
        "Where each login is asked about (`https://` or `http://`)."),
    ("http_login.question", access.http.question, Kind::choice::<QuestionStyle>(), None,
        "How `clientid`, `username`, `password`, `address`, `listener`, `version`, `cert_common_name` and `cert_subject` are sent. \
         With `get` passwords stand in the query, and so perhaps in the logs of the service."),
    ("http_login.answer", access.http.answer, Kind::choice::<AnswerStyle>(), None,
        "What decides: a JSON object (`{\"result\": \"allow\"}`, see docs/security.md), or the status alone: 2xx allows, 4xx denies."),
    ("http_login.headers", access.http.headers, Kind::List, None,
        "Headers of each request, such as `Authorization: Bearer TOKEN`. They are shown without their values."),
    ("http_login.ca_file", access.http.ca_file, Kind::Text, None,
        "PEM file with the authorities of the service. Empty for those of the system."),
    ("http_login.timeout_ms", access.http.timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time for one answer; without one the login is refused with 0x88."),
    ("http_login.answer_bytes_max", access.http.answer_bytes_max, Kind::integer(64, U32_MAX), Bytes,
        "Length of the longest answer."),
    ("http_login.concurrent_max", access.http.concurrent_max, Kind::integer(1, U16_MAX), None,
        "Questions under way at a time, and connections to the service."),
    ("http_login.waiting_max", access.http.waiting_max, Kind::integer(0, U32_MAX), None,
        "Logins that may wait until one of those is answered; more are refused with 0x89."),
    ("http_login.remember_ms", access.http.remember, Kind::integer(0, DAY_MS), Milliseconds,
        "How long a client that was admitted is admitted again without a question, if it shows exactly the same. 0 to ask each time."),
    ("http_login.remember_max", access.http.remember_max, Kind::integer(0, U32_MAX), None,
        "Clients that are remembered so."),

    ("http_access.url", access.authority.url, Kind::Text, None,
        "A service that is asked what a client may publish and subscribe to, where no rule decides. \"\" for none."),
    ("http_access.question", access.authority.question, Kind::choice::<QuestionStyle>(), None,
        "How it is asked: `post-json` and `post-form` send the fields `clientid`, `username`, `address`, `listener`, `action`, `topic`, \
         `qos` and `retain` in the body, `get` in the query."),
    ("http_access.answer", access.authority.answer, Kind::choice::<AnswerStyle>(), None,
        "How it answers: with a JSON object whose `result` is `allow`, `deny` or `ignore` (denied as well), or by `status` alone."),
    ("http_access.headers", access.authority.headers, Kind::List, None,
        "Headers of every request, as `NAME: VALUE`. They are not shown."),
    ("http_access.ca_file", access.authority.ca_file, Kind::Text, None,
        "File of the authorities that its certificate is checked with, in PEM. Without it, those of the system are trusted."),
    ("http_access.timeout_ms", access.authority.timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time for an answer; without one the client is refused. It is not read from meanwhile, and nobody else waits."),
    ("http_access.answer_bytes_max", access.authority.answer_bytes_max, Kind::integer(64, U32_MAX), Bytes,
        "The longest answer."),
    ("http_access.concurrent_max", access.authority.concurrent_max, Kind::integer(1, U16_MAX), None,
        "Questions under way at a time."),
    ("http_access.waiting_max", access.authority.waiting_max, Kind::integer(0, U32_MAX), None,
        "Questions that may wait for their turn; what more there are is refused."),
    ("http_access.remember_ms", access.authority.remember, Kind::integer(0, DAY_MS), Milliseconds,
        "How long an answer holds for the same client, action, topic, QoS and RETAIN flag; 0 to ask about each message. A reload \
         forgets them."),
    ("http_access.remember_max", access.authority.remember_max, Kind::integer(0, U32_MAX), None,
        "Answers that are remembered; those that end soonest make room."),
    ("redis.url", access.redis.url, Kind::Text, None,
        "Where it is: `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, or `rediss://...` over TLS. Shown without the password."),
    ("redis.ca_file", access.redis.ca_file, Kind::Text, None,
        "PEM file with the authorities of its certificate. Empty for those of the system."),
    ("redis.user", access.redis.user, Kind::Text, None,
        "How a user is found: `GET KEY` or `HGET KEY FIELD` for its hash, or `HMGET KEY FIELD FIELD`, whose second value makes it a \
         superuser, whom no rule about topics concerns, if it is `1` or `true`. `${username}` and `${clientid}` are filled in."),
    ("redis.rules", access.redis.rules, Kind::Text, None,
        "How its rules are found: `HGETALL KEY` with topic filters as fields and `publish`, `subscribe` or `all` as values, or \
         `LRANGE KEY 0 -1` with lines of rules. They come before those for everybody. Empty to look for none."),
    ("redis.timeout_ms", access.redis.timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time for one answer, waiting included; without one the login is refused with 0x88."),
    ("redis.concurrent_max", access.redis.concurrent_max, Kind::integer(1, U16_MAX), None,
        "Questions under way at a time."),
    ("redis.waiting_max", access.redis.waiting_max, Kind::integer(0, U32_MAX), None,
        "Logins that may wait until one of those is answered; more are refused with 0x89."),
    ("redis.remember_ms", access.redis.remember, Kind::integer(0, DAY_MS), Milliseconds,
        "How long a client that was admitted is admitted again without a question, if it shows exactly the same. 0 to ask each time."),

    ("postgres.url", access.postgres.url, Kind::Text, None,
        "Where it is, as libpq writes it: `postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE?sslmode=require`. Where that is not this \
         machine, it has to say `sslmode=require`, or `disable`. Shown without the password."),
    ("postgres.ca_file", access.postgres.ca_file, Kind::Text, None,
        "PEM file with the authorities of its certificate. Empty for those of the system."),
    ("postgres.user", access.postgres.user, Kind::Text, None,
        "The query for a user: at most one row with its hash and, if there is a second column, whether it is a superuser. \
         `${username}` and `${clientid}` are its parameters and must not stand in quotes."),
    ("postgres.rules", access.postgres.rules, Kind::Text, None,
        "The query for its rules: rows with `allow` or `deny`, an action (`publish`, `subscribe`, `all`) and a topic filter, or with a \
         line of rules in their only column. They come before those for everybody. Empty to look for none."),
    ("postgres.timeout_ms", access.postgres.timeout, Kind::integer(1, DAY_MS), Milliseconds,
        "Time for one answer, waiting included; without one the login is refused with 0x88."),
    ("postgres.concurrent_max", access.postgres.concurrent_max, Kind::integer(1, U16_MAX), None,
        "Questions under way at a time, and connections."),
    ("postgres.waiting_max", access.postgres.waiting_max, Kind::integer(0, U32_MAX), None,
        "Logins that may wait until one of those is answered; more are refused with 0x89."),
    ("postgres.remember_ms", access.postgres.remember, Kind::integer(0, DAY_MS), Milliseconds,
        "How long a client that was admitted is admitted again without a question, if it shows exactly the same. 0 to ask each time."),

    ("shared.strategy", settings.shared_strategy, Kind::choice::<SharedStrategy>(), None,
        "How the receiver of a message is chosen among the members: in turn; at random; the same one until it \
         leaves; the same one for all messages of a publisher; the same one for all messages on a topic."),

    ("topics.subscribe_denied", settings.topics.subscribe_denied, Kind::List, None,
        "Topic filters that nobody may subscribe to. A subscription is refused if its filter is the same text."),
    ("topics.denial_reveals_reason", settings.topics.denial_reveals_reason, Kind::Boolean, None,
        "Whether a refused subscription is told the reason. If not, it is answered with 0x80."),

    ("tls.check_interval_ms", settings.certificate_check_interval, Kind::integer(0, DAY_MS), Milliseconds,
        "Time between two looks at the files of encrypted listeners. Files that have changed are read again, and new \
         connections get what they hold; those that exist go on. 0 to look at SIGHUP only."),
    ("storage.in_memory", storage.in_memory, Kind::Boolean, None,
        "Whether nothing outlives the process. `--in-memory` sets it."),
    ("storage.data_dir", storage.data_dir, Kind::Text, None,
        "The directory for sessions, queues and retained messages; `--data-dir` overrides it. Not given, it is \
         `$STATE_DIRECTORY` if a service manager sets it, `/var/lib/martlet` if that may be written to, or else \
         `$XDG_STATE_HOME/martlet` or `~/.local/state/martlet`. One process uses it at a time."),
    ("storage.durability", settings.durability.default, Kind::choice::<Durability>(), None,
        "What the acknowledgement of a message promises. `memory`: nothing, it is lost with the process. `periodic`: \
         the operating system has it; a killed process loses nothing, a power failure what came since the last \
         sync. `acked`: it is on the disk."),
    ("storage.durability_by_topic", settings.durability.rules, Kind::List, None,
        "Other promises for some topics, each as `FILTER=PROMISE`, such as `telemetry/#=memory`. The first filter that \
         matches decides."),
    ("storage.sync_interval_ms", storage.sync_interval, Kind::integer(1, DAY_MS), Milliseconds,
        "The longest that something written stays unsynced: what a power failure can take with `periodic`."),
    ("storage.space_factor", storage.space_factor, Kind::integer(2, 100), None,
        "Bytes on the disk for one byte that is needed (and 64 MiB) before the oldest data is cleaned up."),
    ("storage.memory_bytes", storage.memory_bytes_max, Kind::integer(0, u64::MAX >> 1), Bytes,
        "Message bodies in memory, those of retained messages and of kept sessions' queues together. Beyond it, bodies \
         are on the disk only and are read back, some in advance, when they are to be delivered; a short record of \
         each message stays in memory. What a connected client gets next and what it has not acknowledged is in memory \
         in any case."),
    ("storage.drop_damaged", storage.drop_damaged, Kind::Boolean, None,
        "Whether to start without stored data that is damaged. Everything that is left out is logged. If not, the \
         broker refuses to start and says what is damaged."),

    ("plugins.files", plugins.files, Kind::List, None,
        "WebAssembly components for the interface `martlet:plugin@0.1.0`, in the order in which they are asked. `SIGHUP` makes a \
         running broker read the files again; who is connected stays connected."),
    ("plugins.settings", plugins.settings, Kind::List, None,
        "What each plug-in is told at its start, in the order of `plugins.files`; what it means is the plug-in's affair."),
    ("plugins.fuel_max", plugins.fuel_max, Kind::at_least(1_000), None,
        "What a plug-in may use to answer one question, in units of about one WebAssembly instruction. Whatever limit it \
         reaches, the question counts as `plugins.fail_open` says, and `$SYS/broker/plugins/NAME/` counts it."),
    ("plugins.deadline_ms", plugins.deadline, Kind::integer(1, 60_000), Milliseconds,
        "Time for an answer, which counts where few instructions take long."),
    ("plugins.memory_bytes_max", plugins.memory_bytes_max, Kind::integer(65_536, U32_MAX), Bytes,
        "Memory of one instance of a plug-in. There are as many of each as there are `runtime.worker_threads`."),
    ("plugins.fail_open", plugins.fail_open, Kind::Boolean, None,
        "What counts when a plug-in does not answer: as if there were none, or, if not, refused with reason 0x83."),
    ("plugins.check_interval_ms", plugins.check_interval, Kind::integer(0, DAY_MS), Milliseconds,
        "Time between two looks at the files of plug-ins. A new version is taken over if it can be used. 0 to look at SIGHUP \
         only."),

    ("sys.interval_ms", settings.sys.interval, Kind::integer(0, DAY_MS), Milliseconds,
        "Time between two publications of the figures; 0 to publish nothing."),

    ("log.filter", log.filter, Kind::Text, None,
        "What is logged: `error`, `warn`, `info`, `debug` or `trace`, also by part, such as \
         `info,mqtt_broker=debug`. `--log` and the environment variable `RUST_LOG` override it."),
    ("log.format", log.format, Kind::choice::<LogFormat>(), None,
        "Lines for people, or one JSON object per line; `auto` is `text` on a terminal and `json` elsewhere."),

    ("runtime.worker_threads", runtime.worker_threads, Kind::integer(0, 1024), None,
        "Threads that serve connections; 0 for one per processor."),
    ("runtime.elastic", runtime.elastic, Kind::Boolean, None,
        "Whether threads rest while fewer are enough. They come back when those at work have no time left and a processor \
         has, or when all at work are held up. Fewer threads wake each other less."),
};

#[cfg(test)]
mod tests {
    use mqtt_broker::{DurabilityRules, Limits, Settings, SysSettings, TopicRules};
    use mqtt_session::{OurLimits, Policy};
    use mqtt_store::{QueueLimits, RetainedLimits};

    use super::*;

    /// Every field stands here by name, so that a new one does not compile before it has its row and is counted.
    #[test]
    fn every_field_of_the_settings_is_an_option() {
        let Settings {
            policy,
            limits,
            queue,
            retained,
            shared_strategy: _,
            topics,
            sys,
            durability,
            certificate_check_interval: _,
        } = Settings::default();
        let Policy {
            version_min: _,
            version_max: _,
            ours,
            inflight_max: _,
            topic_alias_assign_max: _,
            maximum_qos: _,
            retain_available: _,
            wildcard_subscription_available: _,
            subscription_identifiers_available: _,
            shared_subscription_available: _,
            keep_alive_max_s: _,
            session_expiry_max_s: _,
            session_expiry_v3_s: _,
            client_id_bytes_max: _,
            empty_client_id_allowed: _,
            response_information: _,
        } = policy;
        let OurLimits { receive_maximum: _, maximum_packet_size_bytes: _, topic_alias_maximum: _ } = ours;
        let Limits {
            connections_max: _,
            parked_sessions_max: _,
            connect_timeout: _,
            connect_bytes_max: _,
            outbox_bytes_high: _,
            stall_timeout: _,
            subscriptions_max: _,
            topic_levels_max: _,
            topic_bytes_max: _,
            connections_per_address_max: _,
            connections_per_user_max: _,
            connects_per_second_max: _,
            connects_per_address_per_second_max: _,
            handshakes_max: _,
            handshake_bytes_max: _,
            messages_per_second_max: _,
            publish_bytes_per_second_max: _,
            payload_bytes_max: _,
            connection_lifetime: _,
            memory_bytes_max: _,
            queue_qos0_offline: _,
            linger: _,
            shutdown_timeout: _,
        } = limits;
        let QueueLimits { messages_max: _, bytes_max: _, overflow: _ } = queue;
        let RetainedLimits { messages_max: _, bytes_max: _ } = retained;
        let TopicRules { subscribe_denied: _, denial_reveals_reason: _ } = topics;
        let SysSettings { interval: _ } = sys;
        let DurabilityRules { default: _, rules: _ } = durability;

        let of_the_broker = 1 + (15 + 3) + 23 + 3 + 2 + 2 + 1 + 1 + 2;
        let is_own = |row: &&Row<Configuration>| {
            let (section, name) = row.split_key();
            [
                "",
                "access",
                "http_access",
                "http_login",
                "jwt",
                "log",
                "plugins",
                "postgres",
                "redis",
                "runtime",
            ]
            .contains(&section)
                || section == "storage" && !name.starts_with("durability")
        };
        assert_eq!(ROWS.iter().filter(|row| !is_own(row)).count(), of_the_broker);
    }
}
