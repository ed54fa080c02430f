//! `martlet serve` as a service of systemd: sockets that it is passed, what it says of itself, whom its files belong to.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Broker, Scratch, martlet};

/// CONNECT of MQTT 3.1.1 with an empty client identifier.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
/// CONNACK: accepted, no session.
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn greet(stream: &mut (impl Read + Write)) {
    stream.write_all(CONNECT).expect("writable");
    expect_welcome(stream);
}

fn expect_welcome(stream: &mut impl Read) {
    let mut answer = [0; CONNACK.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, CONNACK);
}

fn configuration(name: &str, listeners: &str) -> Scratch {
    Scratch::with(name, format!("[storage]\nin_memory = true\n[log]\nformat = 'json'\n{listeners}"))
}

/// Starts the broker as systemd does, with two sockets from descriptor 3 on and their names in the environment. They come
/// as the standard input and output of a shell, which puts them there: only its process knows the number that it has and
/// that the broker will have.
fn activated(configuration: &Scratch, sockets: [OwnedFd; 2], environment: &[(&str, &str)]) -> Command {
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=${FOR:-$$}; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_martlet"), "serve", "--config"]);
    command.arg(configuration.path()).env_clear().env("LISTEN_FDS", "2").envs(environment.iter().copied());
    let [first, second] = sockets;
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second));
    command
}

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

fn twin(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().expect("descriptors are left").into()
}

#[test]
fn clients_that_came_before_the_broker_are_served_on_the_sockets_of_systemd() {
    let file = Scratch::new("passed.sock");
    let tcp = tcp();
    let unix = UnixListener::bind(file.path()).expect("a free name");
    let sockets = [twin(&tcp), unix.try_clone().expect("descriptors are left").into()];
    let address = tcp.local_addr().expect("bound");
    // Nobody accepts yet, but the system lets them in.
    let mut over_tcp = TcpStream::connect(address).expect("it listens");
    let mut over_unix = UnixStream::connect(file.path()).expect("it listens");
    over_tcp.write_all(CONNECT).expect("writable");
    over_unix.write_all(CONNECT).expect("writable");
    let configuration = configuration(
        "activated.toml",
        "[[listener]]
         url = 'unix:///passed'
         systemd_socket = 'local'
         [[listener]]
         url = 'tcp://0.0.0.0:1'
         systemd_socket = 'martlet.socket'
         allow_anonymous = true",
    );
    let names = [("LISTEN_FDNAMES", "martlet.socket:local")];
    let mut broker = Broker::spawn(&mut activated(&configuration, sockets, &names), 2);
    assert_eq!(broker.addresses[1], format!("tcp://{address}"));
    expect_welcome(&mut over_tcp);
    expect_welcome(&mut over_unix);
    greet(&mut TcpStream::connect(address).expect("it listens"));
    broker.signal("TERM");
    assert_eq!(broker.wait().0, Some(0));
    assert!(std::fs::exists(file.path()).expect("readable"), "the file is that of systemd");
    TcpStream::connect(address).expect("systemd still listens");
}

/// Starts a broker that cannot start, with two sockets on TCP; what it says.
fn refusal(listener: &str, environment: &[(&str, &str)]) -> String {
    let configuration = configuration(&format!("refused-{}.toml", listener.len()), listener);
    let (first, second) = (tcp(), tcp());
    let mut command = activated(&configuration, [twin(&first), twin(&second)], environment);
    let output = command.stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output();
    let output = output.expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    support::stderr(&output)
}

#[test]
fn a_socket_that_was_not_passed_is_an_error_that_names_those_that_were() {
    let listener = "[[listener]]\nurl = 'tcp://h:1'\nallow_anonymous = true\nsystemd_socket = ";
    let names = [("LISTEN_FDNAMES", "a:b")];
    let other = refusal(&format!("{listener}'other'"), &names);
    assert!(other.contains("systemd socket \"other\": it was not passed"), "{other}");
    assert!(other.contains("there are: a, b"), "{other}");
    let twice = refusal(&format!("{listener}'a'\n{listener}'a'"), &names);
    assert!(twice.contains("there are: b"), "{twice}");
    let for_another = refusal(&format!("{listener}'a' # 1"), &[names[0], ("FOR", "1")]);
    assert!(for_another.contains("there are: none"), "{for_another}");
    let kind = refusal("[[listener]]\nurl = 'unix:///x'\nsystemd_socket = 'a'", &names);
    assert!(kind.contains("fd 3 is not a valid unix stream socket"), "{kind}");
}

#[test]
fn sockets_of_one_name_are_taken_in_their_order_and_the_rest_is_told() {
    let (first, second) = (tcp(), tcp());
    let listener = "[[listener]]\nurl = 'tcp://h:1'\nallow_anonymous = true\nsystemd_socket = 'unknown'\n";
    let twice = configuration("twice.toml", &listener.repeat(2));
    let broker = Broker::spawn(&mut activated(&twice, [twin(&first), twin(&second)], &[]), 2);
    let addresses = [&first, &second].map(|it| format!("tcp://{}", it.local_addr().expect("bound")));
    assert_eq!(broker.addresses, addresses);
    drop(broker);
    let once = configuration("once.toml", listener);
    let mut child = activated(&once, [twin(&first), twin(&second)], &[]);
    let mut broker = Broker::spawn(&mut child, 0);
    broker.line_with("systemd passed a socket that no listener asks for");
}

#[test]
fn a_connection_in_the_place_of_a_listener_is_refused() {
    let listener = tcp();
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let text = "[[listener]]\nurl = 'tcp://h:1'\nallow_anonymous = true\nsystemd_socket = 'unknown'";
    let configuration = configuration("connection.toml", text);
    let mut command = activated(&configuration, [near.into(), twin(&listener)], &[]);
    let output = command.stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output();
    let said = support::stderr(&output.expect("it ends"));
    assert!(said.contains("the open socket does not listen"), "{said}");
}

#[test]
fn the_service_manager_is_told_of_the_start_of_reloads_and_of_the_end() {
    let path = Scratch::new("notify.sock");
    let socket = UnixDatagram::bind(path.path()).expect("a free name");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let told = || {
        let mut message = [0; 256];
        let bytes = socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..bytes]).into_owned()
    };
    let mut command = martlet(["serve", "--in-memory", "--set", "log.format=json"]);
    command.args(["--listen", "tcp://127.0.0.1:0"]).env("NOTIFY_SOCKET", path.path());
    let mut broker = Broker::spawn(&mut command, 1);
    assert_eq!(told(), "READY=1\n");
    broker.signal("HUP");
    let reloading = told();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a reload");
    since.trim().parse::<u64>().expect("a time");
    assert_eq!(told(), "READY=1\n");
    broker.signal("TERM");
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(broker.wait().0, Some(0));
}

#[test]
fn a_unix_socket_belongs_to_whom_the_configuration_says() {
    let scratch = Scratch::with("owner", "");
    let own = std::fs::metadata(scratch.path()).expect("it was written");
    // The superuser may give files away, others to themselves only.
    let (user, group) = if own.uid() == 0 { (65_534, 65_533) } else { (own.uid(), own.gid()) };
    let socket = Scratch::new("owned.sock");
    let path = socket.path();
    let listener = format!("[[listener]]\nurl = 'unix://{path}'\nunix_mode = '620'\n");
    let text = format!("{listener}unix_user = '{user}'\nunix_group = '{group}'");
    let configuration = configuration("owned.toml", &text);
    let broker = Broker::spawn(&mut martlet(["serve", "--config", configuration.path()]), 1);
    let given = std::fs::metadata(path).expect("it listens");
    assert_eq!((given.uid(), given.gid(), given.mode() & 0o777), (user, group, 0o620));
    greet(&mut UnixStream::connect(path).expect("it listens"));
    drop(broker);
}

/// Without the privilege nobody can give a file to somebody else, not even the superuser.
#[test]
fn an_owner_that_the_system_does_not_allow_ends_the_start() {
    let socket = Scratch::new("foreign.sock");
    let text = format!("[[listener]]\nurl = 'unix://{}'\nunix_user = '4711'", socket.path());
    let configuration = configuration("foreign.toml", &text);
    let is_root = std::fs::metadata(configuration.path()).expect("it was written").uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-chown", env!("CARGO_BIN_EXE_martlet")]);
        command
    } else {
        martlet::<&str>([])
    };
    let output = command.args(["serve", "--config", configuration.path()]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = support::stderr(&output);
    assert!(said.contains("the file cannot be given to user 4711: Operation not permitted"), "{said}");
    assert!(!std::fs::exists(socket.path()).expect("readable"), "nothing is left behind");
}
