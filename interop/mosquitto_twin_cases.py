"""Cases that give the same password file and ACL file to mosquitto itself and to Martlet, and compare what both allow."""

import contextlib
import pathlib
import random
import shutil
import socket
import subprocess
import time
import types

from cases import PATIENCE_S, QUIET_S, Skip, case, eventually, expect, main
from own_broker import OwnBroker
from paho_python import V5, V31, V311, Peer
from programs import run

# What each seed of the random files stands for is nothing but itself; a failure names the question.
SEEDS = {f"seed_{seed}": seed for seed in range(1, 13)}
VERSIONS = [V31, V311, V5]
USERS = ["anna", "otto", "we+rd", "sha#rp", "a b", "%c", None]
# The one who watches and asks; no user of the random files.
WATCHER = "watcher"
LEVELS = ["a", "b", "anna", "otto", "c-anna", "c-otto", "we+rd", "x y", "", "%u", "%c", "$a"]
TOPICS_PER_SEED = 40


def mosquitto():
    """The program, which Debian keeps where a user's PATH does not lead."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None or shutil.which("mosquitto_passwd") is None:
        raise Skip("mosquitto is not installed (package mosquitto)")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def twin(files):
    """mosquitto on a free port with the files of the case."""
    port, folder = free_port(), pathlib.Path.cwd()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{files}log_dest stdout\n"
    )
    log = (folder / "mosquitto.log").open("wb")
    process = subprocess.Popen([mosquitto(), "-c", folder / "mosquitto.conf"], stdout=log, stderr=subprocess.STDOUT)

    def listens():
        if process.poll() is not None:
            raise AssertionError((folder / "mosquitto.log").read_text()[-300:])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        eventually(listens, "mosquitto listens")
        yield types.SimpleNamespace(host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
        log.close()


@contextlib.contextmanager
def both(acl: bytes):
    """Both brokers with the same files."""
    folder = pathlib.Path.cwd()
    (folder / "acl").write_bytes(acl)
    mosquitto()
    for number, name in enumerate([WATCHER, *filter(None, USERS), "a/b"]):
        run(["mosquitto_passwd", *(["-c"] if number == 0 else []), "-b", "users", name, password(name)])
    theirs = f"password_file {folder}/users\nacl_file {folder}/acl\n"
    ours = OwnBroker(
        f'[access]\npassword_files = ["{folder}/users"]\nmosquitto_acl_files = ["{folder}/acl"]\n'
        '[[listener]]\nurl = "tcp://127.0.0.1:0"\nallow_anonymous = true\n'
    )
    with twin(theirs) as other, ours:
        yield types.SimpleNamespace(host="127.0.0.1", port=ours.ports["tcp"]), other


def password(name):
    return f"of {name}"


def member(broker, name, version, client_id=None):
    peer = Peer(broker, version, client_id or f"c-{name}")
    if name is not None:
        peer.client.username_pw_set(name, password(name))
    return peer.online()


def some_levels(dice, wildcards):
    levels = [dice.choice(LEVELS) for _ in range(dice.randint(1, 4))]
    if wildcards:
        levels = ["+" if dice.random() < 0.25 else level for level in levels]
        levels += ["#"] if dice.random() < 0.3 else []
    return levels


def some_topic(dice):
    return "/".join(some_levels(dice, False)) or "a"


def some_filter(dice):
    levels = some_levels(dice, True)
    return "/".join("+" if "+" in level else level for level in levels) or "#"


def some_rule(dice, topic):
    word = dice.choice(["topic", "topic", "pattern"])
    # Without a word for the access, the first part of a topic with a space would be taken for one.
    access = dice.choice(["read ", "write ", "readwrite ", "deny ", *([] if " " in topic else [""])])
    return f"{word} {access}{topic}"


def some_acl(dice, topics):
    """A file of mosquitto: rules for everybody, for users, and patterns, some of them on the topics that are asked about."""

    def target():
        topic = dice.choice(topics) if dice.random() < 0.5 else some_filter(dice)
        return topic if "+" not in topic or "we+rd" not in topic else some_filter(dice)

    lines = ["# made from a seed", *(some_rule(dice, target()) for _ in range(dice.randint(0, 4))), ""]
    for name in filter(None, dice.sample(USERS, 4)):
        lines += [f"user {name}", *(some_rule(dice, target()) for _ in range(dice.randint(0, 6))), ""]
    lines += [f"user {WATCHER}", "topic readwrite #", "topic readwrite $a/#", "topic readwrite $a"]
    text = "\n".join(lines) + "\n"
    return text.replace("\n", dice.choice(["\n", "\r\n"])).encode()


def what_arrives(peers, watcher, topics):
    """For each topic the names of the clients that it reaches."""
    for number, topic in enumerate(topics):
        watcher.publish(topic, str(number).encode(), 1)
    time.sleep(QUIET_S)
    return {name: sorted({int(m.payload) for m in taken(peer)}) for name, peer in peers.items()}


def what_is_published(peers, watcher, topics):
    """Which client may publish what: what the watcher gets, who reads everything."""
    asked = {}
    for name, peer in peers.items():
        for number, topic in enumerate(topics):
            asked[f"{name} {number}"] = peer.publish(topic, f"{name} {number}".encode(), 1)
    time.sleep(QUIET_S)
    arrived = {m.payload.decode() for m in taken(watcher)}
    for question, codes in asked.items():
        name = question.rsplit(" ", 1)[0]
        if peers[name].version == V5:
            expect(codes[0] < 0x80, question in arrived, f"the PUBACK of {question}: {codes}")
    return sorted(arrived)


def taken(peer):
    seen = []
    while not peer.messages.empty():
        seen.append(peer.messages.get())
    return seen


def answers(broker, seed, topics):
    """What one broker answers to all questions of a seed."""
    dice = random.Random(seed + 1000)
    watcher = member(broker, WATCHER, V5)
    peers = {str(name): member(broker, name, dice.choice(VERSIONS)) for name in USERS}
    for peer in peers.values():
        for _ in range(4):
            peer.subscribe(some_filter(dice), 1)
    reads = what_arrives(peers, watcher, topics)
    for peer in peers.values():
        peer.subscribe("#", 1)
    everything = what_arrives(peers, watcher, topics)
    for wanted in ("#", "$a/#"):
        watcher.subscribe(wanted, 1)
    writes = what_is_published(peers, watcher, topics)
    for peer in (watcher, *peers.values()):
        peer.disconnect()
    return {"read": reads, "read of #": everything, "write": writes}


@case(each=SEEDS)
def the_same_files_give_the_same_answers(broker, seed):
    """Seven users and nobody ask about forty topics each: what reaches them, and what they may publish."""
    dice = random.Random(seed)
    topics = sorted({some_topic(dice) for _ in range(TOPICS_PER_SEED)} - {"+", "#"})
    topics = [topic for topic in topics if "+" not in topic and "#" not in topic]
    acl = some_acl(dice, topics)
    print(acl.decode())
    with both(acl) as (ours, theirs):
        mine, other = answers(ours, seed, topics), answers(theirs, seed, topics)
        for number, topic in enumerate(topics):
            print(number, topic)
        for kind in mine:
            expect(mine[kind], other[kind], f"{kind}: Martlet's answers (got) are not mosquitto's (expected)")


if __name__ == "__main__":
    main()
