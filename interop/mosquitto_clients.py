"""Cases for the command-line clients of Eclipse Mosquitto: mosquitto_pub, mosquitto_sub and mosquitto_rr."""

import json
import subprocess
import tempfile

from cases import case, expect, main
from programs import Program, run

VERSIONS = {"v31": "31", "v311": "311", "v5": "5"}
LATER_VERSIONS = {"v311": "311", "v5": "5"}


def address(broker, version):
    # An address of IPv4, since a host name may also mean one of IPv6.
    return ["-h", broker.host, "-p", str(broker.port), "-V", version]


def pub(broker, version, *arguments, text=None):
    """Publishes and waits until the program has ended well."""
    return run(["mosquitto_pub", *address(broker, version), *arguments], text)


def sub(broker, version, *arguments, subscriptions=1):
    """Starts a subscriber and returns once all its subscriptions are acknowledged."""
    program = Program(["stdbuf", "-oL", "mosquitto_sub", *address(broker, version), "-d", "-W", "20", *arguments])
    for _ in range(subscriptions):
        program.wait_for("Subscribed (mid")
    return program


def lines(program, count):
    """What a subscriber printed besides its notes about packets."""
    return program.lines(count, lambda line: not line.startswith(("Client ", "Subscribed ")))


@case(each=VERSIONS)
def round_trip(broker, version):
    """Each service quality both ways."""
    for qos in "012":
        listener = sub(broker, version, "-t", "round/#", "-q", qos, "-F", "%t %q %r %p", "-C", "3")
        for sent in "012":
            pub(broker, version, "-t", f"round/{sent}", "-q", sent, "-m", "hello there")
        expected = [f"round/{sent} {min(qos, sent)} 0 hello there" for sent in "012"]
        expect(sorted(lines(listener, 3)), expected, f"what a subscriber at QoS {qos} prints")
        listener.ended()


@case(each=VERSIONS)
def payloads(broker, version):
    """Lines of the input are messages, a file is one, and none at all is one as well."""
    listener = sub(broker, version, "-t", "in/#", "-q", "1", "-F", "%t %l", "-C", "5")
    pub(broker, version, "-t", "in/lines", "-q", "1", "-l", text="one\ntwo\nthree\n")
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(150_000))
        file.flush()
        pub(broker, version, "-t", "in/file", "-q", "1", "-f", file.name)
    pub(broker, version, "-t", "in/none", "-q", "1", "-n")
    expected = ["in/file 150000", "in/lines 3", "in/lines 3", "in/lines 5", "in/none 0"]
    expect(sorted(lines(listener, 5)), expected, "topics and lengths")
    listener.ended()


@case(each=VERSIONS)
def many_lines(broker, version):
    """A long input arrives whole and in order at QoS 2."""
    listener = sub(broker, version, "-t", "long", "-q", "2", "-C", "500")
    pub(broker, version, "-t", "long", "-q", "2", "-l", text="".join(f"{number}\n" for number in range(500)))
    expect(lines(listener, 500), [str(number) for number in range(500)], "the lines")
    listener.ended()


@case(each=VERSIONS)
def retained(broker, version):
    pub(broker, version, "-t", "kept/a", "-m", "A", "-r", "-q", "1")
    pub(broker, version, "-t", "kept/b", "-m", "B", "-r", "-q", "1")
    seen = run(["mosquitto_sub", *address(broker, version), "-t", "kept/+", "-F", "%t %r %p", "-C", "2", "-W", "20"])
    expect(sorted(seen.splitlines()), ["kept/a 1 A", "kept/b 1 B"], "the retained messages")
    pub(broker, version, "-t", "kept/a", "-n", "-r", "-q", "1")
    seen = run(["mosquitto_sub", *address(broker, version), "-t", "kept/+", "-F", "%t", "-C", "1", "-W", "20"])
    expect(seen.splitlines(), ["kept/b"], "what is still retained")


@case(each=VERSIONS)
def will(broker, version):
    """A client that is killed leaves its will."""
    observer = sub(broker, version, "-t", "wills/#", "-q", "1", "-F", "%t %p", "-C", "1")
    mortal = sub(
        broker, version, "-t", "anything", "--will-topic", "wills/m", "--will-payload", "gone", "--will-qos", "1"
    )
    mortal.kill()
    expect(lines(observer, 1), ["wills/m gone"], "the will")
    observer.ended()


@case(each=VERSIONS)
def resume(broker, version):
    """A client that keeps its session gets what was sent while it was away."""
    session = ["-c", "-i", "sleeper", "-t", "dreams", "-q", "2"]
    run(["mosquitto_sub", *address(broker, version), *session, "-E"])
    pub(broker, version, "-t", "dreams", "-q", "2", "-l", text="one\ntwo\n")
    seen = run(["mosquitto_sub", *address(broker, version), *session, "-C", "2", "-W", "20"])
    expect(seen.splitlines(), ["one", "two"], "what was sent meanwhile")


@case(each=VERSIONS)
def request_and_response(broker, version):
    """mosquitto_rr asks, and in MQTT 5 its correlation data come back."""
    answerer = sub(broker, version, "-t", "questions", "-q", "1", "-F", "%p %R %D", "-C", "1")
    asker = Program(
        ["mosquitto_rr", *address(broker, version), "-t", "questions", "-e", "answers/me", "-m", "six", "-q", "1", "-W", "20"]
        + (["-D", "publish", "correlation-data", "c0ffee"] if version == "5" else [])
    )
    seen = lines(answerer, 1)[0].split()
    answer = ["-t", "answers/me", "-q", "1", "-m", "forty-two"]
    if version == "5":
        expect(seen, ["six", "answers/me", "c0ffee"], "the question")
        answer += ["-D", "publish", "correlation-data", "c0ffee"]
    pub(broker, version, *answer)
    expect(asker.lines(1), ["forty-two"], "the answer")
    asker.ended()


@case
def properties(broker):
    """Everything that a publisher says about a message, read as JSON."""
    listener = sub(broker, "5", "-t", "described", "-q", "1", "-F", "%j", "-C", "1")
    pub(
        broker, "5", "-t", "described", "-q", "1", "-m", "text",
        "-D", "publish", "content-type", "text/plain",
        "-D", "publish", "payload-format-indicator", "1",
        "-D", "publish", "response-topic", "reply",
        "-D", "publish", "message-expiry-interval", "100",
        "-D", "publish", "user-property", "name", "value",
    )  # fmt: skip
    seen = json.loads(lines(listener, 1)[0])["properties"]
    expect(seen["content-type"], "text/plain", "content type")
    expect(seen["payload-format-indicator"], 1, "payload format indicator")
    expect(seen["response-topic"], "reply", "response topic")
    expect(98 <= seen["message-expiry-interval"] <= 100, True, "what is left of 100 s")
    expect([seen["user-properties"]] if isinstance(seen["user-properties"], dict) else seen["user-properties"],
           [{"name": "value"}], "user properties")  # fmt: skip
    listener.ended()


@case
def subscription_identifier(broker):
    listener = sub(
        broker, "5", "-t", "ids/#", "-q", "1", "-F", "%S", "-C", "1", "-D", "subscribe", "subscription-identifier", "77"
    )
    pub(broker, "5", "-t", "ids/a", "-q", "1", "-m", "x")
    expect(lines(listener, 1), ["77"], "the identifier")
    listener.ended()


@case
def topic_alias(broker):
    """The publisher uses an alias for a second message."""
    listener = sub(broker, "5", "-t", "alias/#", "-q", "1", "-F", "%t %p", "-C", "3")
    pub(broker, "5", "-t", "alias/a", "-q", "1", "-D", "publish", "topic-alias", "1", "-l", text="1\n2\n3\n")
    expect(lines(listener, 3), ["alias/a 1", "alias/a 2", "alias/a 3"], "the messages")
    listener.ended()


@case
def delayed_will(broker):
    """A will with a delay comes after it, a clean end of the session sends none."""
    observer = sub(broker, "5", "-t", "wills/#", "-q", "1", "-F", "%t", "-C", "1")
    mortal = sub(
        broker, "5", "-i", "mortal", "-x", "60", "-t", "anything", "--will-topic", "wills/m", "--will-payload", "gone",
        "--will-qos", "1", "-D", "will", "will-delay-interval", "1",
    )  # fmt: skip
    mortal.kill()
    expect(lines(observer, 1), ["wills/m"], "the will")
    observer.ended()


@case(each=LATER_VERSIONS)
def refused_subscription(broker, version):
    """All subscriptions refused: the program says so and ends with an error."""
    ended = subprocess.run(
        ["mosquitto_sub", *address(broker, version), "-t", "test/nosubscribe", "-W", "20"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    expect("denied" in (ended.stderr + ended.stdout), True, f"it says that it was denied: {ended.stderr.strip()}")


@case(each=LATER_VERSIONS)
def shared_subscription(broker, version):
    """Two members take all messages of a group, each message once."""
    members = [sub(broker, version, "-t", "$share/group/jobs", "-q", "1", "-I", f"m{number}") for number in range(2)]
    pub(broker, version, "-t", "jobs", "-q", "1", "-l", text="".join(f"{number}\n" for number in range(20)))
    end = [sub(broker, version, "-t", "jobs", "-q", "1", "-C", "1")]
    is_job = lambda line: line.isdigit()
    seen = Program.lines_of_all(members, 20, is_job)
    expect(sorted(seen, key=int), [str(number) for number in range(20)], "the jobs")
    for program in members + end:
        program.kill()


if __name__ == "__main__":
    main()
