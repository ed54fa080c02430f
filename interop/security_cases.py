"""Cases of strangers, of users who want more than they may, and of operators who make mistakes; paho-mqtt and plain sockets."""

import pathlib
import socket
import subprocess

from cases import PATIENCE_S, case, eventually, expect, main
from own_broker import OwnBroker, martlet
from paho_python import V5, V31, V311, Peer, session_options
from programs import run

VERSIONS = {"v31": V31, "v311": V311, "v5": V5}
USERS = {"anna": "a", "otto": "o", "root": "r", "ünïcode": "p"}
REFUSED = {134, 135}  # the package gives the return codes of 3.x as the reason codes that mean the same
LISTENER = '[[listener]]\nurl = "tcp://127.0.0.1:0"\n'
RULES = [
    "deny client=bad-* connect",
    "allow connect",
    "allow user=root all #",
    "deny user=otto receive secret/#",
    "allow user=* all own/${username}/#",
    "allow user=* read news/#",
    "allow user=otto all #",
    "allow user=anna qos=0 publish q0/#",
    "deny user=anna retain=true publish ret/#",
    "allow user=anna publish ret/#",
    "allow user=anna publish cid/${clientid}",
]


def users():
    """A password file with everybody in it."""
    for number, (name, password) in enumerate(USERS.items()):
        run([martlet(), "passwd", *(["--create"] if number == 0 else []), "--batch", "users", name, password])
    return pathlib.Path.cwd() / "users"


def config(*rules, more=""):
    """Access by these rules; whoever guesses does not have to wait, because that is not what these cases are about."""
    quoted = ", ".join(f'"{rule}"' for rule in rules)
    rules = f"rules = [{quoted}]\n" if rules else ""
    folder = pathlib.Path.cwd()
    return f'[access]\nlogin_failures_free = 100000\npassword_files = ["{folder}/users"]\n{rules}{more}{LISTENER}'


class Guarded(OwnBroker):
    """A broker with the users above."""

    def __init__(self, *rules, more=""):
        users()
        super().__init__(config(*rules, more=more))

    host = "127.0.0.1"

    @property
    def port(self):
        return self.ports["tcp"]


def peer(broker, version, name, client_id=None, password=None, will=None, clean=True):
    made = Peer(broker, version, client_id or f"c-{name}", clean)
    if name is not None:
        made.client.username_pw_set(name, USERS.get(name) if password is None else password)
    if will is not None:
        made.client.will_set(*will)
    return made


def answer(made):
    return made.connect()[1].value


CREDENTIALS = {
    "right": ("anna", "a", True),
    "right_unicode": ("ünïcode", "p", True),
    "wrong_case_of_password": ("anna", "A", False),
    "empty_password": ("anna", "", False),
    "empty_both": ("", "", False),
    "empty_name": ("", "a", False),
    "unknown": ("nobody", "a", False),
    "wrong_case_of_name": ("Anna", "a", False),
    "space_behind_name": ("anna ", "a", False),
    "password_of_another": ("anna", "o", False),
    "hash_as_password": ("anna", None, False),
}


@case(each={f"{name}_{text}": (version, *login) for name, version in VERSIONS.items() for text, login in CREDENTIALS.items()})
def login(_, variant):
    """Only a user's own password admits."""
    version, name, password, good = variant
    with Guarded("allow user=* all #") as broker:
        if password is None:
            password = pathlib.Path("users").read_text().splitlines()[0].split(":", 1)[1]
        got = answer(peer(broker, version, name, password=password))
        expect(got == 0 if good else got in REFUSED, True, f"CONNACK {got}")


@case(each=VERSIONS)
def nobody_without_a_name(_, version):
    with Guarded("allow all #") as broker:
        expect(answer(peer(broker, version, None, "c")) in REFUSED, True, "refused")


@case(each=VERSIONS)
def a_rule_keeps_clients_out(_, version):
    with Guarded(*RULES) as broker:
        expect(answer(peer(broker, version, "anna", "bad-1")) in REFUSED, True, "refused")
        expect(answer(peer(broker, version, "anna", "good-1")), 0, "admitted")


FORBIDDEN = {
    "of_another": "own/otto/#",
    "plus_for_the_name": "own/+/#",
    "above": "own/#",
    "everything": "#",
    "plus_in_front": "+/anna/x",
    "shared": "$share/g/own/otto/#",
    "shared_everything": "$share/g/#",
    "broker_tree": "$SYS/#",
    "broker_topic": "$SYS/broker/version",
}


@case(each={f"{name}_{text}": (version, wanted) for name, version in VERSIONS.items() for text, wanted in FORBIDDEN.items()})
def subscription(_, variant):
    """A filter that could match more than the rules allow is refused, whole."""
    version, wanted = variant
    with Guarded(*RULES) as broker:
        anna = peer(broker, version, "anna").online()
        expect(anna.subscribe(wanted, 1)[0] >= 0x80, True, f"{wanted} refused")
        expect(anna.subscribe("own/anna/#", 1), [1], "what is allowed")
        anna.disconnect()


@case(each=VERSIONS)
def shared_subscriptions_follow_the_rule_of_their_filter(_, version):
    with Guarded(*RULES) as broker:
        expect(peer(broker, version, "anna").online().subscribe("$share/g/own/anna/#", 1), [1], "allowed")


@case(each=VERSIONS)
def only_what_is_allowed_passes(_, version):
    """Names, quality of service, RETAIN and client identifiers in rules, tried one after the other."""
    with Guarded(*RULES) as broker:
        root, anna = peer(broker, V5, "root").online(), peer(broker, version, "anna", "a1").online()
        root.subscribe("#", 1)
        tried = [
            ("own/anna/1", "good 1", 1, False),
            ("own/otto/1", "evil 1", 1, False),
            ("own/annax", "evil 2", 1, False),
            ("own/anna", "good 2", 1, False),
            ("own//anna/1", "evil 3", 1, False),
            ("q0/1", "evil 4", 1, False),
            ("q0/1", "good 3", 0, False),
            ("ret/1", "evil 5", 1, True),
            ("ret/1", "good 4", 1, False),
            ("cid/a1", "good 5", 1, False),
            ("cid/r1", "evil 6", 1, False),
            ("news/1", "evil 7", 1, False),
            ("$SYS/broker/x", "evil 8", 1, False),
            ("own/anna/end", "good 6", 1, False),
        ]
        for topic, payload, qos, retain in tried:
            codes = anna.publish(topic, payload.encode(), qos, retain)
            if version == V5 and qos:
                expect(codes[0] in (0x87, 0x90) if "evil" in payload else codes[0] == 0, True, f"PUBACK of {payload}: {codes}")
        got = [root.message().payload.decode() for _ in range(6)]
        expect(got, [f"good {number}" for number in range(1, 7)], "what arrives")
        root.quiet()


@case(each=VERSIONS)
def each_delivery_is_judged(_, version):
    """Whoever may subscribe to everything still does not get what he may not receive, live or retained."""
    with Guarded(*RULES) as broker:
        root, otto = peer(broker, V5, "root").online(), peer(broker, version, "otto").online()
        root.publish("secret/kept", b"secret", 1, retain=True)
        expect(otto.subscribe("#", 1), [1], "allowed")
        root.publish("secret/live", b"secret", 1)
        root.publish("open/live", b"open", 1)
        expect(otto.message().topic, "open/live", "what arrives")
        otto.quiet()


@case(each=VERSIONS)
def nobody_takes_the_session_of_another_user(_, version):
    with Guarded(*RULES) as broker:
        root = peer(broker, version, "root", "one").online()
        got = answer(peer(broker, version, "anna", "one"))
        expect(got in {0x85, *REFUSED}, True, f"CONNACK {got}")
        root.subscribe("t", 1)
        root.publish("t", b"still here", 1)
        expect(root.message().payload, b"still here", "the first one goes on")


@case(each=VERSIONS)
def a_forbidden_will_refuses_its_client(_, version):
    with Guarded(*RULES) as broker:
        for topic in ("own/otto/will", "news/1", "$SYS/x"):
            made = peer(broker, version, "anna", will=(topic, b"evil", 1, False))
            expect(answer(made) in REFUSED, True, f"a will on {topic}")


@case(each=VERSIONS)
def an_allowed_will_is_sent_unless_the_right_is_gone_by_then(_, version):
    with Guarded("allow user=* all #") as broker:
        root = peer(broker, V5, "root").online()
        root.subscribe("#", 1)
        for rules, arrives in ((["allow user=* all #"], True), (["deny user=anna publish will", "allow user=* all #"], False)):
            mourned = peer(broker, version, "anna", will=("will", b"gone", 1, False)).online()
            broker.reload(config(*rules))
            mourned.drop()
            if arrives:
                expect(root.message().topic, "will", "the will")
            else:
                root.publish("end", b"", 1)
                expect(root.message().topic, "end", "nothing before it")


def text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def connect_packet(level, flags, payload, properties=b""):
    name = b"MQIsdp" if level == 3 else b"MQTT"
    body = text(name) + bytes([level, flags]) + b"\0\x1e" + properties + payload
    return bytes([0x10, len(body)]) + body


# What is sent first, and the reason codes or return codes with which it may be answered; a closed connection always is right
# but where a code is required.
FIRST_PACKETS = {
    "password_without_name_v31": (connect_packet(3, 0x42, text(b"c") + text(b"a")), {4, 5}, False),
    "password_without_name_v311": (connect_packet(4, 0x42, text(b"c") + text(b"a")), {4, 5}, False),
    "password_without_name_v5": (connect_packet(5, 0x42, text(b"c") + text(b"a"), b"\0"), {0x86, 0x87}, True),
    "name_that_is_not_utf8": (connect_packet(4, 0xC2, text(b"c") + text(b"an\xffna") + text(b"a")), {4, 5}, False),
    "name_with_a_nul": (connect_packet(5, 0xC2, text(b"c") + text(b"an\0na") + text(b"a"), b"\0"), {0x81, 0x82}, False),
    "name_with_a_surrogate": (connect_packet(5, 0xC2, text(b"c") + text(b"an\xed\xa0\x80") + text(b"a"), b"\0"), {0x81}, False),
    "unknown_method": (connect_packet(5, 0x02, text(b"c"), b"\x09\x15\0\x06SCRAMX"), {0x8C}, True),
    "length_of_256_mb": (b"\x10\xff\xff\xff\x7f", set(), False),
    "length_of_five_bytes": (b"\x10\xff\xff\xff\xff\x7f", set(), False),
    "publish_first": (b"\x30\x05\0\x01t12", set(), False),
    "subscribe_first": (b"\x82\x06\0\x01\0\x01#\0", set(), False),
    "auth_first": (b"\xf0\0", set(), False),
    "reserved_packet_type": (b"\x00\0", set(), False),
    "reserved_flags": (b"\x11\x00", set(), False),
    "reserved_connect_flag": (connect_packet(4, 0x03, text(b"c")), set(), False),
    "unknown_version": (connect_packet(9, 0x02, text(b"c")), {1, 0x84}, False),
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", set(), False),
}


@case(each=FIRST_PACKETS)
def first_packet(_, variant):
    """Nothing but a CONNECT that is right in all of its parts gets further; others do not notice."""
    data, codes, required = variant
    with Guarded("allow user=* all #") as broker:
        with socket.create_connection(("127.0.0.1", broker.port), PATIENCE_S) as stranger:
            stranger.sendall(data)
            got = stranger.recv(100)
        if got or required:
            expect((got[0], got[3] in codes), (0x20, True), f"the answer {got!r}")
        expect(answer(peer(broker, V5, "anna")), 0, "another client")


ALL = "allow user=* all #"


@case(each=VERSIONS)
def a_reload_ends_what_it_revokes(_, version):
    with Guarded(ALL) as broker:
        anna, otto = peer(broker, version, "anna").online(), peer(broker, version, "otto").online()
        anna.subscribe("x/#", 1)
        otto.subscribe("x/#", 1)
        broker.reload(config("allow user=otto all #", "allow user=anna publish #"))
        otto.publish("x/1", b"after", 1)
        expect(otto.message().payload, b"after", "whoever may still")
        anna.quiet()
        expect(anna.client.is_connected(), True, "anna is connected")


BROKEN = {
    "rule": lambda: config("alow user=otto all #"),
    "toml": lambda: "this is = not toml [",
    "unknown_option": lambda: config(ALL).replace("[access]", "[access]\nnonsense = 1"),
    "missing_password_file": lambda: config(ALL).replace("/users", "/nowhere"),
    "unknown_member": lambda: config(ALL).replace("[access]", '[access]\nauthentication = ["nobody"]'),
    "plain_password": lambda: config(ALL).replace("[access]", '[access]\nusers = ["eve:plain"]'),
}


@case(each=BROKEN)
def a_reload_that_fails_changes_nothing(_, broken):
    with Guarded(ALL) as broker:
        otto = peer(broker, V311, "otto").online()
        otto.subscribe("x/#", 1)
        broker.reload(broken(), good=False)
        otto.publish("x/1", b"kept", 1)
        expect(otto.message().payload, b"kept", "the old rules")
        expect(answer(peer(broker, V5, "anna")), 0, "the old users")
        expect("eve:plain" in broker.said(), False, "a password in the log")


@case(each={"user_file": "users", "ban_file": "bans"})
def a_broken_file_changes_nothing(_, name):
    pathlib.Path("bans").write_text("")
    with Guarded(ALL, more=f'ban_files = ["{pathlib.Path.cwd()}/bans"]\n') as broker:
        otto = peer(broker, V311, "otto").online()
        good = pathlib.Path(name).read_text()
        pathlib.Path(name).write_text(good + "nonsense\n")
        broker.reload(good=False)
        line = len(good.splitlines()) + 1
        places = (f"{name}:{line}:", f"{name}: line {line}:")
        eventually(lambda: any(place in broker.said() for place in places), "the log names file and line")
        expect(otto.client.is_connected(), True, "otto is connected")
        expect(answer(peer(broker, V5, "anna")), 0, "the old users")


@case(each=VERSIONS)
def a_ban_ends_connections_and_can_be_lifted(_, version):
    bans = pathlib.Path("bans")
    bans.write_text("")
    with Guarded(ALL, more=f'ban_files = ["{bans.absolute()}"]\n') as broker:
        anna, otto = peer(broker, version, "anna").online(), peer(broker, version, "otto").online()
        bans.write_text("user=anna for 600s because of a test\n")
        broker.reload()
        anna.disconnects.get(timeout=PATIENCE_S)
        got = answer(peer(broker, version, "anna", "again"))
        expect(got in ({0x8A} if version == V5 else {0x8A, *REFUSED}), True, f"CONNACK {got}")
        expect(otto.client.is_connected(), True, "otto is connected")
        bans.write_text("")
        broker.reload()
        expect(answer(peer(broker, version, "anna", "again")), 0, "admitted again")


@case(each=VERSIONS)
def a_user_who_is_removed_or_gets_another_password_is_disconnected(_, version):
    with Guarded(ALL) as broker:
        anna, otto = peer(broker, version, "anna").online(), peer(broker, version, "otto").online()
        run([martlet(), "passwd", "--delete", "users", "otto"])
        run([martlet(), "passwd", "--batch", "users", "anna", "new"])
        broker.reload()
        for gone in (anna, otto):
            gone.disconnects.get(timeout=PATIENCE_S)
        expect(answer(peer(broker, version, "anna")) in REFUSED, True, "the old password")
        expect(answer(peer(broker, version, "anna", password="new")), 0, "the new password")


@case(each=VERSIONS)
def what_is_retained_goes_with_its_publishers_right(_, version):
    with Guarded(ALL) as broker:
        anna = peer(broker, version, "anna").online()
        anna.publish("ret/1", b"kept", 1, retain=True)
        broker.reload(config("deny user=anna publish ret/#", ALL))
        otto = peer(broker, version, "otto").online()
        otto.subscribe("ret/#", 1)
        otto.quiet()


@case(each=VERSIONS)
def what_waits_is_judged_when_its_client_is_back(_, version):
    with Guarded(ALL) as broker:
        away = peer(broker, version, "anna", "away", clean=False).online(**session_options(version))
        away.subscribe("off/#", 1)
        away.disconnect()
        root = peer(broker, V5, "root").online()
        root.publish("off/1", b"waits", 1)
        broker.reload(config("deny user=anna receive off/#", ALL))
        back = peer(broker, version, "anna", "away", clean=False)
        flags, reason, _ = back.connect(**session_options(version))
        expect((reason.value, flags.session_present), (0, version != V31), "CONNACK")
        back.quiet()


@case(each=VERSIONS)
def guessing_makes_wait_and_locks_nobody_out_who_is_there(_, version):
    with Guarded(ALL) as broker:
        anna = peer(broker, version, "anna").online()
        broker.reload(config(ALL).replace("100000", "3"))
        got = [answer(peer(broker, V5, "anna", f"guess {number}", password=f"guessed {number}")) for number in range(8)]
        expect(set(got[:3]) <= REFUSED and got[-1] not in {0}, True, f"the answers {got}")
        anna.subscribe("t", 1)
        anna.publish("t", b"still here", 1)
        expect(anna.message().payload, b"still here", "anna goes on")
        expect("guessed" in broker.said(), False, "a password in the log")


EVERYWHERE = '[[listener]]\nurl = "tcp://0.0.0.0:0"\n'
CONFIGURATIONS = {
    "loopback_without_a_word": (lambda _: LISTENER, True),
    "everywhere_without_users": (lambda _: EVERYWHERE, False),
    "everywhere_with_users": (lambda users: f'[access]\npassword_files = ["{users}"]\n{EVERYWHERE}', True),
    "everywhere_and_said_so": (lambda _: EVERYWHERE + "allow_anonymous = true\n", True),
    "websocket_everywhere": (lambda _: EVERYWHERE.replace("tcp", "ws"), False),
    "second_listener_everywhere": (lambda _: LISTENER + EVERYWHERE, False),
    "any_ipv6": (lambda _: '[[listener]]\nurl = "tcp://[::]:0"\n', False),
    "rules_that_let_strangers_in": (lambda _: '[access]\nrules = ["allow all #"]\n' + EVERYWHERE, False),
    "http_access_alone": (lambda _: f'[http_access]\nurl = "http://127.0.0.1:1/x"\n{EVERYWHERE}', False),
    "plain_password": (lambda _: f'[access]\nusers = ["eve:secretpw"]\n{LISTENER}', False),
    "filter_that_is_none": (lambda _: f'[access]\nrules = ["allow user=a publish a/#/b"]\n{LISTENER}', False),
    "missing_password_file": (lambda _: f'[access]\npassword_files = ["/nonexistent"]\n{LISTENER}', False),
    "unknown_member": (lambda _: f'[access]\nauthentication = ["nobody"]\n{LISTENER}', False),
    "member_without_settings": (lambda _: f'[access]\nauthentication = ["jwt"]\n{LISTENER}', False),
    "unknown_option": (lambda _: f"[access]\nallow_everybody = true\n{LISTENER}", False),
}


@case(each=CONFIGURATIONS)
def configuration(_, variant):
    """What lets strangers in without saying so, or cannot be, is refused before anything listens, by both commands."""
    made, good = variant
    pathlib.Path("c.toml").write_text(made(users()))
    ended = subprocess.run([martlet(), "check-config", "c.toml"], capture_output=True, text=True, check=False)
    said = ended.stdout + ended.stderr
    print(said)
    expect(ended.returncode == 0, good, "accepted by check-config")
    expect("secretpw" in said, False, "a password in what it says")
    if not good:
        words = [martlet(), "serve", "--in-memory", "--config", "c.toml"]
        served = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        expect(served.returncode != 0, True, "refused by serve")
        expect("secretpw" in served.stdout + served.stderr, False, "a password in what it says")


@case
def a_rule_that_never_matches_is_warned_of(_):
    users()
    pathlib.Path("c.toml").write_text(config(ALL, "deny user=anna publish x"))
    ended = subprocess.run([martlet(), "check-config", "c.toml"], capture_output=True, text=True, check=False)
    expect((ended.returncode, "rules:2" in ended.stdout + ended.stderr), (0, True), ended.stderr)


@case
def no_secret_is_printed(_):
    """A configuration with a secret in each place where one can be, printed."""
    folder, secret = pathlib.Path.cwd(), "S3CR3T" * 6
    hashed = users().read_text().splitlines()[0].split(":", 1)[1]
    pathlib.Path("secret.txt").write_text(secret)
    pathlib.Path("c.toml").write_text(
        f'[access]\nusers = ["x:{hashed}"]\n[jwt]\nsecret_file = "{folder}/secret.txt"\n'
        '[http_login]\nurl = "https://h/x?key=S3CR3T"\nheaders = ["a: S3CR3T"]\n'
        '[http_access]\nurl = "https://h/x?key=S3CR3T"\nheaders = ["a: S3CR3T"]\n'
        '[redis]\nurl = "redis://:S3CR3T@h/"\n[postgres]\nurl = "postgresql://u:S3CR3T@localhost/x"\n' + LISTENER
    )
    words = [martlet(), "serve", "--config", "c.toml", "--print-config"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    expect(ended.returncode, 0, ended.stderr)
    expect("S3CR3T" in ended.stdout + ended.stderr, False, "a secret")
    expect("$argon2" in ended.stdout, False, "a hash")


if __name__ == "__main__":
    main()
