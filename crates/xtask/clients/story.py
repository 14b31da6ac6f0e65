"""Tests Python's `websockets` against the gateway's `/ws`: ann notifies bob and carl,
topics, cursors and faults, with and without permessage-deflate. Exits with 1 at a mismatch.
Never connects to anything but the gateway given as its argument.
"""

import asyncio
import json
import sys
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CHECK_LIMIT_S = 60
EVENTS = 500

COUNTS = {"checks": 0, "connections": 0, "messages": 0}


class Mismatch(Exception):
    """The gateway did not do what it must."""


def expect(actual, wanted, what):
    if actual != wanted:
        raise Mismatch(f"{what}: expected {wanted!r}, got {actual!r}")


class Member:
    """A client of the hub: commands out, messages in."""

    def __init__(self, socket):
        self.socket = socket
        self.cursor = None

    @classmethod
    async def joins(cls, gateway, deflate, name, **query):
        query = urlencode({"client": name, **query}, doseq=True)
        socket = await connect(
            f"{gateway}ws?{query}",
            subprotocols=["ringway.v1.json"],
            compression="deflate" if deflate else None,
            ping_interval=None,
            proxy=None,
        )
        COUNTS["connections"] += 1
        expect(socket.subprotocol, "ringway.v1.json", "negotiated subprotocol")
        member = cls(socket)
        welcome = await member.receives("welcome")
        expect(welcome["client"], name, "name in the welcome")
        return member

    async def says(self, kind, **fields):
        await self.socket.send(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def receives(self, kind, **fields):
        text = await self.socket.recv()
        expect(type(text), str, "kind of the message")
        message = json.loads(text)
        expect(message["type"], kind, f"type of {message}")
        for name, value in fields.items():
            expect(message.get(name), value, f"{name} of {message}")
        if kind != "ack":
            self.cursor = message.get("cursor", self.cursor)
        COUNTS["messages"] += 1
        return message

    async def has_nothing_more(self):
        await self.says("ping")
        await self.receives("pong")

    async def leaves(self):
        await self.socket.close()
        answer = self.socket.protocol.close_rcvd
        expect(answer and answer.code, 1000, "code in the gateway's Close")


async def the_story(gateway, deflate, tag):
    ann, bob, carl = (f"{name} {tag} 👍" for name in ("ann", "bob", "carl"))
    sender = await Member.joins(gateway, deflate, ann)
    receiver = await Member.joins(gateway, deflate, bob)
    data = {"text": "héllo \U0001d11e", "list": [1, 2.5, None], "long": "x" * 5000}
    await sender.says("notify", id="1", to=[bob, carl], event="chat", data=data, ttl=60)
    outcome = {bob: "delivered", carl: "queued"}
    ack = await sender.receives("ack", id="1", outcome=outcome)
    event = {"from": ann, "event": "chat", "data": data, "cursor": ack["cursor"]}
    await receiver.receives("event", **event)
    late = await Member.joins(gateway, deflate, carl)
    await late.receives("event", **event)
    await late.has_nothing_more()
    # The same command again gets the same answer, and has no other effect.
    await sender.says("notify", id="1", to=[bob, carl], event="chat", data=data, ttl=60)
    await sender.receives("ack", id="1", outcome=outcome, cursor=ack["cursor"])
    for member in (receiver, late, sender):
        await member.has_nothing_more()
        await member.leaves()


async def topics(gateway, deflate, tag):
    topic = f"news {tag}"
    ann = await Member.joins(gateway, deflate, f"ann {tag}")
    bob = await Member.joins(gateway, deflate, f"bob {tag}", topic=[topic, "other"])
    await ann.says("subscribe", id="s", topic=topic)
    await ann.receives("ack", id="s")
    await ann.says("publish", id="p1", topic=topic, data=1)
    await ann.receives("ack", id="p1")
    await ann.receives("event", topic=topic, data=1)
    await bob.receives("event", topic=topic, data=1)
    await ann.says("publish", id="p2", topic=topic, data=2, echo=False)
    await ann.receives("ack", id="p2")
    await ann.has_nothing_more()
    await bob.receives("event", topic=topic, data=2)
    await bob.says("unsubscribe", id="u", topic=topic)
    await bob.receives("ack", id="u")
    await ann.says("publish", id="p3", topic=topic, data=3)
    await bob.has_nothing_more()
    await bob.leaves()
    await ann.leaves()


async def cut_and_resumed(gateway, deflate, tag):
    topic = f"numbers {tag}"
    ann = await Member.joins(gateway, deflate, f"ann {tag}")
    bob = await Member.joins(gateway, deflate, f"bob {tag}", topic=topic)

    async def publishes():
        for number in range(EVENTS):
            await ann.says("publish", id=f"{number}", topic=topic, data=number)
            await ann.receives("ack", id=f"{number}")

    publisher = asyncio.create_task(publishes())
    for number in range(EVENTS):
        if number % 50 == 49:
            bob.socket.transport.abort()
            bob_again = {"topic": topic, "cursor": bob.cursor}
            bob = await Member.joins(gateway, deflate, f"bob {tag}", **bob_again)
        await bob.receives("event", data=number)
    await publisher
    await bob.has_nothing_more()
    await bob.leaves()
    await ann.leaves()


async def faults(gateway, deflate, tag):
    ann = await Member.joins(gateway, deflate, f"ann {tag}")
    for text, code in [
        ("?", "not_json"),
        ('{"type":"shout"}', "unknown_type"),
        ('{"type":"publish","id":"1","topic":""}', "bad_name"),
        ('{"type":"publish","id":"1","topic":"a"}', "missing_field"),
        ('{"type":"subscribe","id":"1","topic":"a","since":"?"}', "bad_cursor"),
    ]:
        await ann.socket.send(text)
        await ann.receives("error", code=code)
    await ann.has_nothing_more()
    await ann.socket.send(b"binary")
    try:
        await ann.socket.recv()
    except ConnectionClosed as closed:
        expect(closed.rcvd and closed.rcvd.code, 1003, "close code for a binary message")
    else:
        raise Mismatch("a binary message was answered")
    try:
        await Member.joins(gateway, deflate, f"ann {tag}", cursor="none")
    except InvalidStatus as refused:
        expect(refused.response.status_code, 400, "status for an invalid cursor")
    else:
        raise Mismatch("a cursor that is none was accepted")


CHECKS = [the_story, topics, cut_and_resumed, faults]


async def main(gateway):
    for deflate in (False, True):
        for check in CHECKS:
            tag = f"{check.__name__} {'deflated' if deflate else 'plain'}"
            try:
                await asyncio.wait_for(check(gateway, deflate, tag), CHECK_LIMIT_S)
            except Exception as error:  # Any exception is reported and fails the check.
                print(f"websockets: FAILED {tag}: {error or type(error).__name__}", file=sys.stderr)
                return 1
            COUNTS["checks"] += 1
    print(
        f"websockets: {COUNTS['checks']} checks, {COUNTS['connections']} connections, "
        f"{COUNTS['messages']} messages of the hub"
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 story.py http://HOST:PORT/")
    sys.exit(asyncio.run(main(sys.argv[1].replace("http", "ws", 1))))
