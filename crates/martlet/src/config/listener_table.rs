//! The options of `[[listener]]`.

use mqtt_codec::Version;
use mqtt_transport::{AddressValidation, CertificateField, ClientCertificates, TlsVersion};

use super::settings::ListenerEntry;
use super::table::{DAY_MS, Row, Unit, row, rows};
use super::value::{Kind, Setting};

const U32_MAX: u64 = u32::MAX as u64;

/// In the order of the reference.
pub(crate) const LISTENER_ROWS: &[Row<ListenerEntry>] = rows! { ListenerEntry:
    ("url", url, Kind::Text, None,
        "Where to listen: `tcp://HOST:PORT`, `mqtts://HOST:PORT` (TLS), `ws://HOST:PORT/PATH` or \
         `wss://HOST:PORT/PATH` (WebSocket, over TLS), `quic://HOST:PORT` (QUIC, over UDP), or `unix:///PATH` (a Unix socket). Port 0 takes any free port. Must be given."),
    ("allow_anonymous", allow_anonymous, Kind::Boolean, None,
        "Whether clients may connect without logging in. Not given, the option `allow_anonymous` of the top \
         level decides; if that is not given either, only a loopback address admits them, and of these only one that \
         does not take user names from certificates."),
    ("authentication", authentication, Kind::List, None,
        "Who decides on the logins of this listener, in this order; see `access.authentication`, which it replaces. With \
         `anonymous` at its end clients may connect without logging in."),
    ("name", rules.name, Kind::Text, None,
        "What logs call it. Empty for its address."),
    ("connections_max", rules.connections_max, Kind::at_least(0), None,
        "Connections at a time through this listener; one more is closed at once. 0 for no limit but that of \
         `limits.connections_max`."),
    ("version_min", rules.version_min, Kind::choice::<Version>(), None,
        "Lowest version of MQTT that is admitted here, if `protocol.version_min` admits it."),
    ("version_max", rules.version_max, Kind::choice::<Version>(), None,
        "Highest version of MQTT that is admitted here, if `protocol.version_max` admits it."),
    ("mountpoint", rules.mountpoint, Kind::Text, None,
        "A topic prefix, such as `site/7/` or `devices/${username}/`: its clients take what lies below for the whole topic \
         tree, and neither see nor reach anything else. `${username}` and `${clientid}` stand for one level each; a client \
         whose name cannot be one is refused. Empty for the whole tree. See docs/transports.md."),
    ("backlog", transport.socket.backlog, Kind::integer(1, U32_MAX), None,
        "Connections that the system keeps waiting before they are accepted; the system may have a lower limit."),
    ("nodelay", transport.socket.nodelay, Kind::Boolean, None,
        "Whether small packets are sent at once (`TCP_NODELAY`)."),
    ("reuse_port", transport.socket.reuse_port, Kind::Boolean, None,
        "Whether other processes that say so, too, may listen on the same port (`SO_REUSEPORT`)."),
    ("ipv6_only", transport.socket.ipv6_only, Kind::Boolean, None,
        "Whether a listener on an IPv6 address such as `[::]` leaves IPv4 clients alone. Not given, the system decides."),
    ("device", transport.socket.device, Kind::Text, None,
        "The network device whose clients are accepted, such as `eth0` (Linux). Empty for all."),
    ("unix_mode", unix_mode, Kind::Text, None,
        "Permissions of the file of a `unix://` listener as an octal number, such as `660`. Empty for what the umask of \
         the process says."),
    ("unix_user", unix_user, Kind::Text, None,
        "The user, by name or number, that the file of a `unix://` listener belongs to. Empty for the one who runs the \
         broker; another one needs a privilege (`CAP_CHOWN`)."),
    ("unix_group", unix_group, Kind::Text, None,
        "The group, by name or number, that the file of a `unix://` listener belongs to. Empty for that of the process; one \
         that its user is not in needs a privilege (`CAP_CHOWN`)."),
    ("systemd_socket", systemd_socket, Kind::Text, None,
        "Name of a socket that systemd opens and passes (`FileDescriptorName=` of a socket unit, by default the name of \
         the unit): it is taken instead of one at `url`, of which then only scheme and path count, as its unit decides on owner, mode and backlog. Several listeners with one \
         name take the sockets of that name in their order. Empty to open one at `url`. See docs/transports.md."),
    ("proxy_from", transport.proxy_from, Kind::List, None,
        "Addresses or networks of load balancers that speak the PROXY protocol (version 1 or 2). If there is one, every \
         connection must come from there and begin with its header, which says where the client is, and by which common \
         name a TLS-ending proxy knows it (see `username_from`). Through `unix://` everybody must send a header then."),
    ("origins", transport.ws.origins, Kind::List, None,
        "For WebSocket listeners: origins of the pages that may connect, such as `https://example.org`. Empty for all. \
         Clients that are no browsers send none and are not affected."),
    ("message_bytes_max", transport.ws.message_bytes_max, Kind::integer(1, U32_MAX), Bytes,
        "Largest WebSocket message, in bytes; no memory is kept for it. A longer one closes the connection with \
         code 1009."),
    ("trusted_proxies", transport.ws.trusted_proxies, Kind::List, None,
        "Addresses or networks, such as `10.0.0.0/8`, of the reverse proxies whose `Forwarded` or `X-Forwarded-For` \
         says where a WebSocket client really is."),
    ("certificates", certificates, Kind::List, None,
        "For encrypted listeners: PEM files with a certificate each, followed by those between it and its authority. \
         A client gets the first one with the name it asks for (SNI), else the first. Changed files are read again, see \
         `tls.check_interval_ms`."),
    ("keys", keys, Kind::List, None,
        "PEM files with the private keys, in the order of `certificates`."),
    ("client_certificates", transport.tls.client_certificates, Kind::choice::<ClientCertificates>(), None,
        "Whether clients are asked for a certificate, and whether they may do without. A certificate that is not good \
         is refused in any case."),
    ("client_ca_file", transport.tls.client_ca_file, Kind::Text, None,
        "PEM file with the authorities whose clients' certificates are good."),
    ("crl_files", transport.tls.crl_files, Kind::List, None,
        "PEM files with the lists of revoked client certificates. If there is one, each authority in \
         `client_ca_file` must have its list here."),
    ("username_from", rules.username_from, Kind::choice::<Option<CertificateField>>(), None,
        "Where the user name comes from: from the CONNECT packet, or from the client's certificate, which is then \
         proof enough: the common name, the first alternative name, or the whole subject as `CN=…,O=…`. A client \
         without a certificate logs in as usual."),
    ("tls_version_min", transport.tls.version_min, Kind::choice::<TlsVersion>(), None,
        "Lowest version of TLS."),
    ("tls_version_max", transport.tls.version_max, Kind::choice::<TlsVersion>(), None,
        "Highest version of TLS."),
    ("cipher_suites", transport.tls.cipher_suites, Kind::List, None,
        "Names of the cipher suites to offer, such as `TLS13_AES_256_GCM_SHA384`, in the order of preference. Empty \
         for all that are safe. An unknown name is answered with those that there are."),
    ("handshakes_max", transport.handshakes_max, Kind::at_least(1), None,
        "TLS and QUIC handshakes under way at a time. Further clients wait, within `limits.connect_timeout_ms`."),
    ("quic_window_bytes", transport.quic.window_bytes, Kind::integer(16_384, U32_MAX), Bytes,
        "For QUIC listeners: bytes of one connection that may wait in each direction, received and not read yet, or sent          and not acknowledged yet. Divided by the round trip time, it is the fastest a connection can be."),
    ("quic_idle_timeout_ms", transport.quic.idle_timeout, Kind::integer(0, 7 * DAY_MS), Milliseconds,
        "For QUIC listeners: time without a packet of the client after which its connection ends; a client may ask for          less. The default is above what the keep-alive of MQTT can be, which so decides. 0 for no end."),
    ("quic_keep_alive_ms", transport.quic.keep_alive, Kind::integer(0, DAY_MS), Milliseconds,
        "For QUIC listeners: time after which a silent client is sent a packet that it acknowledges, which keeps the way through \
         routers open and wakes sleeping devices. 0 to leave that to the clients."),
    ("quic_address_validation", transport.quic.address_validation, Kind::choice::<AddressValidation>(), None,
        "For QUIC listeners: when a client has to show that it can be reached at its address, which takes one more round          trip: while half of `handshakes_max` are under way, or always."),
};
