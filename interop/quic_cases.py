"""Cases for QUIC listeners: paho-mqtt through aioquic and MQTT.js through quiche, two QUIC stacks of their own, with one
stream for each connection.

aioquic knows nothing of MQTT and paho-mqtt nothing of QUIC: a bridge on the loopback brings the bytes of one to the other.
MQTT.js takes any stream.
"""

import asyncio
import os
import pathlib
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated

from cases import PATIENCE_S, Skip, case, expect, main
from own_broker import OwnBroker
from paho_python import V5, V311, Peer
from tls_cases import authority, certificate

VERSIONS = {"v311": V311, "v5": V5}
# RFC 9000 section 20.1 and RFC 9001 section 4.8.
STREAM_LIMIT_ERROR = 0x4
NO_APPLICATION_PROTOCOL = 0x100 + 120


@contextmanager
def quic_broker(more=""):
    authority("ca")
    certificate("broker", "ca", "serverAuth")
    files = f'certificates = ["{os.getcwd()}/broker.crt"]\nkeys = ["{os.getcwd()}/broker.key"]\n'
    config = f'[[listener]]\nurl = "quic://127.0.0.1:0"\nallow_anonymous = true\n{files}{more}\n'
    with OwnBroker(config) as broker:
        yield broker


def configuration(ca="ca", protocol="mqtt", show=None):
    options = QuicConfiguration(is_client=True, alpn_protocols=[protocol], server_name="localhost")
    options.load_verify_locations(f"{ca}.crt")
    if show is not None:
        options.load_cert_chain(f"{show}.crt", f"{show}.key")
    return options


class Watched(QuicConnectionProtocol):
    """A connection that remembers why it ended."""

    ended = None

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.ended = event
        super().quic_event_received(event)


def dial(broker, options):
    return connect("127.0.0.1", broker.ports["quic"], configuration=options, create_protocol=Watched)


class Bridge:
    """A TCP port of the loopback; each connection to it becomes one over QUIC."""

    host = "127.0.0.1"

    def __init__(self, broker, options):
        self.broker, self.options = broker, options

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self._run(asyncio.start_server(self._serve, self.host, 0))
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.server.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    async def _serve(self, reader, writer):
        async with dial(self.broker, self.options) as connection:
            from_broker, to_broker = await connection.create_stream()
            await asyncio.gather(copy(reader, to_broker), copy(from_broker, writer), return_exceptions=True)


async def copy(source, sink):
    while data := await source.read(1 << 16):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


def round_trip(bridge, version, payload=b"sealed"):
    peer = Peer(bridge, version).online()
    peer.subscribe("quic/#", 2)
    for qos in range(3):
        peer.client.publish(f"quic/{qos}", payload, qos)
        message = peer.messages.get(timeout=PATIENCE_S)
        expect((message.topic, message.qos), (f"quic/{qos}", qos), "the message")
        expect(message.payload == payload, True, "the payload arrives whole")
    peer.client.disconnect()


def refusal(broker, options):
    """Why a connection ended that does not come about, or that is closed before it is used."""

    async def attempt():
        try:
            async with dial(broker, options) as connection:
                _, to_broker = await connection.create_stream()
                # TLS 1.3 lets a client send before it was judged.
                to_broker.write(b"\x10")
                await asyncio.wait_for(connection.wait_closed(), PATIENCE_S)
                return connection.ended.error_code
        except ConnectionError:
            return None

    return asyncio.run(attempt())


@case(each=VERSIONS)
def paho(broker, version):
    with quic_broker() as broker, Bridge(broker, configuration()) as bridge:
        round_trip(bridge, version)


@case(each=VERSIONS)
def paho_large(broker, version):
    """A payload that is larger than any window arrives whole, in both directions."""
    with quic_broker() as broker, Bridge(broker, configuration()) as bridge:
        round_trip(bridge, version, os.urandom(1_000_000))


@case
def validated_address(broker):
    """A client that is asked whether it can be reached answers, and gets in."""
    with quic_broker('quic_address_validation = "always"\n') as broker:
        with Bridge(broker, configuration()) as bridge:
            round_trip(bridge, V5)


@case
def client_certificate(broker):
    """The common name of a certificate is the user that a rule speaks of; nobody gets in without one."""
    authority("devices")
    authority("strangers")
    certificate("device", "devices", "clientAuth")
    certificate("stranger", "strangers", "clientAuth")
    more = (
        f'client_certificates = "required"\nclient_ca_file = "{os.getcwd()}/devices.crt"\nusername_from = "cn"\n'
        '[access]\nrules = ["allow user=device all quic/#"]\n'
    )
    with quic_broker(more) as broker:
        with Bridge(broker, configuration(show="device")) as bridge:
            round_trip(bridge, V5)
        certificate_required, unknown_ca = 0x100 + 116, 0x100 + 48
        expect(refusal(broker, configuration()), certificate_required, "the alert without a certificate")
        expect(refusal(broker, configuration(show="stranger")), unknown_ca, "the alert for a stranger")


@case
def wrong_authority(broker):
    """aioquic refuses a broker of an authority that it does not know, and the broker goes on."""
    with quic_broker() as broker:
        authority("other")
        expect(refusal(broker, configuration(ca="other")), None, "no connection")
        with Bridge(broker, configuration()) as bridge:
            round_trip(bridge, V5)


@case
def another_protocol(broker):
    with quic_broker() as broker:

        async def attempt():
            connection = None
            try:
                async with dial(broker, configuration(protocol="h3")) as connection:
                    return "a connection"
            except ConnectionError:
                return "refused"

        expect(asyncio.run(attempt()), "refused", "a client that speaks HTTP/3")
        with Bridge(broker, configuration()) as bridge:
            round_trip(bridge, V311)


@case
def second_stream(broker):
    """A client that opens a second stream, which it was not allowed, loses its connection; others go on."""
    with quic_broker() as broker, Bridge(broker, configuration()) as bridge:
        other = Peer(bridge, V5).online()

        async def attempt():
            async with dial(broker, configuration()) as connection:
                _, first = await connection.create_stream()
                first.write(b"\x10")
                # A stack that counts wrongly.
                connection._quic._remote_max_streams_bidi = 100
                _, second = await connection.create_stream()
                second.write(b"\x10")
                await asyncio.wait_for(connection.wait_closed(), PATIENCE_S)
                return connection.ended.error_code

        expect(asyncio.run(attempt()), STREAM_LIMIT_ERROR, "the code of the end")
        other.subscribe("$SYS/broker/connections/refused/quic/#", 0)
        message = other.messages.get(timeout=PATIENCE_S)
        expect((message.topic.rsplit("/", 1)[1], message.payload), ("quic_violation", b"1"), "what is counted")
        other.client.disconnect()


def quiche(broker, version, *files):
    """What MQTT.js says, and whether it got through."""
    if shutil.which("node") is None:
        raise Skip("node is not installed (package nodejs)")
    if not pathlib.Path(os.environ.get("NODE_PATH", "/nowhere"), "@matrixai/quic").is_dir():
        raise Skip("the packages of package.json are not installed")
    script = pathlib.Path(__file__).with_name("quic.cjs")
    words = ["node", str(script), str(broker.ports["quic"]), str(version), *files]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=55)
    print(ended.stdout, ended.stderr)
    return ended.stdout.strip().splitlines()[-1], ended.returncode


@case(each={"v311": 4, "v5": 5})
def mqtt_js(broker, version):
    with quic_broker() as broker:
        expect(quiche(broker, version, "ca.crt"), ("15 messages came back whole", 0), "what it says")


@case
def mqtt_js_validated_address(broker):
    with quic_broker('quic_address_validation = "always"\n') as broker:
        expect(quiche(broker, 5, "ca.crt"), ("15 messages came back whole", 0), "what it says")


@case
def mqtt_js_client_certificate(broker):
    authority("devices")
    authority("strangers")
    certificate("device", "devices", "clientAuth")
    certificate("stranger", "strangers", "clientAuth")
    more = f'client_certificates = "required"\nclient_ca_file = "{os.getcwd()}/devices.crt"\n'
    with quic_broker(more) as broker:
        for show in ([], ["stranger.crt", "stranger.key"]):
            expect(quiche(broker, 5, "ca.crt", *show)[1], 3, "who is unknown is refused")
        said = quiche(broker, 5, "ca.crt", "device.crt", "device.key")
        expect(said, ("15 messages came back whole", 0), "what it says")


@case
def mqtt_js_wrong_authority(broker):
    with quic_broker() as broker:
        authority("other")
        expect(quiche(broker, 5, "other.crt")[1], 3, "a broker of an unknown authority is not taken")
        expect(quiche(broker, 5, "ca.crt")[1], 0, "and goes on")


if __name__ == "__main__":
    main()
