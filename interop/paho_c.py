"""Cases for the sample programs of the Eclipse Paho client for C: paho_c_pub and paho_c_sub."""

import tempfile

from cases import case, expect, main
from programs import Program, run

VERSIONS = {"v31": "31", "v311": "311", "v5": "5"}
TRANSPORTS = {
    f"{name}_{transport}": (version, transport) for name, version in VERSIONS.items() for transport in ("tcp", "ws")
}


def address(broker, version, transport="tcp"):
    url = broker.tcp if transport == "tcp" else broker.ws
    return ["-c", url, "-V", version, "--trace", "protocol"]


def pub(broker, variant, *arguments):
    version, transport = variant
    return run(["paho_c_pub", *address(broker, version, transport), *arguments])


def sub(broker, variant, *arguments):
    """Starts a subscriber and returns once the broker has acknowledged its subscription."""
    version, transport = variant
    program = Program(["stdbuf", "-oL", "paho_c_sub", *address(broker, version, transport), *arguments])
    program.wait_for("<- SUBACK")
    return program


def is_message(line):
    """What is not a line of the trace is a payload, as long as the topic has no wildcards: they make the program talk."""
    return line != "" and not line.startswith("Trace")


@case(each=TRANSPORTS)
def round_trip(broker, variant):
    """Each service quality both ways."""
    for qos in "012":
        listener = sub(broker, variant, "-t", f"round/{qos}", "-q", qos)
        for sent in "012":
            pub(broker, variant, "-t", f"round/{qos}", "-q", sent, "-m", f"hello {sent}")
        expect(listener.lines(3, is_message), ["hello 0", "hello 1", "hello 2"], f"what a subscriber at QoS {qos} prints")
        listener.kill()


@case(each=VERSIONS)
def retained(broker, version):
    """A retained message is printed by a later subscriber, an empty one removes it."""
    variant = (version, "tcp")
    pub(broker, variant, "-t", "kept", "-q", "1", "-r", "-m", "value")
    first = sub(broker, variant, "-t", "kept", "-q", "1")
    expect(first.lines(1, is_message), ["value"], "the retained message")
    first.kill()
    pub(broker, variant, "-t", "kept", "-q", "1", "-r", "-n")
    second = sub(broker, variant, "-t", "kept", "-q", "1")
    pub(broker, variant, "-t", "kept", "-q", "1", "-m", "live")
    expect(second.lines(1, is_message), ["live"], "the first message without a retained one")
    second.kill()


@case(each=VERSIONS)
def will(broker, version):
    """A subscriber that is killed leaves its will."""
    variant = (version, "tcp")
    observer = sub(broker, variant, "-i", "observer", "-t", "wills/m", "-q", "1")
    mortal = sub(
        broker, variant, "-i", "mortal", "-t", "anything", "--will-topic", "wills/m", "--will-payload", "gone", "--will-qos", "1"
    )
    mortal.kill()
    expect(observer.lines(1, is_message), ["gone"], "the will")
    observer.kill()


@case(each=TRANSPORTS)
def large_file(broker, variant):
    """A file of many reads arrives whole."""
    listener = sub(broker, variant, "-t", "files", "-q", "2")
    text = "".join(f"{number:07}" for number in range(20_000))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        pub(broker, variant, "-t", "files", "-q", "2", "-f", file.name)
    expect(listener.lines(1, is_message) == [text], True, "the file arrives as it was sent")
    listener.kill()


@case
def user_property_and_expiry(broker):
    """Properties of the sample program are accepted and the message arrives."""
    variant = ("5", "tcp")
    listener = sub(broker, variant, "-t", "described", "-q", "1")
    pub(
        broker, variant, "-t", "described", "-q", "1", "-m", "text",
        "--message-expiry", "30", "--user-property", "name", "value",
    )  # fmt: skip
    expect(listener.lines(1, is_message), ["text"], "the message")
    listener.kill()


if __name__ == "__main__":
    main()
