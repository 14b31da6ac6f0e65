"""Tests Python's `websockets` against the gateway's echo: every check on its own
connection, with and without permessage-deflate. Exits with 1 at a mismatch.
Never connects to anything but the URL given as its argument.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

MIB = 1024 * 1024
MESSAGE_BYTES_MAX = 16 * MIB
SIZES = [0, 1, 125, 126, 65535, 65536, MIB, MESSAGE_BYTES_MAX - 1]
# Random bytes grow when deflated: a stored block costs 5 bytes (RFC 1951 §3.2.4).
STORED_BLOCKS_BYTES = 65536
CHECK_LIMIT_S = 60
CONCURRENT = 50
MESSAGES_EACH = 20

COUNTS = {"checks": 0, "connections": 0, "messages": 0, "bytes": 0}


class Mismatch(Exception):
    """The gateway did not do what it must."""


def expect(actual, wanted, what):
    if actual != wanted:
        raise Mismatch(f"{what}: expected {wanted!r}, got {actual!r}")


async def connected(url, deflate):
    socket = await connect(
        url,
        compression="deflate" if deflate else None,
        max_size=2 * MESSAGE_BYTES_MAX,
        ping_interval=None,
        proxy=None,
    )
    COUNTS["connections"] += 1
    header = socket.response.headers.get("Sec-WebSocket-Extensions", "")
    expect(header.split(";")[0], "permessage-deflate" if deflate else "", "negotiated extensions")
    return socket


async def closes(socket, code=1000, reason=""):
    """Closes with a code, and expects the same code from the gateway."""
    await socket.close(code, reason)
    answer = socket.protocol.close_rcvd
    expect(answer and answer.code, code, "code in the gateway's Close")


async def echoes(socket, payload, fragments=None):
    await socket.send(payload if fragments is None else fragments)
    received = await socket.recv()
    expect(type(received), type(payload), "kind of the echo")
    expect(len(received), len(payload), "length of the echo")
    if received != payload:
        raise Mismatch(f"the echo of {len(payload)} units differs from what was sent")
    COUNTS["messages"] += 1
    COUNTS["bytes"] += len(payload.encode() if isinstance(payload, str) else payload)


def text(size):
    """Text of exactly `size` bytes with characters of one to four bytes."""
    unit = "ring wäy €uro 𝄞 "
    whole = unit * (size // len(unit.encode()))
    return whole + "x" * (size - len(whole.encode()))


async def every_size(url, deflate):
    socket = await connected(url, deflate)
    for size in SIZES:
        await echoes(socket, text(size))
        largest = MESSAGE_BYTES_MAX - (STORED_BLOCKS_BYTES if deflate else 1)
        await echoes(socket, os.urandom(min(size, largest)))
    await closes(socket)


async def fragmented(url, deflate):
    socket = await connected(url, deflate)
    for payload in (text(100_000), os.urandom(100_000)):
        pieces = [payload[at : at + 9_973] for at in range(0, len(payload), 9_973)]
        await echoes(socket, payload, pieces)
    await closes(socket)


async def ping_pong(url, deflate):
    socket = await connected(url, deflate)
    for payload in (b"", b"x", b"p" * 125):
        await (await socket.ping(payload))
    await echoes(socket, "after pings")
    await closes(socket)


async def close_codes(url, deflate):
    for code in (1000, 1001, 1003, 1011, 3000, 4999):
        await closes(await connected(url, deflate), code, "a reason")


async def unclean_then_again(url, deflate):
    for _ in range(10):
        socket = await connected(url, deflate)
        await echoes(socket, "before the cut")
        socket.transport.abort()
    socket = await connected(url, deflate)
    await echoes(socket, "after the cut")
    await closes(socket)


async def too_big(url, deflate):
    socket = await connected(url, deflate)
    try:
        await socket.send(bytes(MESSAGE_BYTES_MAX + 1))
        await socket.recv()
    except ConnectionClosed as closed:
        code = closed.rcvd and closed.rcvd.code
        expect(code, 1009, "close code for a message over the limit")
    else:
        raise Mismatch("a message over the limit was echoed")


async def many_at_once(url, deflate):
    async def one(client):
        socket = await connected(url, deflate)
        for message in range(MESSAGES_EACH):
            await echoes(socket, f"client {client}, message {message}, {text(message * 50)}")
        await closes(socket)

    await asyncio.gather(*(one(client) for client in range(CONCURRENT)))


async def elsewhere(url, deflate):
    try:
        await connected(url.removesuffix("/echo") + "/no/such/page", deflate)
    except InvalidStatus as refused:
        expect(refused.response.status_code, 404, "upgrade elsewhere")
    else:
        raise Mismatch("an upgrade of a page that does not exist was accepted")


CHECKS = [
    every_size,
    fragmented,
    ping_pong,
    close_codes,
    unclean_then_again,
    too_big,
    many_at_once,
    elsewhere,
]


async def main(url):
    for deflate in (False, True):
        for check in CHECKS:
            try:
                await asyncio.wait_for(check(url, deflate), CHECK_LIMIT_S)
            except Exception as error:  # Any exception is reported and fails the check.
                name = f"{check.__name__}, deflate {'on' if deflate else 'off'}"
                print(f"websockets: FAILED {name}: {error or type(error).__name__}", file=sys.stderr)
                return 1
            COUNTS["checks"] += 1
    print(
        f"websockets: {COUNTS['checks']} checks, {COUNTS['connections']} connections, "
        f"{COUNTS['messages']} messages, {COUNTS['bytes']} bytes echoed"
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 echo.py ws://HOST:PORT/echo")
    sys.exit(asyncio.run(main(sys.argv[1])))
