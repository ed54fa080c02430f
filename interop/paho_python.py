"""Cases for the Eclipse Paho client for Python (package paho-mqtt)."""

import queue
import socket
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from cases import PATIENCE_S, QUIET_S, Skip, case, eventually, expect, main

V31, V311, V5 = mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5
VERSIONS = {"v31": V31, "v311": V311, "v5": V5}
LATER_VERSIONS = {"v311": V311, "v5": V5}
TRANSPORTS = {
    f"{name}_{transport}": (version, transport)
    for name, version in VERSIONS.items()
    for transport in ("tcp", "websockets")
}


def properties(packet, **values):
    """A property list for a packet, from the names that the package uses."""
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Peer:
    """A client whose events are waited for one after the other."""

    def __init__(self, broker, version=V5, client_id="", clean=True, transport="tcp", manual_ack=False):
        self.broker, self.version, self.clean, self.transport = broker, version, clean, transport
        options = {} if version == V5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,
            transport=transport,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
            **options,
        )
        if transport == "websockets":
            self.client.ws_set_options(path=broker.ws_path)
        self.connacks, self.disconnects, self.messages = queue.Queue(), queue.Queue(), queue.Queue()
        self.acks = {}
        self.client.on_connect = lambda _c, _u, flags, reason, props: self.connacks.put((flags, reason, props))
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnects.put(reason)
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, mid, reasons, _p: self.acks.update({mid: reasons})
        self.client.on_unsubscribe = lambda _c, _u, mid, reasons, _p: self.acks.update({mid: reasons})
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.acks.update({mid: [reason]})

    def connect(self, keep_alive_s=30, **connect_properties):
        """Connects and gives the answer: the flags, the reason and the properties."""
        port = self.broker.port if self.transport == "tcp" else self.broker.ws_port
        options = {}
        if self.version == V5:
            sent = properties(PacketTypes.CONNECT, **connect_properties)
            options = {"clean_start": self.clean, "properties": sent}
        self.client.connect(self.broker.host, port, keep_alive_s, **options)
        self.client.loop_start()
        return self.connacks.get(timeout=PATIENCE_S)

    def online(self, **options):
        """Connects, which must succeed, and gives the peer itself."""
        _, reason, _ = self.connect(**options)
        expect(reason.value, 0, "the answer to CONNECT")
        return self

    def acked(self, mid):
        """The reasons with which a packet is acknowledged."""
        eventually(lambda: mid in self.acks, "an acknowledgement")
        return [reason.value for reason in self.acks.pop(mid)]

    def subscribe(self, topic, qos=0, **options):
        """Subscribes and gives the reason codes."""
        _, mid = self.client.subscribe(topic, qos, **options)
        return self.acked(mid)

    def publish(self, topic, payload=b"", qos=0, retain=False, **sent):
        """Publishes and waits for what the service quality promises."""
        options = {"properties": properties(PacketTypes.PUBLISH, **sent)} if sent else {}
        info = self.client.publish(topic, payload, qos, retain, **options)
        return self.acked(info.mid)

    def message(self):
        """The next message."""
        try:
            return self.messages.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError("no message came") from None

    def quiet(self, seconds=QUIET_S):
        """Makes sure that no message comes."""
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"a message came that should not: {message.topic} {message.payload[:60]!r}")

    def drop(self):
        """Cuts the connection without DISCONNECT."""
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.disconnects.get(timeout=PATIENCE_S)
        self.client.loop_stop()

    def disconnect(self, **sent):
        options = {"properties": properties(PacketTypes.DISCONNECT, **sent)} if sent else {}
        self.client.disconnect(**options)
        self.disconnects.get(timeout=PATIENCE_S)
        self.client.loop_stop()


def session_options(version, seconds=100):
    """What makes a session outlive its connection in this version, besides a clear clean flag."""
    return {"SessionExpiryInterval": seconds} if version == V5 else {}


@case(each=TRANSPORTS)
def round_trip(broker, variant):
    """Every service quality on both sides; the lower of the two counts."""
    version, transport = variant
    publisher = Peer(broker, version, "publisher", transport=transport).online()
    subscriber = Peer(broker, version, "subscriber", transport=transport).online()
    for granted in range(3):
        expect(subscriber.subscribe(f"round/{granted}", granted), [granted], "SUBACK")
    for granted in range(3):
        for qos in range(3):
            payload = bytes(range(256)) + bytes([qos])
            publisher.publish(f"round/{granted}", payload, qos)
            message = subscriber.message()
            seen = (message.topic, message.payload, message.qos, message.retain, message.dup)
            expect(seen, (f"round/{granted}", payload, min(granted, qos), False, False), "the message")
    publisher.disconnect()
    subscriber.disconnect()


@case(each=VERSIONS)
def retained(broker, version):
    """The last retained message is given to later subscribers until an empty one removes it."""
    publisher = Peer(broker, version, "publisher").online()
    publisher.publish("kept/a", b"old", 1, retain=True)
    publisher.publish("kept/a", b"new", 1, retain=True)
    publisher.publish("kept/b", b"other", 0, retain=True)
    publisher.publish("kept/c", b"not kept", 1)
    first = Peer(broker, version, "first").online()
    first.subscribe("kept/+", 1)
    seen = {first.message().topic: None for _ in range(2)}
    expect(sorted(seen), ["kept/a", "kept/b"], "the retained topics")
    first.quiet()
    publisher.publish("kept/a", b"live", 1, retain=True)
    message = first.message()
    expect((message.payload, message.retain), (b"live", False), "a message to an existing subscription")
    publisher.publish("kept/a", b"", 1, retain=True)
    publisher.publish("kept/b", b"", 1, retain=True)
    second = Peer(broker, version, "second").online()
    second.subscribe("kept/#", 1)
    second.quiet()


@case(each=VERSIONS)
def will(broker, version):
    """A cut connection publishes the will, a DISCONNECT does not."""
    observer = Peer(broker, version, "observer").online()
    observer.subscribe("wills/#", 2)
    mortal = Peer(broker, version, "mortal")
    mortal.client.will_set("wills/mortal", b"gone", qos=1, retain=True)
    mortal.online()
    mortal.drop()
    message = observer.message()
    expect((message.topic, message.payload, message.qos), ("wills/mortal", b"gone", 1), "the will")
    late = Peer(broker, version, "late").online()
    late.subscribe("wills/mortal", 1)
    expect(late.message().retain, True, "the retained will's flag")
    polite = Peer(broker, version, "polite")
    polite.client.will_set("wills/polite", b"gone", qos=1)
    polite.online()
    polite.disconnect()
    observer.quiet()


@case(each=VERSIONS)
def polite_return(broker, version):
    """A client that says goodbye and is back at once leaves no will: its DISCONNECT came before its next CONNECT."""
    observer = Peer(broker, version, "observer").online()
    observer.subscribe("wills/#", 1)
    for _ in range(30):
        peer = Peer(broker, version, "hasty")
        peer.client.will_set("wills/hasty", b"gone", qos=1)
        peer.online()
        peer.disconnect()
    observer.quiet()


@case(each=VERSIONS)
def resume(broker, version):
    """A session that outlives its connection keeps subscriptions and queued messages in order."""
    sleeper = Peer(broker, version, "sleeper", clean=False)
    flags, reason, _ = sleeper.connect(**session_options(version))
    expect((flags.session_present, reason.value), (False, 0), "the first CONNACK")
    sleeper.subscribe("dreams/#", 2)
    sleeper.disconnect()
    publisher = Peer(broker, version, "publisher").online()
    for number in range(10):
        publisher.publish(f"dreams/{1 + number % 2}", str(number), 1 + number % 2)
    again = Peer(broker, version, "sleeper", clean=False)
    flags, _, _ = again.connect(**session_options(version))
    if version != V31:
        expect(flags.session_present, True, "session present [MQTT3-3.2.2-2]")
    queued = [again.message() for _ in range(10)]
    for qos in (1, 2):
        seen = [int(message.payload) for message in queued if message.qos == qos]
        expect(seen, list(range(qos - 1, 10, 2)), f"the queued messages of QoS {qos}")
    publisher.publish("dreams/live", b"live", 1)
    expect(again.message().payload, b"live", "a live message after them")
    again.disconnect()
    fresh = Peer(broker, version, "sleeper", clean=True)
    flags, _, _ = fresh.connect()
    expect(flags.session_present, False, "session present after a clean start")
    publisher.publish("dreams/none", b"", 1)
    fresh.quiet()


@case(each=VERSIONS)
def redelivery(broker, version):
    """What was not acknowledged comes again with DUP when the session resumes."""
    lazy = Peer(broker, version, "lazy", clean=False, manual_ack=True).online(**session_options(version))
    lazy.subscribe("again", 1)
    publisher = Peer(broker, version, "publisher").online()
    publisher.publish("again", b"once", 1)
    first = lazy.message()
    expect((first.payload, first.dup), (b"once", False), "the first delivery")
    lazy.drop()
    back = Peer(broker, version, "lazy", clean=False, manual_ack=True).online(**session_options(version))
    second = back.message()
    expect((second.payload, second.dup, second.mid), (b"once", True, first.mid), "the second delivery")
    back.client.ack(second.mid, second.qos)
    back.quiet()
    back.disconnect()
    third = Peer(broker, version, "lazy", clean=False).online(**session_options(version))
    third.quiet()


@case(each=VERSIONS)
def order(broker, version):
    """Many messages of each service quality arrive once and in order."""
    publisher = Peer(broker, version, "publisher").online()
    subscriber = Peer(broker, version, "subscriber").online()
    subscriber.subscribe("burst/#", 2)
    for qos in range(3):
        infos = [publisher.client.publish(f"burst/{qos}", str(number), qos) for number in range(300)]
        expect([int(subscriber.message().payload) for _ in infos], list(range(300)), f"QoS {qos}")
    subscriber.quiet()


@case(each=VERSIONS)
def wildcards(broker, version):
    """Filters match whole levels, and leading wildcards do not match `$` topics."""
    topics = ["a", "a/b", "a/b/c", "/a", "b/b", "a//c"]
    publisher = Peer(broker, version, "publisher").online()
    for wanted, expected in [
        ("#", topics),
        ("+", ["a"]),
        ("+/+", ["a/b", "/a", "b/b"]),
        ("a/#", ["a", "a/b", "a/b/c", "a//c"]),
        ("a/+/c", ["a/b/c", "a//c"]),
        ("+/b/#", ["a/b", "a/b/c", "b/b"]),
        ("/+", ["/a"]),
    ]:
        subscriber = Peer(broker, version, "subscriber").online()
        subscriber.subscribe(wanted, 1)
        for topic in topics + ["$private/a", "end/of/it/all"]:
            publisher.publish(topic, b"", 1)
        seen = []
        subscriber.subscribe("after", 1)
        publisher.publish("after", b"", 1)
        while (topic := subscriber.message().topic) != "after":
            seen.append(topic)
        expect([topic for topic in seen if topic != "end/of/it/all"], expected, wanted)
        subscriber.disconnect()


@case(each=VERSIONS)
def unicode_names(broker, version):
    """Topics are any UTF-8, payloads any bytes."""
    topic = "Grüße/世界/🦀/\ufeffx"
    peer = Peer(broker, version, "peer-é").online()
    peer.subscribe(topic, 1)
    peer.publish(topic, bytes(range(256)), 1)
    message = peer.message()
    expect((message.topic, message.payload), (topic, bytes(range(256))), "the message")


@case(each=VERSIONS)
def unsubscribe(broker, version):
    peer = Peer(broker, version, "peer").online()
    peer.subscribe("left", 1)
    peer.subscribe("kept", 1)
    reasons = peer.acked(peer.client.unsubscribe("left")[1])
    if version == V5:
        expect(reasons, [0x00], "UNSUBACK")
        expect(peer.acked(peer.client.unsubscribe("never")[1]), [0x11], "UNSUBACK without a subscription")
    peer.publish("left", b"", 1)
    peer.publish("kept", b"", 1)
    expect(peer.message().topic, "kept", "the only message")


@case(each=VERSIONS)
def take_over(broker, version):
    """A second client with the same identifier ends the first one."""
    first = Peer(broker, version, "same").online()
    second = Peer(broker, version, "same").online()
    reason = first.disconnects.get(timeout=PATIENCE_S)
    if version == V5:
        expect(reason.value, 0x8E, "why the first one ends [MQTT-3.1.4-3]")
    second.subscribe("still", 1)
    second.publish("still", b"here", 1)
    expect(second.message().payload, b"here", "the second one's message")


@case(each=LATER_VERSIONS)
def refused_subscription(broker, version):
    """A filter that nobody may use is refused without a reason, the others of the packet are granted."""
    peer = Peer(broker, version, "peer").online()
    filters = [("test/nosubscribe", 1), ("allowed", 1)]
    if version == V5:
        filters = [(name, SubscribeOptions(qos)) for name, qos in filters]
    expect(peer.subscribe(filters), [0x80, 1], "SUBACK")


@case
def empty_identifier_v31(broker):
    """In 3.1 an empty client identifier is refused. (For 3.1.1 the package hides the refusal.)"""
    peer = Peer(broker, V31, "x")
    peer.client._client_id = b""  # the package would not let this pass
    _, reason, _ = peer.connect()
    expect(reason.value, 0x85, "CONNACK return code 2, as the package names it")


@case(each={"tcp": "tcp", "websockets": "websockets"})
def large_payload(broker, transport):
    """A payload of many reads arrives whole, over both transports and both ways."""
    peer = Peer(broker, V5, "large", transport=transport).online()
    peer.subscribe("large", 2)
    payload = bytes(number * 31 % 251 for number in range(200_000))
    for qos in range(3):
        peer.publish("large", payload, qos)
        expect(peer.message().payload == payload, True, f"the payload is the same at QoS {qos}")


@case(each=VERSIONS)
def keep_alive(broker, version):
    """A client that only pings stays connected."""
    peer = Peer(broker, version, "peer").online(keep_alive_s=1)
    time.sleep(3.5)
    expect(peer.disconnects.empty(), True, "the connection is kept")
    peer.publish("x", b"", 1)


@case
def properties_forwarded(broker):
    """What a publisher says about a message reaches the subscriber unaltered and in order."""
    publisher, subscriber = Peer(broker, V5, "publisher").online(), Peer(broker, V5, "subscriber").online()
    subscriber.subscribe("described", 1)
    pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", "")]
    publisher.publish(
        "described", "текст", 1,
        PayloadFormatIndicator=1, ContentType="text/plain", ResponseTopic="reply/here",
        CorrelationData=b"\x00\xff", UserProperty=pairs,
    )  # fmt: skip
    seen = subscriber.message().properties
    expect(seen.PayloadFormatIndicator, 1, "payload format indicator")
    expect(seen.ContentType, "text/plain", "content type")
    expect(seen.ResponseTopic, "reply/here", "response topic")
    expect(seen.CorrelationData, b"\x00\xff", "correlation data")
    expect(seen.UserProperty, pairs, "user properties")


@case
def properties_do_not_reach_older_clients(broker):
    publisher, subscriber = Peer(broker, V5, "publisher").online(), Peer(broker, V311, "subscriber").online()
    subscriber.subscribe("mixed/#", 2)
    publisher.publish("mixed/a", b"payload", 2, ContentType="x", UserProperty=[("a", "b")])
    expect(subscriber.message().payload, b"payload", "the payload for a client of 3.1.1")


@case
def message_expiry(broker):
    """A queued message ends in time, and one that does not says how long it still lives."""
    sleeper = Peer(broker, V5, "sleeper", clean=False).online(SessionExpiryInterval=100)
    sleeper.subscribe("expiring", 1)
    sleeper.disconnect()
    publisher = Peer(broker, V5, "publisher").online()
    publisher.publish("expiring", b"short", 1, MessageExpiryInterval=1)
    publisher.publish("expiring", b"long", 1, MessageExpiryInterval=60)
    time.sleep(2.2)
    again = Peer(broker, V5, "sleeper", clean=False).online(SessionExpiryInterval=100)
    message = again.message()
    expect(message.payload, b"long", "the only message left [MQTT-3.3.2-5]")
    left = message.properties.MessageExpiryInterval
    expect(56 <= left <= 58, True, f"{left} s are left of 60 [MQTT-3.3.2-6]")


@case
def session_expiry(broker):
    """A session ends after its interval, and DISCONNECT may change that interval."""
    present = lambda **options: Peer(broker, V5, "s", clean=False).connect(**options)
    Peer(broker, V5, "s", clean=True).online(SessionExpiryInterval=1).disconnect()
    time.sleep(2)
    expect(present(SessionExpiryInterval=1)[0].session_present, False, "a session after its time")
    Peer(broker, V5, "s", clean=True).online(SessionExpiryInterval=1).disconnect(SessionExpiryInterval=60)
    time.sleep(2)
    peer = Peer(broker, V5, "s", clean=False)
    expect(peer.connect(SessionExpiryInterval=60)[0].session_present, True, "a session with a longer time")
    peer.disconnect(SessionExpiryInterval=0)
    # Nothing orders the end of one connection before the start of the next, and the package does not wait for the broker's close.
    time.sleep(QUIET_S)
    expect(present()[0].session_present, False, "a session that was given up")


@case
def will_delay(broker):
    """The will waits for its delay, and a client that is back in time has none."""
    observer = Peer(broker, V5, "observer").online()
    observer.subscribe("wills/#", 1)
    sent = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1, UserProperty=[("who", "me")])
    mortal = Peer(broker, V5, "mortal", clean=False)
    mortal.client.will_set("wills/mortal", b"gone", qos=1, properties=sent)
    mortal.online(SessionExpiryInterval=60)
    mortal.drop()
    start = time.monotonic()
    message = observer.message()
    delay = time.monotonic() - start
    expect(0.9 <= delay <= 2.0, True, f"the will came after {delay:.2f} s")
    expect(message.properties.UserProperty, [("who", "me")], "the will's properties")
    back = Peer(broker, V5, "mortal", clean=False)
    back.client.will_set("wills/mortal", b"gone", qos=1, properties=sent)
    back.online(SessionExpiryInterval=60)
    back.drop()
    Peer(broker, V5, "mortal", clean=False).online(SessionExpiryInterval=60)
    observer.quiet(2.0)


@case
def subscription_options(broker):
    """No local, retain as published and the three ways of retain handling."""
    peer = Peer(broker, V5, "peer").online()
    peer.publish("kept", b"kept", 1, retain=True)
    other = Peer(broker, V5, "other").online()
    peer.subscribe("local", options=SubscribeOptions(1, noLocal=True))
    other.subscribe("local", options=SubscribeOptions(1, noLocal=True))
    peer.publish("local", b"mine", 1)
    expect(other.message().payload, b"mine", "the other one's copy")
    peer.quiet()
    peer.subscribe("flag", options=SubscribeOptions(1, retainAsPublished=True))
    other.subscribe("flag", options=SubscribeOptions(1))
    peer.publish("flag", b"x", 1, retain=True)
    expect((peer.message().retain, other.message().retain), (True, False), "the flags")
    for handling, first, second in [(0, True, True), (1, True, False), (2, False, False)]:
        fresh = Peer(broker, V5, "fresh").online()
        for arrives in (first, second):
            fresh.subscribe("kept", options=SubscribeOptions(1, retainHandling=handling))
            fresh.message() if arrives else fresh.quiet()
        fresh.disconnect()


@case
def subscription_identifiers(broker):
    peer = Peer(broker, V5, "peer").online()
    for number, wanted in [(1, "ids/#"), (268_435_455, "ids/+")]:
        sent = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=number)
        peer.subscribe(wanted, options=SubscribeOptions(1), properties=sent)
    peer.subscribe("plain", options=SubscribeOptions(1))
    peer.publish("ids/x", b"", 1)
    seen = list(peer.message().properties.SubscriptionIdentifier)
    if len(seen) == 1:
        seen += peer.message().properties.SubscriptionIdentifier
    expect(sorted(seen), [1, 268_435_455], "the identifiers of both subscriptions [MQTT-3.3.4-3]")
    peer.publish("plain", b"", 1)
    expect(hasattr(peer.message().properties, "SubscriptionIdentifier"), False, "an identifier without need")


@case(each=LATER_VERSIONS)
def shared_subscription(broker, version):
    """Each message goes to one member of the group, and to every subscriber outside of it."""
    members = [Peer(broker, version, f"member{number}").online() for number in range(3)]
    for member in members:
        member.subscribe("$share/group/jobs/#", 1)
    outside = Peer(broker, version, "outside").online()
    outside.subscribe("jobs/#", 1)
    publisher = Peer(broker, version, "publisher").online()
    for number in range(30):
        publisher.publish(f"jobs/{number}", str(number), 1)
    for _ in range(30):
        outside.message()
    eventually(lambda: sum(member.messages.qsize() for member in members) >= 30, "all jobs are given out")
    for member in members:
        print("a member got", member.messages.qsize())
    jobs = sorted(int(member.messages.get().payload) for member in members for _ in range(member.messages.qsize()))
    expect(jobs, list(range(30)), "each job is given out once [MQTT-4.8.2-4]")
    members[0].quiet()


@case
def aliases_from_the_client(broker):
    peer = Peer(broker, V5, "peer")
    _, _, answer = peer.connect()
    if getattr(answer, "TopicAliasMaximum", 0) == 0:
        raise Skip("the broker takes no topic alias")
    peer.subscribe("alias/#", options=SubscribeOptions(1))
    for topic, alias, expected in [("alias/a", 1, "alias/a"), ("", 1, "alias/a"), ("alias/b", 1, "alias/b"), ("", 1, "alias/b")]:
        peer.publish(topic, b"", 1, TopicAlias=alias)
        expect(peer.message().topic, expected, "the topic behind the alias")


@case
def aliases_from_the_broker(broker):
    peer = Peer(broker, V5, "peer").online(TopicAliasMaximum=2)
    peer.subscribe("alias/#", options=SubscribeOptions(1))
    known = {}
    for topic in ["alias/a", "alias/a", "alias/b", "alias/c", "alias/a", "alias/c"]:
        peer.publish(topic, b"", 1)
        message = peer.message()
        alias = getattr(message.properties, "TopicAlias", None)
        if alias is not None:
            expect(1 <= alias <= 2, True, f"alias {alias} within the maximum of 2 [MQTT-3.1.2-26]")
        if message.topic:
            known[alias] = message.topic
        expect(known.get(alias), topic, "the topic that the client makes of it")
    if set(known) == {None}:
        raise Skip("the broker assigns no topic alias")


@case
def receive_maximum_of_the_client(broker):
    """No more messages are under way than the client takes at a time."""
    subscriber = Peer(broker, V5, "subscriber", manual_ack=True).online(ReceiveMaximum=3)
    subscriber.subscribe("window", options=SubscribeOptions(1))
    publisher = Peer(broker, V5, "publisher").online()
    for number in range(10):
        publisher.publish("window", str(number), 1)
    taken = [subscriber.message() for _ in range(3)]
    subscriber.quiet()
    for expected in range(3, 10):
        oldest = taken.pop(0)
        subscriber.client.ack(oldest.mid, oldest.qos)
        taken.append(subscriber.message())
        expect(int(taken[-1].payload), expected, "the next message")
    subscriber.quiet()


@case
def maximum_packet_size_of_the_client(broker):
    """A message that the client cannot take is left out, the next one comes."""
    small = Peer(broker, V5, "small").online(MaximumPacketSize=200)
    small.subscribe("sizes", options=SubscribeOptions(1))
    publisher = Peer(broker, V5, "publisher").online()
    publisher.publish("sizes", bytes(1000), 1)
    publisher.publish("sizes", b"fits", 1)
    expect(small.message().payload, b"fits", "the only message [MQTT-3.1.2-25]")


@case
def answers_in_connack(broker):
    """An assigned client identifier, a shorter keep-alive, and limits that are said."""
    peer = Peer(broker, V5, "")
    _, _, answer = peer.connect(keep_alive_s=600)
    expect(bool(answer.AssignedClientIdentifier), True, "an assigned client identifier [MQTT-3.2.2-16]")
    expect(answer.ServerKeepAlive, 60, "the server's keep-alive")


@case
def no_matching_subscribers(broker):
    """A publisher may be told that nobody listens, and is told success as soon as somebody does."""
    peer = Peer(broker, V5, "peer").online()
    expect(peer.publish("void", b"", 1)[0] in (0x00, 0x10), True, "PUBACK without a subscriber")
    peer.subscribe("void", options=SubscribeOptions(1))
    expect(peer.publish("void", b"", 1), [0x00], "PUBACK with a subscriber")


if __name__ == "__main__":
    main()
