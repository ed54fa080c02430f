"""Cases for encrypted listeners: mosquitto's programs, paho-mqtt and MQTT.js over mqtts:// and wss://.

The certificates are made for each case with the openssl command line and are gone with it.
"""

import os
import pathlib
import shutil
import ssl
import subprocess
from contextlib import contextmanager

from cases import Skip, case, expect, main
from own_broker import OwnBroker, martlet
from paho_python import V5, V311, Peer
from programs import Program, run

VERSIONS = {"v311": "311", "v5": "5"}
PAHO = {
    f"{name}_{scheme}": (version, transport)
    for name, version in {"v311": V311, "v5": V5}.items()
    for scheme, transport in {"mqtts": "tcp", "wss": "websockets"}.items()
}
MQTT_JS = {f"{name}_{scheme}": (number, scheme) for name, number in {"v311": 4, "v5": 5}.items() for scheme in ("mqtts", "wss")}

# Both ways over one connection, and the same program for each version and scheme.
JS = """
const [url, version, ca, show] = process.argv.slice(1)
const options = { protocolVersion: Number(version), reconnectPeriod: 0, connectTimeout: 8000 }
const read = (name) => require('fs').readFileSync(name)
if (ca) options.ca = read(ca)
if (show) [options.cert, options.key] = [read(`${show}.crt`), read(`${show}.key`)]
const client = require('mqtt').connect(url, options)
const end = (code, text) => { console.log(text); process.exit(code) }
client.on('error', (error) => end(3, `error: ${error.code} ${error.message}`))
client.on('close', () => end(4, 'closed'))
client.on('message', (topic, payload) => end(0, `got ${topic} ${payload}`))
client.on('connect', async () => {
  await client.subscribeAsync('js/t', { qos: 2 })
  await client.publishAsync('js/t', 'sealed', { qos: 2 })
})
"""


def openssl(*words):
    run(["openssl", *words])


def authority(name):
    """A new authority: NAME.crt and NAME.key."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")  # fmt: skip


def certificate(name, by, usage, hosts="IP:127.0.0.1,DNS:localhost"):
    """A certificate, for this machine or another, that an authority signs: NAME.crt and NAME.key."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
    extensions = pathlib.Path(f"{name}.ext")
    extensions.write_text(
        f"basicConstraints=CA:FALSE\nsubjectAltName={hosts}\nextendedKeyUsage={usage}\n"
    )
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.crt", "-CAkey", f"{by}.key", "-CAcreateserial",
            "-days", "2", "-extfile", str(extensions), "-out", f"{name}.crt")  # fmt: skip


@contextmanager
def encrypted(more="", before="", anonymous=True):
    """A broker with both encrypted listeners, each with further lines, and lines before them."""
    authority("ca")
    certificate("broker", "ca", "serverAuth")
    files = f'certificates = ["{os.getcwd()}/broker.crt"]\nkeys = ["{os.getcwd()}/broker.key"]\n'
    urls = ("mqtts://127.0.0.1:0", "wss://127.0.0.1:0/mqtt")
    allowed = f"allow_anonymous = {'true' if anonymous else 'false'}\n"
    config = "".join(f'[[listener]]\nurl = "{url}"\n{allowed}{files}{more}\n' for url in urls)
    with OwnBroker(before + config) as broker:
        yield broker


def address(broker, version, ca="ca"):
    need("mosquitto_pub", "mosquitto-clients")
    return ["-h", "127.0.0.1", "-p", str(broker.ports["mqtts"]), "-V", version, "--cafile", f"{ca}.crt"]


def need(program, package):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed (package {package})")


def mosquitto_round_trip(to):
    """A message through both programs, given their address."""
    listener = Program(["stdbuf", "-oL", "mosquitto_sub", *to, "-d", "-W", "20", "-t", "seal/#", "-q", "2", "-C", "1"])
    listener.wait_for("Subscribed (mid")
    run(["mosquitto_pub", *to, "-t", "seal/a", "-q", "2", "-m", "sealed"])
    listener.wait_for("sealed")
    listener.ended()


def refused(words):
    """What a program says that has to end with an error."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=20)
    expect(ended.returncode != 0, True, f"{words[0]} is refused")
    print(ended.stderr)
    return ended.stderr + ended.stdout


@case(each=VERSIONS)
def mosquitto(broker, version):
    with encrypted() as broker:
        mosquitto_round_trip(address(broker, version))


@case(each=VERSIONS)
def mosquitto_large(broker, version):
    """A payload of many TLS records arrives whole."""
    with encrypted() as broker:
        pathlib.Path("large").write_bytes(bytes(1_000_000))
        to = address(broker, version)
        run(["mosquitto_pub", *to, "-t", "large", "-q", "1", "-r", "-f", "large"])
        seen = run(["mosquitto_sub", *to, "-t", "large", "-q", "1", "-C", "1", "-F", "%l", "-W", "20"])
        expect(seen.strip(), "1000000", "the length of what arrives")


@case(each=VERSIONS)
def mosquitto_wrong_authority(broker, version):
    """The program refuses a broker that an authority it does not know has signed, and the broker goes on."""
    with encrypted() as broker:
        authority("other")
        words = ["mosquitto_pub", *address(broker, version, "other"), "-t", "t", "-m", "x"]
        expect("TLS error" in (said := refused(words)) or "certificate" in said, True, f"the reason: {said}")
        mosquitto_round_trip(address(broker, version))


@case(each=VERSIONS)
def mosquitto_client_certificate(broker, version):
    """With a certificate of the authority the programs get in; without, or with one of another authority, they do not."""
    authority("devices")
    authority("strangers")
    certificate("device", "devices", "clientAuth")
    certificate("stranger", "strangers", "clientAuth")
    more = f'client_certificates = "required"\nclient_ca_file = "{os.getcwd()}/devices.crt"\n'
    with encrypted(more) as broker:
        to = address(broker, version)
        mosquitto_round_trip([*to, "--cert", "device.crt", "--key", "device.key"])
        publish = ["mosquitto_pub", *to, "-q", "1", "-t", "t", "-m", "x"]
        refused(publish)
        refused([*publish, "--cert", "stranger.crt", "--key", "stranger.key"])


@case(each=VERSIONS)
def mosquitto_name_from_certificate(broker, version):
    """The common name of the certificate is the user that a rule speaks of."""
    authority("devices")
    certificate("device", "devices", "clientAuth")
    certificate("gadget", "devices", "clientAuth")
    more = (
        f'client_certificates = "required"\nclient_ca_file = "{os.getcwd()}/devices.crt"\nusername_from = "cn"\n'
        '[access]\nrules = ["allow user=device all seal/#"]\n'
    )
    authority("ca")
    certificate("broker", "ca", "serverAuth")
    files = f'certificates = ["{os.getcwd()}/broker.crt"]\nkeys = ["{os.getcwd()}/broker.key"]\n'
    with OwnBroker(f'[[listener]]\nurl = "mqtts://127.0.0.1:0"\n{files}{more}') as broker:
        to = address(broker, version)
        mosquitto_round_trip([*to, "--cert", "device.crt", "--key", "device.key"])
        gadget = [*to, "--cert", "gadget.crt", "--key", "gadget.key"]
        words = ["mosquitto_sub", *gadget, "-t", "seal/#", "-W", "20"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=30).stderr
        # The program says so but ends with exit code 0.
        expect("denied" in said, True, f"the other device may not subscribe: {said}")


class SealedPeer(Peer):
    """paho-mqtt over TLS."""

    def __init__(self, broker, version, transport, ca="ca.crt", show=None):
        super().__init__(broker, version, transport=transport)
        files = {} if show is None else {"certfile": f"{show}.crt", "keyfile": f"{show}.key"}
        self.client.tls_set(ca_certs=ca, **files)

    def is_shut_out(self):
        """Whether the broker ends the connection without a CONNACK."""
        port = self.broker.port if self.transport == "tcp" else self.broker.ws_port
        try:
            self.client.connect(self.broker.host, port, 30)
            self.client.loop_start()
            self.disconnects.get(timeout=10)
        except OSError:
            pass
        return self.connacks.empty()


class Where:
    """The encrypted addresses, named as a peer reads them."""

    host, ws_path = "127.0.0.1", "/mqtt"

    def __init__(self, broker):
        self.port, self.ws_port = broker.ports["mqtts"], broker.ports["wss"]


@case(each=PAHO)
def paho(broker, variant):
    version, transport = variant
    with encrypted() as broker:
        peer = SealedPeer(Where(broker), version, transport).online()
        peer.subscribe("paho/#", 2)
        for qos in range(3):
            peer.client.publish(f"paho/{qos}", b"sealed", qos)
            message = peer.messages.get(timeout=10)
            expect((message.topic, message.qos, message.payload), (f"paho/{qos}", qos, b"sealed"), "the message")
        peer.client.disconnect()


@case(each=PAHO)
def paho_wrong_authority(broker, variant):
    version, transport = variant
    with encrypted() as broker:
        authority("other")
        try:
            SealedPeer(Where(broker), version, transport, "other.crt").connect()
        except ssl.SSLCertVerificationError:
            return
        raise AssertionError("a broker of an unknown authority is taken")


def add_user(name):
    """A user whose password is the name."""
    run([martlet(), "passwd", *([] if os.path.exists("users") else ["--create"]), "--batch", "users", name, name])


def logs_in(broker, name):
    words = ["mosquitto_pub", *address(broker, "5"), "-u", name, "-P", name, "-t", "t", "-n", "-q", "1"]
    return subprocess.run(words, capture_output=True, timeout=20).returncode == 0


def shown(broker):
    """The certificate that a client gets now."""
    return ssl.get_server_certificate(("127.0.0.1", broker.ports["mqtts"])).split()


SPOILT = {
    "certificate": lambda: pathlib.Path("broker.crt").write_text("no certificate\n"),
    "key": lambda: pathlib.Path("broker.key").write_text(pathlib.Path("ca.key").read_text()),
    "missing": lambda: pathlib.Path("broker.crt").unlink(),
}


@case(each=SPOILT)
def a_reload_with_a_broken_certificate_changes_nothing(_, spoil):
    """Neither the certificate nor the users, until all files are in order."""
    need("mosquitto_pub", "mosquitto-clients")
    add_user("anna")
    before = f'[tls]\ncheck_interval_ms = 0\n[access]\npassword_files = ["{os.getcwd()}/users"]\n'
    with encrypted(before=before, anonymous=False) as broker:
        first = shown(broker)
        add_user("otto")
        spoil()
        broker.reload(good=False)
        expect([logs_in(broker, name) for name in ("anna", "otto")], [True, False], "the users are the old ones")
        expect(shown(broker), first, "the certificate is the old one")
        certificate("broker", "ca", "serverAuth")
        broker.reload()
        expect([logs_in(broker, name) for name in ("anna", "otto")], [True, True], "the users are the new ones")
        expect(shown(broker) != first, True, "the certificate is the new one")


@contextmanager
def mutual():
    """A broker with both encrypted listeners for clients that have a certificate, and those of two clients."""
    for name, signer in {"device": "devices", "stranger": "strangers"}.items():
        authority(signer)
        certificate(name, signer, "clientAuth")
    more = f'client_certificates = "required"\nclient_ca_file = "{os.getcwd()}/devices.crt"\nusername_from = "cn"\n'
    with encrypted(more) as broker:
        yield broker


@case(each=PAHO)
def paho_client_certificate(broker, variant):
    version, transport = variant
    with mutual() as broker:
        peer = SealedPeer(Where(broker), version, transport, show="device").online()
        peer.subscribe("paho/#", 2)
        peer.client.publish("paho/t", b"sealed", 2)
        expect(peer.messages.get(timeout=10).payload, b"sealed", "the message")
        for show in ("stranger", None):
            stranger = SealedPeer(Where(broker), version, transport, show=show)
            expect(stranger.is_shut_out(), True, f"who shows {show} is refused")
            stranger.client.loop_stop()
        peer.client.publish("paho/t", b"still there", 1)
        expect(peer.messages.get(timeout=10).payload, b"still there", "the message afterwards")
        peer.client.disconnect()


def mqtt_js_run(broker, variant, ca, show=""):
    number, scheme = variant
    need("node", "nodejs")
    if not pathlib.Path(os.environ.get("NODE_PATH", "/nowhere"), "mqtt").is_dir():
        raise Skip("the package mqtt of npm is not installed")
    url = f"{scheme}://127.0.0.1:{broker.ports[scheme]}" + ("/mqtt" if scheme == "wss" else "")
    return subprocess.run(["node", "-e", JS, url, str(number), ca, show], capture_output=True, text=True, timeout=30)


@case(each=MQTT_JS)
def mqtt_js(broker, variant):
    with encrypted() as broker:
        ended = mqtt_js_run(broker, variant, "ca.crt")
        expect((ended.stdout.strip(), ended.returncode), ("got js/t sealed", 0), f"what it prints {ended.stderr}")


@case(each=MQTT_JS)
def mqtt_js_wrong_authority(broker, variant):
    with encrypted() as broker:
        authority("other")
        ended = mqtt_js_run(broker, variant, "other.crt")
        expect(ended.returncode, 3, f"it ends with an error: {ended.stdout}")
        expect("certificate" in ended.stdout.lower(), True, f"the reason: {ended.stdout}")


@case(each=MQTT_JS)
def mqtt_js_client_certificate(broker, variant):
    with mutual() as broker:
        ended = mqtt_js_run(broker, variant, "ca.crt", "device")
        expect((ended.stdout.strip(), ended.returncode), ("got js/t sealed", 0), f"what it prints {ended.stderr}")
        for show in ("stranger", ""):
            ended = mqtt_js_run(broker, variant, "ca.crt", show)
            expect(ended.returncode in (3, 4), True, f"who shows {show!r} is refused: {ended.stdout}")


if __name__ == "__main__":
    main()
