"""Cases for aiomqtt, a client for Python's asyncio (package aiomqtt)."""

import asyncio
import functools

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cases import PATIENCE_S, QUIET_S, case, expect, main

V31, V311, V5 = aiomqtt.ProtocolVersion.V31, aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5
VERSIONS = {"v31": V31, "v311": V311, "v5": V5}
TRANSPORTS = {
    f"{name}_{transport}": (version, transport)
    for name, version in VERSIONS.items()
    for transport in ("tcp", "websockets")
}
CLIENTS = 60


def in_a_loop(function):
    """Runs an asynchronous case to its end."""

    @functools.wraps(function)
    def run(*arguments):
        asyncio.run(function(*arguments))

    return run


def client(broker, version=V5, transport="tcp", **options):
    port = broker.port if transport == "tcp" else broker.ws_port
    path = {} if transport == "tcp" else {"websocket_path": broker.ws_path}
    return aiomqtt.Client(
        broker.host, port, protocol=version, transport=transport, timeout=PATIENCE_S, **path, **options
    )


async def message(peer):
    """The next message of a client."""
    return await asyncio.wait_for(anext(aiter(peer.messages)), PATIENCE_S)


async def quiet(peer):
    """Makes sure that no message comes."""
    try:
        seen = await asyncio.wait_for(anext(aiter(peer.messages)), QUIET_S)
    except TimeoutError:
        return
    raise AssertionError(f"a message came that should not: {seen.topic}")


@case(each=TRANSPORTS)
@in_a_loop
async def round_trip(broker, variant):
    version, transport = variant
    async with client(broker, version, transport) as subscriber, client(broker, version, transport) as publisher:
        await subscriber.subscribe("round/#", qos=2)
        for qos in range(3):
            await publisher.publish(f"round/{qos}", b"\x00\xff payload", qos=qos)
            seen = await message(subscriber)
            expect((str(seen.topic), seen.payload, seen.qos), (f"round/{qos}", b"\x00\xff payload", qos), "the message")


@case(each=VERSIONS)
@in_a_loop
async def will(broker, version):
    """Leaving the context is polite; an identifier that is taken over leaves a will behind."""
    async with client(broker, version) as observer:
        await observer.subscribe("wills/#", qos=1)
        last_words = aiomqtt.Will("wills/polite", b"gone", qos=1)
        async with client(broker, version, will=last_words):
            pass
        await quiet(observer)
        mortal = client(broker, version, identifier="same", will=aiomqtt.Will("wills/mortal", b"gone", qos=1))
        await mortal.__aenter__()
        async with client(broker, version, identifier="same"):
            expect((await message(observer)).payload, b"gone", "the will of the client that was taken over")


@case(each=VERSIONS)
@in_a_loop
async def retained(broker, version):
    async with client(broker, version) as publisher:
        await publisher.publish("kept", b"value", qos=1, retain=True)
        async with client(broker, version) as subscriber:
            await subscriber.subscribe("+", qos=1)
            seen = await message(subscriber)
            expect((seen.payload, seen.retain), (b"value", True), "the retained message")


@case(each=VERSIONS)
@in_a_loop
async def many_clients(broker, version):
    """Everybody hears everybody."""
    peers = [client(broker, version, identifier=f"peer{number}") for number in range(CLIENTS)]
    await asyncio.gather(*(peer.__aenter__() for peer in peers))
    await asyncio.gather(*(peer.subscribe("all/+", qos=1) for peer in peers))
    await asyncio.gather(*(peer.publish(f"all/{at}", str(at), qos=1) for at, peer in enumerate(peers)))

    async def heard(peer):
        return sorted([int((await message(peer)).payload) for _ in peers])

    for numbers in await asyncio.gather(*(heard(peer) for peer in peers)):
        expect(numbers, list(range(CLIENTS)), "what one of them heard")
    await asyncio.gather(*(peer.__aexit__(None, None, None) for peer in peers))


@case
@in_a_loop
async def request_and_response(broker):
    async with client(broker) as asker, client(broker) as answerer:
        await answerer.subscribe("questions", qos=1)
        await asker.subscribe("answers/asker", qos=1)
        sent = Properties(PacketTypes.PUBLISH)
        sent.ResponseTopic, sent.CorrelationData = "answers/asker", b"\x01"
        await asker.publish("questions", b"6*7", qos=1, properties=sent)
        question = await message(answerer)
        echo = Properties(PacketTypes.PUBLISH)
        echo.CorrelationData = question.properties.CorrelationData
        await answerer.publish(question.properties.ResponseTopic, b"42", qos=1, properties=echo)
        answer = await message(asker)
        expect((answer.payload, answer.properties.CorrelationData), (b"42", b"\x01"), "the answer")


@case
@in_a_loop
async def shared_subscription(broker):
    """Workers share the jobs, none is done twice."""
    jobs = 40
    workers = [client(broker, identifier=f"worker{number}") for number in range(4)]
    done = asyncio.Queue()

    async def work(worker):
        async for job in worker.messages:
            await done.put(int(job.payload))

    await asyncio.gather(*(worker.__aenter__() for worker in workers))
    await asyncio.gather(*(worker.subscribe("$share/workers/jobs/+", qos=2) for worker in workers))
    tasks = [asyncio.create_task(work(worker)) for worker in workers]
    async with client(broker) as publisher:
        for number in range(jobs):
            await publisher.publish(f"jobs/{number % 3}", str(number), qos=2)
    seen = [await asyncio.wait_for(done.get(), PATIENCE_S) for _ in range(jobs)]
    expect(sorted(seen), list(range(jobs)), "the jobs that were done [MQTT-4.8.2-4]")
    await asyncio.sleep(QUIET_S)
    expect(done.empty(), True, "no job is done twice")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(worker.__aexit__(None, None, None) for worker in workers))


@case
@in_a_loop
async def resume(broker):
    """A session with an expiry interval keeps messages for a client that is away."""
    sent = Properties(PacketTypes.CONNECT)
    sent.SessionExpiryInterval = 60
    away = functools.partial(client, broker, identifier="away", clean_start=False, properties=sent)
    async with away() as first:
        await first.subscribe("post/#", qos=2)
    async with client(broker) as publisher:
        for number in range(20):
            await publisher.publish("post/box", str(number), qos=2)
    async with away() as second:
        letters = [int((await message(second)).payload) for _ in range(20)]
    expect(letters, list(range(20)), "the letters")


if __name__ == "__main__":
    main()
