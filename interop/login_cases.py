"""Cases for logins that others decide on: tokens made with the package PyJWT, and a service on Python's own HTTP server."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import pathlib
import shutil
import ssl
import threading
import time
import types

import jwt
import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from cases import PATIENCE_S, case, expect, main
from own_broker import OwnBroker
from paho_python import Peer

V5 = mqtt.MQTTv5
VERSIONS = {"v31": mqtt.MQTTv31, "v311": mqtt.MQTTv311, "v5": V5}
SECRET = "a secret of at least thirty-two bytes, as it has to be"
MAKES = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS512": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
SUCCESS, BAD_LOGIN, NOT_AUTHORIZED, UNAVAILABLE = 0, 0x86, 0x87, 0x88


def claims(**more):
    return {"sub": "anna", "exp": int(time.time()) + 60, **more}


def signed(**more):
    return jwt.encode(claims(**more), SECRET, "HS256")


def here(name, text):
    """A file in the folder of this case."""
    path = pathlib.Path.cwd() / name
    path.write_text(text)
    return path


def broker_with(section):
    return OwnBroker(f'{section}\n[[listener]]\nurl = "tcp://127.0.0.1:0"\n')


def secret_broker(more=""):
    return broker_with(f'[jwt]\nsecret_file = "{here("secret", SECRET)}"\n{more}')


def client(broker, version, password, username="anna", client_id="c1"):
    """A client that shows a name and a password, not connected yet."""
    peer = Peer(types.SimpleNamespace(host="127.0.0.1", port=broker.ports["tcp"]), version, client_id)
    peer.client.username_pw_set(username, password)
    return peer


def answer(*login, **more):
    """The reason of the CONNACK, in the numbers of MQTT 5."""
    peer = client(*login, **more)
    _, reason, _ = peer.connect()
    if reason.value == SUCCESS:
        peer.disconnect()
    else:
        peer.client.loop_stop()
    return reason.value


@case(each=VERSIONS)
def token(broker, version):
    """Good tokens admit; wrong secrets, ends, names and algorithms do not."""
    with secret_broker('issuers = ["me"]') as broker:
        expect(answer(broker, version, signed(iss="me")), SUCCESS, "a good token")
        for password, reason, what in (
            (jwt.encode(claims(iss="me"), SECRET + "x", "HS256"), BAD_LOGIN, "another secret"),
            (jwt.encode(claims(iss="me"), None, "none"), BAD_LOGIN, "no signature"),
            (signed(iss="me")[:-2], BAD_LOGIN, "a cut signature"),
            (signed(iss="me", exp=int(time.time()) - 60), NOT_AUTHORIZED, "an old token"),
            (signed(iss="me", nbf=int(time.time()) + 60), NOT_AUTHORIZED, "a token of tomorrow"),
            (signed(iss="you"), NOT_AUTHORIZED, "another issuer"),
            (signed(iss="me", sub="otto"), NOT_AUTHORIZED, "another name"),
            ("tulip", BAD_LOGIN, "a password"),
        ):
            expect(answer(broker, version, password), reason, what)


@case(each={name.lower(): name for name in MAKES})
def public_key(broker, algorithm):
    """The broker has only the public key, which is no secret for HS256."""
    key = MAKES[algorithm]()
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    with broker_with(f'[jwt]\npublic_key_files = ["{here("public.pem", pem)}"]') as broker:
        expect(answer(broker, V5, jwt.encode(claims(), key, algorithm)), SUCCESS, "a good token")
        other = jwt.encode(claims(), MAKES[algorithm](), algorithm)
        expect(answer(broker, V5, other), BAD_LOGIN, "another key")
        # PyJWT itself refuses to take a PEM text for a secret.
        header, _ = jwt.encode(claims(), "x" * 32, "HS256").rsplit(".", 1)
        forged = hmac.new(pem.encode(), header.encode(), hashlib.sha256).digest()
        forged = header + "." + base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
        expect(answer(broker, V5, forged), BAD_LOGIN, "the public key taken for a secret")


@case(each=VERSIONS)
def token_rules(broker, version):
    """What the token does not allow is denied."""
    acl = [
        {"permission": "allow", "action": "publish", "topic": "own/${clientid}"},
        {"permission": "allow", "action": "subscribe", "topic": "own/+"},
    ]
    with secret_broker() as broker:
        peer = client(broker, version, signed(acl=acl)).online()
        expect(peer.subscribe("own/+", 1), [1], "an allowed subscription")
        denied = NOT_AUTHORIZED if version == V5 else 0x80
        if version != mqtt.MQTTv31:
            expect(peer.subscribe("#", 1), [denied], "a forbidden subscription")
        peer.publish("own/c2", b"no", 1)
        peer.publish("elsewhere", b"no", 1)
        peer.publish("own/c1", b"yes", 1)
        expect(peer.message().payload, b"yes", "what arrives")
        peer.disconnect()


@case(each=VERSIONS)
def token_end(broker, version):
    """The client is disconnected when its token ends, and told so where that is possible."""
    with secret_broker("leeway_ms = 0") as broker:
        peer = client(broker, version, signed(exp=int(time.time()) + 2)).online()
        reason = peer.disconnects.get(timeout=PATIENCE_S)
        if version == V5:
            expect(reason.value, NOT_AUTHORIZED, "the reason")
        peer.client.loop_stop()


class Service:
    """An HTTP server that answers what it is told to, and keeps what it is asked."""

    def __init__(self):
        service = self
        self.asked, self.answers = [], {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                service.asked.append((self.path, self.headers, body))
                self.reply(service.decide(body))

            def do_GET(self):
                service.asked.append((self.path, self.headers, b""))
                self.reply(service.decide(b""))

            def reply(self, decided):
                status, body = decided
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def decide(self, body):
        raise NotImplementedError

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.server.shutdown()
            self.server.server_close()


class Users(Service):
    """Knows anna with the password tulip, and is confused by otto."""

    def decide(self, body):
        asked = json.loads(body)
        if asked.get("username") == "otto":
            return 500, b"confused"
        right = (asked.get("username"), asked.get("password")) == ("anna", "tulip")
        rules = [{"permission": "allow", "action": "all", "topic": "own/#"}]
        decided = {"result": "allow", "acl": rules} if right else {"result": "deny"}
        return 200, json.dumps(decided).encode()


@case(each=VERSIONS)
def service(broker, version):
    """The service decides; where it cannot, nobody comes in."""
    with Users() as users, broker_with(f'[http_login]\nurl = "{users.url}/mqtt"\nheaders = ["X-Key: k"]') as broker:
        peer = client(broker, version, "tulip").online()
        peer.subscribe("own/#", 1)
        peer.publish("elsewhere", b"no", 1)
        peer.publish("own/a", b"yes", 1)
        expect(peer.message().payload, b"yes", "what arrives")
        peer.disconnect()
        expect(answer(broker, version, "crocus"), BAD_LOGIN, "a wrong password")
        expect(answer(broker, version, "tulip", "otto"), UNAVAILABLE, "a confused service")
        path, headers, body = users.asked[0]
        expect((path, headers["x-key"]), ("/mqtt", "k"), "where the question goes")
        asked = json.loads(body)
        expect((asked["clientid"], asked["address"]), ("c1", "127.0.0.1"), "what is asked")


@case(each=VERSIONS)
def service_gone(broker, version):
    """Without its service the broker admits nobody, and goes on."""
    with Users() as users:
        pass
    with broker_with(f'[http_login]\nurl = "{users.url}/mqtt"') as broker:
        for _ in range(3):
            expect(answer(broker, version, "tulip"), UNAVAILABLE, "the answer")


def authority():
    """An authority that is its own server certificate, and its key, both in one PEM file."""
    key = MAKES["ES256"]()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    certificate = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return here("service.pem", (certificate + private).decode()), here("authority.pem", certificate.decode())


@case
def service_over_tls(broker):
    """The service's certificate is checked: without its authority nobody comes in."""
    pair, trusted = authority()
    with Users() as users:
        wrapped = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapped.load_cert_chain(pair)
        users.server.socket = wrapped.wrap_socket(users.server.socket, server_side=True)
        url = users.url.replace("http:", "https:")
        for more, reason in ((f'ca_file = "{trusted}"', SUCCESS), ("", UNAVAILABLE)):
            with broker_with(f'[http_login]\nurl = "{url}/mqtt"\n{more}') as own:
                expect(answer(own, V5, "tulip"), reason, more)
            shutil.rmtree(own.folder)


class Keys(Service):
    """Publishes the public halves of some keys."""

    def __init__(self):
        super().__init__()
        self.keys = {}

    def decide(self, body):
        keys = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
        return 200, json.dumps({"keys": keys}).encode()


@case
def published_keys(broker):
    """Keys are fetched, and new ones when a token names them."""
    with Keys() as keys, broker_with(f'[jwt]\njwks_url = "{keys.url}/keys"\njwks_pause_ms = 1') as broker:
        keys.keys["one"] = MAKES["RS256"]()
        later = MAKES["RS256"]()

        def named(name, key):
            return jwt.encode(claims(), key, "RS256", headers={"kid": name})

        expect(answer(broker, V5, named("one", keys.keys["one"])), SUCCESS, "the first key")
        expect(answer(broker, V5, named("two", later)), BAD_LOGIN, "a key that is not published")
        keys.keys["two"] = later
        expect(answer(broker, V5, named("two", later)), SUCCESS, "a key that is published meanwhile")
        expect(answer(broker, V5, named("one", later)), BAD_LOGIN, "a key under another name")


if __name__ == "__main__":
    main()
