use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockRef;

use super::*;

async fn bind(url: &str, options: &SocketOptions) -> io::Result<TcpListener> {
    match Listening::bind(&Url::parse(url).expect("an address"), options).await? {
        Listening::Tcp(socket) => Ok(socket),
        Listening::Unix { .. } => panic!("{url} is an address of TCP"),
    }
}

async fn listen(url: &str, options: &SocketOptions) -> TcpListener {
    bind(url, options).await.expect("a free port")
}

fn port(socket: &TcpListener) -> u16 {
    socket.local_addr().expect("bound").port()
}

/// A client of this address, and the address that the listener sees.
async fn visit(socket: &TcpListener, host: &str) -> SocketAddr {
    let client = TcpStream::connect((host, port(socket)));
    let (client, accepted) = tokio::join!(client, socket.accept());
    let (_, seen) = accepted.expect("a client");
    assert_eq!(client.expect("it listens").local_addr().expect("connected").port(), seen.port());
    seen
}

#[tokio::test]
async fn one_listener_serves_both_families_unless_it_is_told_not_to() {
    let both = SocketOptions { ipv6_only: Some(false), ..SocketOptions::default() };
    let socket = listen("tcp://[::]:0", &both).await;
    assert!(!SockRef::from(&socket).only_v6().expect("an option"));
    assert!(visit(&socket, "::1").await.ip().is_loopback());
    let seen = visit(&socket, "127.0.0.1").await;
    assert_eq!(seen.ip().to_canonical(), Ipv4Addr::LOCALHOST);

    let one = SocketOptions { ipv6_only: Some(true), ..SocketOptions::default() };
    let socket = listen("tcp://[::]:0", &one).await;
    assert!(SockRef::from(&socket).only_v6().expect("an option"));
    visit(&socket, "::1").await;
    let refused = TcpStream::connect(("127.0.0.1", port(&socket))).await.expect_err("it is for IPv6");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn two_listeners_share_a_port_if_one_leaves_ipv4_to_the_other() {
    let one = SocketOptions { ipv6_only: Some(true), ..SocketOptions::default() };
    let six = listen("tcp://[::]:0", &one).await;
    let four = listen(&format!("tcp://0.0.0.0:{}", port(&six)), &one).await;
    assert!(visit(&four, "127.0.0.1").await.is_ipv4());
    assert!(visit(&six, "::1").await.is_ipv6());
    let both = SocketOptions { ipv6_only: Some(false), ..SocketOptions::default() };
    drop(six);
    let taken = bind(&format!("tcp://[::]:{}", port(&four)), &both).await.expect_err("IPv4 is taken");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_may_be_bound_to_a_device() {
    let on = |device: &str| SocketOptions { device: Some(device.to_owned()), ..SocketOptions::default() };
    let socket = listen("tcp://0.0.0.0:0", &on("lo")).await;
    assert_eq!(SockRef::from(&socket).device().expect("an option").as_deref(), Some(&b"lo"[..]));
    visit(&socket, "127.0.0.1").await;
    let error = bind("tcp://0.0.0.0:0", &on("nowhere0")).await.expect_err("no such device");
    assert!(error.to_string().contains("device nowhere0: "), "{error}");
}

/// Connections that wait to be accepted, as the kernel counts them.
#[cfg(target_os = "linux")]
fn waiting(socket: &TcpListener) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("it runs on Linux");
    let place = format!("0100007F:{:04X}", port(socket));
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1] == place && row[3] == "0A").expect("it listens");
    let (_, received) = row[4].split_once(':').expect("two queues");
    usize::from_str_radix(received, 16).expect("a number")
}

/// Begins to connect to a listener that does not accept.
#[cfg(target_os = "linux")]
fn knock(socket: &TcpListener) -> RawSocket {
    let client = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    client.set_nonblocking(true).expect("a socket");
    let _ = client.connect(&socket.local_addr().expect("bound").into());
    client
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_system_keeps_as_many_waiting_as_the_backlog_says() {
    const CLIENTS: usize = 10;
    let small = SocketOptions { backlog: 3, ..SocketOptions::default() };
    let small = listen("tcp://127.0.0.1:0", &small).await;
    let large = listen("tcp://127.0.0.1:0", &SocketOptions::default()).await;
    let _small: Vec<RawSocket> = (0..CLIENTS).map(|_| knock(&small)).collect();
    let _large: Vec<RawSocket> = (0..CLIENTS).map(|_| knock(&large)).collect();
    // Whoever came earlier to the other one has been dealt with by then.
    while waiting(&large) < CLIENTS {
        tokio::task::yield_now().await;
    }
    // Linux lets in one more than it is told.
    assert_eq!(waiting(&small), 4);
}

#[tokio::test]
async fn two_listeners_that_say_so_share_a_port_and_both_get_clients() {
    let alone = listen("tcp://127.0.0.1:0", &SocketOptions::default()).await;
    assert!(!SockRef::from(&alone).reuse_port().expect("an option"));
    let shared = SocketOptions { reuse_port: true, ..SocketOptions::default() };
    bind(&format!("tcp://127.0.0.1:{}", port(&alone)), &shared).await.expect_err("the first did not say so");

    let first = listen("tcp://127.0.0.1:0", &shared).await;
    let second = listen(&format!("tcp://127.0.0.1:{}", port(&first)), &shared).await;
    assert!(SockRef::from(&second).reuse_port().expect("an option"));
    let (mut at_first, mut at_second) = (0, 0);
    // The system deals them out by a hash of both addresses: that one gets none of 200 will not happen.
    for _ in 0..200 {
        let client = TcpStream::connect(first.local_addr().expect("bound"));
        let accepted = async {
            tokio::select! {
                accepted = first.accept() => accepted.map(|_| at_first += 1),
                accepted = second.accept() => accepted.map(|_| at_second += 1),
            }
        };
        let (client, accepted) = tokio::join!(client, accepted);
        client.and(accepted).expect("it listens");
    }
    assert!(at_first > 0 && at_second > 0, "{at_first} and {at_second}");
}
