"""Cases for users and access rules: mosquitto's programs with its own files, and SCRAM with the package scramp."""

import pathlib
import shutil
import socket
import subprocess

from scramp import ScramClient

from cases import PATIENCE_S, Skip, case, expect, main
from own_broker import OwnBroker, martlet
from programs import Program, run

VERSIONS = {"v31": "31", "v311": "311", "v5": "5"}
LATER_VERSIONS = {"v311": "311", "v5": "5"}
MAKERS = {
    f"{maker}_{name}": (maker, version) for maker in ("martlet", "mosquitto") for name, version in LATER_VERSIONS.items()
}
MECHANISMS = {"sha256": "SCRAM-SHA-256", "sha512": "SCRAM-SHA-512"}

# As mosquitto's manual describes it.
ACL = """\
# anna works the greenhouse, otto looks on
user anna
topic readwrite greenhouse/#
topic deny greenhouse/locked

user otto
topic read greenhouse/#

pattern readwrite own/%u/#
"""


def password_file(maker):
    """The users anna and otto in a file that one of the two programs writes."""
    if maker == "martlet":
        run([martlet(), "passwd", "--create", "--stdin", "users.txt", "anna"], "tulip\n")
        run([martlet(), "passwd", "--batch", "users.txt", "otto", "crocus"])
        return
    need("mosquitto_passwd", "mosquitto")
    run(["mosquitto_passwd", "-c", "-b", "users.txt", "anna", "tulip"])
    run(["mosquitto_passwd", "-b", "users.txt", "otto", "crocus"])


def guarded(maker="martlet"):
    password_file(maker)
    folder = pathlib.Path.cwd()
    (folder / "mosquitto.acl").write_text(ACL)
    return OwnBroker(
        f'[access]\npassword_files = ["{folder}/users.txt"]\nmosquitto_acl_files = ["{folder}/mosquitto.acl"]\n'
        '[[listener]]\nurl = "tcp://127.0.0.1:0"\n'
    )


def need(program, package):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed (package {package})")


def address(broker, version, *login):
    need("mosquitto_pub", "mosquitto-clients")
    user = [word for option, value in zip(("-u", "-P"), login) for word in (option, value)]
    return ["-h", "127.0.0.1", "-p", str(broker.ports["tcp"]), "-V", version, *user]


ANNA, OTTO = ("anna", "tulip"), ("otto", "crocus")


def watch(broker, version, login, topic, count):
    """A subscriber whose subscription is acknowledged."""
    words = ["-d", "-W", "20", "-t", topic, "-q", "1", "-F", "got %t %p", "-C", str(count)]
    program = Program(["stdbuf", "-oL", "mosquitto_sub", *address(broker, version, *login), *words])
    program.wait_for("Subscribed (mid")
    return program


def publish(broker, version, login, topic, text, *more):
    return subprocess.run(
        ["mosquitto_pub", *address(broker, version, *login), "-t", topic, "-m", text, "-q", "1", *more],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip


def refused(ended, part):
    """A program ended with an error and said why."""
    expect(ended.returncode != 0, True, "it ends with an error")
    expect(part in (ended.stderr + ended.stdout).lower(), True, f"it says `{part}`: {ended.stderr}{ended.stdout}")


@case(each=MAKERS)
def logins(broker, variant):
    """The right password, a wrong one, none at all, a user who does not exist, and nobody."""
    maker, version = variant
    with guarded(maker) as broker:
        for login in (ANNA, OTTO):
            expect(publish(broker, version, login, f"own/{login[0]}/t", "x").returncode, 0, f"{login[0]} gets in")
        why = "not authorised" if version == "311" else "not authorized"
        bad = "bad user name or password" if version == "5" else "refused"
        refused(publish(broker, version, ("anna", "crocus"), "t", "x"), bad)
        refused(publish(broker, version, ("anna",), "t", "x"), bad)
        refused(publish(broker, version, ("nobody", "tulip"), "t", "x"), bad)
        refused(publish(broker, version, (), "t", "x"), why)


@case(each=VERSIONS)
def allowed_and_forbidden_publish(broker, version):
    """What no rule allows is published by nobody: MQTT 5 says so, older versions are acknowledged."""
    with guarded() as broker:
        observer = watch(broker, version, OTTO, "greenhouse/#", 2)
        publish(broker, version, OTTO, "greenhouse/otto", "no")
        publish(broker, version, ANNA, "greenhouse/locked", "no")
        publish(broker, version, ANNA, "greenhouse/a", "1")
        denied = publish(broker, version, ANNA, "own/otto/t", "no")
        if version == "5":
            expect("not authorized" in denied.stderr.lower(), True, f"what is said: {denied.stderr}")
        publish(broker, version, ANNA, "greenhouse/b", "2")
        seen = observer.lines(2, lambda line: line.startswith("got "))
        expect(seen, ["got greenhouse/a 1", "got greenhouse/b 2"], "what arrives")
        observer.ended()


@case(each=LATER_VERSIONS)
def forbidden_subscription(broker, version):
    with guarded() as broker:
        words = ["mosquitto_sub", *address(broker, version, *OTTO), "-W", "20", "-t", "own/anna/#"]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=30)
        # The program says so but ends with exit code 0.
        expect("denied" in ended.stderr, True, f"it says that it was denied: {ended.stderr}")
        own = watch(broker, version, OTTO, "own/otto/#", 1)
        publish(broker, version, OTTO, "own/otto/a", "mine")
        expect(own.lines(1, lambda line: line.startswith("got ")), ["got own/otto/a mine"], "what arrives")
        own.ended()


@case(each=VERSIONS)
def forbidden_will(broker, version):
    """A will that its owner may not publish keeps the client out; an allowed one is sent."""
    with guarded() as broker:
        will = ["--will-payload", "gone", "--will-qos", "1", "--will-topic"]
        refused(publish(broker, version, OTTO, "own/otto/t", "x", *will, "greenhouse/will"), "not authori")
        observer = watch(broker, version, ANNA, "greenhouse/will", 1)
        mortal_words = ["-d", "-W", "20", "-t", "own/anna/t", *will, "greenhouse/will"]
        mortal = Program(["stdbuf", "-oL", "mosquitto_sub", *address(broker, version, *ANNA), *mortal_words])
        mortal.wait_for("Subscribed (mid")
        mortal.kill()
        expect(observer.lines(1, lambda line: line.startswith("got ")), ["got greenhouse/will gone"], "the will")
        observer.ended()


def field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


class Dialogue:
    """An MQTT 5 connection with enhanced authentication, packet by packet."""

    def __init__(self, port, mechanism):
        self.mechanism = mechanism.encode()
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.stream = self.socket.makefile("rb")

    def send(self, kind, body):
        length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
        self.socket.sendall(bytes([kind]) + length + body)

    def read(self):
        """The kind of the next packet and its body."""
        kind = self.stream.read(1)[0] & 0xF0
        length, shift = 0, 0
        while True:
            byte = self.stream.read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, self.stream.read(length)

    def properties(self, data: str) -> bytes:
        """Authentication Method and Authentication Data."""
        listed = b"\x15" + field(self.mechanism) + b"\x16" + field(data.encode())
        length = [len(listed)] if len(listed) < 128 else [len(listed) % 128 | 128, len(listed) // 128]
        return bytes(length) + listed

    def connect(self, first: str):
        self.send(0x10, field(b"MQTT") + b"\x05\x02\x00\x1e" + self.properties(first) + field(b"scram-client"))

    def authenticate(self, data: str, reason=b"\x18"):
        self.send(0xF0, reason + self.properties(data))

    def data(self, body: bytes) -> str:
        """The Authentication Data, wherever they are among the properties."""
        at = body.index(self.mechanism) + len(self.mechanism)
        expect(body[at], 0x16, "Authentication Data follow the method")
        length = int.from_bytes(body[at + 1 : at + 3], "big")
        return body[at + 3 : at + 3 + length].decode()


def scram_broker(scheme="sha256"):
    run([martlet(), "passwd", "--create", "--scheme", f"scram-{scheme}", "--batch", "users.txt", "rita", "lilac"])
    users = pathlib.Path.cwd() / "users.txt"
    return OwnBroker(f'[access]\npassword_files = ["{users}"]\n[[listener]]\nurl = "tcp://127.0.0.1:0"\n')


def scram(broker, name, password, mechanism="SCRAM-SHA-256"):
    """The last packet of the broker, after a whole exchange, and the client that made it."""
    client = ScramClient([mechanism], name, password)
    dialogue = Dialogue(broker.ports["tcp"], mechanism)
    dialogue.connect(client.get_client_first())
    kind, body = dialogue.read()
    expect((kind, body[0]), (0xF0, 0x18), "AUTH with Continue authentication")
    client.set_server_first(dialogue.data(body))
    dialogue.authenticate(client.get_client_final())
    return client, dialogue, *dialogue.read()


def authenticate_again(dialogue, password):
    """The client of another exchange on the same connection, and the broker's last packet."""
    client = ScramClient([dialogue.mechanism.decode()], "rita", password)
    dialogue.authenticate(client.get_client_first(), b"\x19")
    kind, body = dialogue.read()
    expect((kind, body[0]), (0xF0, 0x18), "AUTH with Continue authentication")
    client.set_server_first(dialogue.data(body))
    dialogue.authenticate(client.get_client_final())
    return client, *dialogue.read()


@case(each=MECHANISMS)
def scram_right_password(broker, mechanism):
    """The client also proves that the broker knows the password's verifier."""
    with scram_broker(mechanism[6:].replace("-", "").lower()) as broker:
        client, dialogue, kind, body = scram(broker, "rita", "lilac", mechanism)
        expect((kind, body[1]), (0x20, 0x00), "CONNACK with Success")
        client.set_server_final(dialogue.data(body))
        dialogue.send(0xC0, b"")
        expect(dialogue.read(), (0xD0, b""), "PINGRESP")
        dialogue.send(0xE0, b"")


@case(each=MECHANISMS)
def scram_again_on_the_same_connection(broker, mechanism):
    """Re-authentication (section 4.12.1): twice with the right password, then with a wrong one."""
    with scram_broker(mechanism[6:].replace("-", "").lower()) as broker:
        _, dialogue, kind, body = scram(broker, "rita", "lilac", mechanism)
        expect((kind, body[1]), (0x20, 0x00), "CONNACK with Success")
        for _ in range(2):
            client, kind, body = authenticate_again(dialogue, "lilac")
            expect((kind, body[0]), (0xF0, 0x00), "AUTH with Success")
            client.set_server_final(dialogue.data(body))
            dialogue.send(0xC0, b"")
            expect(dialogue.read(), (0xD0, b""), "PINGRESP")
        _, kind, body = authenticate_again(dialogue, "rose")
        expect((kind, body[0]), (0xE0, 0x87), "DISCONNECT with Not authorized")
        expect(dialogue.stream.read(), b"", "the end of the connection")


@case(each={"wrong_password": ("rita", "rose"), "unknown_user": ("nobody", "lilac")})
def scram_refused(broker, login):
    with scram_broker() as broker:
        client, dialogue, kind, body = scram(broker, *login)
        expect((kind, body[1] in (0x86, 0x87)), (0x20, True), f"CONNACK with a refusal: {body.hex()}")
        expect(dialogue.stream.read(), b"", "the end of the connection")


@case
def scram_altered_nonce(broker):
    """A final message with another nonce is refused."""
    with scram_broker() as broker:
        client = ScramClient(["SCRAM-SHA-256"], "rita", "lilac")
        dialogue = Dialogue(broker.ports["tcp"], "SCRAM-SHA-256")
        dialogue.connect(client.get_client_first())
        client.set_server_first(dialogue.data(dialogue.read()[1]))
        dialogue.authenticate(client.get_client_final().replace("r=", "r=x", 1))
        kind, body = dialogue.read()
        expect((kind, body[1] >= 0x80), (0x20, True), f"CONNACK with a refusal: {body.hex()}")


@case(each=LATER_VERSIONS)
def scram_user_with_plain_password(broker, version):
    """A verifier serves plain logins as well."""
    with scram_broker() as broker:
        expect(publish(broker, version, ("rita", "lilac"), "t", "x").returncode, 0, "the login")
        expect(publish(broker, version, ("rita", "rose"), "t", "x").returncode != 0, True, "a wrong one fails")


if __name__ == "__main__":
    main()
