"""Cases behind nginx: WebSocket with and without TLS, streams with the PROXY protocol. The broker has to see the clients' own
addresses, which are those of the loopback that end with other numbers than 1."""

import json
import os

from cases import case, eventually, expect, main
from own_broker import OwnBroker
from own_nginx import OwnNginx
from paho_python import V5, V311, Peer
from programs import Program, run
from tls_cases import authority, certificate

VERSIONS = {"v311": V311, "v5": V5}

# What the manual of every broker says, and X-Forwarded-For.
LOCATION = """
        location /mqtt {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
"""
WEBSOCKET = """
[[listener]]
url = "ws://127.0.0.1:0/mqtt"
allow_anonymous = true
trusted_proxies = ["127.0.0.1"]
"""
PROXIED = """
[[listener]]
url = "tcp://127.0.0.1:0"
allow_anonymous = true
proxy_from = ["127.0.0.1"]
"""
LIMITED = "[limits]\nconnections_per_address_max = 1\n"


class Where:
    """An address, named as a peer reads it."""

    host, ws_path = "127.0.0.1", "/mqtt"

    def __init__(self, port):
        self.port = self.ws_port = port


class Distant(Peer):
    """A client with another address than everybody else has here."""

    def __init__(self, port, version, transport, address, ca=None):
        super().__init__(Where(port), version, client_id=f"at-{address}", transport=transport)
        if ca:
            self.client.tls_set(ca_certs=ca)
        connect = self.client.connect
        self.client.connect = lambda *words, **options: connect(*words, bind_address=address, **options)


def round_trip(peer):
    peer.subscribe("through/#", 2)
    for qos in range(3):
        peer.publish(f"through/{qos}", b"x" * 100_000, qos)
        message = peer.message()
        expect((message.topic, message.qos, len(message.payload)), (f"through/{qos}", qos, 100_000), "the message")


def expect_seen(broker, address):
    """The broker's log says that the client came from there."""

    def seen():
        lines = [json.loads(line) for line in broker.log.read_text().splitlines() if line.startswith("{")]
        connected = [line for line in lines if line.get("message") == "client connected"]
        return any(line["client_id"] == f"at-{address}" and address in line["address"] for line in connected)

    eventually(seen, f"the broker sees {address}")


def websocket_server(broker, tls=""):
    return f"    server {{\n        listen @port0@{tls}" + LOCATION.format(port=broker.ports["ws"]) + "    }"


@case(each=VERSIONS)
def ws(broker, version):
    with OwnBroker(WEBSOCKET) as broker, OwnNginx(1, http=websocket_server(broker, ";")) as nginx:
        peer = Distant(nginx.ports[0], version, "websockets", "127.0.0.2").online()
        round_trip(peer)
        expect_seen(broker, "127.0.0.2")
        peer.disconnect()


@case(each=VERSIONS)
def wss(broker, version):
    """nginx ends TLS; the broker sees WebSocket in plain."""
    authority("ca")
    certificate("front", "ca", "serverAuth")
    files = f" ssl;\n        ssl_certificate {os.getcwd()}/front.crt;\n        ssl_certificate_key {os.getcwd()}/front.key;\n"
    with OwnBroker(WEBSOCKET) as broker, OwnNginx(1, http=websocket_server(broker, files)) as nginx:
        peer = Distant(nginx.ports[0], version, "websockets", "127.0.0.3", "ca.crt").online()
        round_trip(peer)
        expect_seen(broker, "127.0.0.3")
        peer.disconnect()


@case
def ws_stays_open_while_nginx_reloads(broker):
    with OwnBroker(WEBSOCKET) as broker, OwnNginx(1, http=websocket_server(broker, ";")) as nginx:
        peer = Distant(nginx.ports[0], V5, "websockets", "127.0.0.2").online()
        nginx.reload()
        eventually(lambda: nginx.log.read_text().count("start worker process ") > 1, "a new worker")
        round_trip(peer)
        Distant(nginx.ports[0], V5, "websockets", "127.0.0.4").online().disconnect()
        peer.disconnect()


@case(each={"ws": "ws", "proxy_protocol": "tcp"})
def limits_count_the_clients_and_not_nginx(broker, scheme):
    config = LIMITED + (WEBSOCKET if scheme == "ws" else PROXIED)
    with OwnBroker(config) as broker:
        if scheme == "ws":
            front = OwnNginx(1, http=websocket_server(broker, ";"))
        else:
            front = OwnNginx(1, stream=proxied(f"127.0.0.1:{broker.ports['tcp']}"))
        with front as nginx:
            transport = "websockets" if scheme == "ws" else "tcp"
            first = Distant(nginx.ports[0], V5, transport, "127.0.0.2").online()
            other = Distant(nginx.ports[0], V5, transport, "127.0.0.3").online()
            again = Distant(nginx.ports[0], V5, transport, "127.0.0.2")
            again.client.connect("127.0.0.1", nginx.ports[0], 30)
            again.client.loop_start()
            again.disconnects.get(timeout=10)
            expect(again.connacks.empty(), True, "the second client of one address gets no answer")
            again.client.loop_stop()
            first.disconnect()
            other.disconnect()


def proxied(upstream, tls=""):
    return f"    server {{\n        listen @port0@{tls or ';'}\n        proxy_pass {upstream};\n        proxy_protocol on;\n    }}"


def mosquitto_from(address, port, *more):
    to = ["-h", "127.0.0.1", "-p", str(port), "-A", address, *more]
    listener = Program(["stdbuf", "-oL", "mosquitto_sub", *to, "-i", f"at-{address}", "-d", "-W", "20", "-t", "t", "-q", "2", "-C", "1"])
    listener.wait_for("Subscribed (mid")
    run(["mosquitto_pub", *to, "-t", "t", "-q", "2", "-m", "through nginx"])
    listener.wait_for("through nginx")
    listener.ended()


@case(each=VERSIONS)
def proxy_protocol(broker, version):
    with OwnBroker(PROXIED) as broker:
        with OwnNginx(1, stream=proxied(f"127.0.0.1:{broker.ports['tcp']}")) as nginx:
            peer = Distant(nginx.ports[0], version, "tcp", "127.0.0.2").online()
            round_trip(peer)
            expect_seen(broker, "127.0.0.2")
            peer.disconnect()
            mosquitto_from("127.0.0.5", nginx.ports[0])
            expect_seen(broker, "127.0.0.5")


@case
def proxy_protocol_behind_tls(broker):
    authority("ca")
    certificate("front", "ca", "serverAuth")
    files = f" ssl;\n        ssl_certificate {os.getcwd()}/front.crt;\n        ssl_certificate_key {os.getcwd()}/front.key;"
    with OwnBroker(PROXIED) as broker:
        with OwnNginx(1, stream=proxied(f"127.0.0.1:{broker.ports['tcp']}", files)) as nginx:
            mosquitto_from("127.0.0.6", nginx.ports[0], "--cafile", "ca.crt")
            expect_seen(broker, "127.0.0.6")


@case
def proxy_protocol_over_a_unix_socket(broker):
    path = f"{os.getcwd()}/broker.sock"
    listener = f'[[listener]]\nurl = "unix://{path}"\nunix_mode = "666"\nallow_anonymous = true\nproxy_from = ["127.0.0.1"]\n'
    # A second listener, since the case waits for a port.
    with OwnBroker(listener + '[[listener]]\nurl = "tcp://127.0.0.1:0"\n') as broker:
        with OwnNginx(1, stream=proxied(f"unix:{path}")) as nginx:
            mosquitto_from("127.0.0.7", nginx.ports[0])
            expect_seen(broker, "127.0.0.7")


if __name__ == "__main__":
    main()
