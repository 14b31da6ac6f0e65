"""Clients of a gateway behind a proxy: each address has limits of its own, however it lies.

Arguments: the proxy's address, and whether it speaks HTTP ("http") or passes bytes on ("tcp").
The gateway allows two connections from each address.
"""

import base64
import os
import socket
import struct
import sys
import time

LIMIT = 2


def connect(source):
    return socket.create_connection(PROXY, timeout=10, source_address=(source, 0))


def request(source, head):
    connection = connect(source)
    connection.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(65536)
        if not more:
            break
        answer += more
    return connection, answer


def websocket(source, fields=""):
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /ws?client=c&topic=t HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{fields}\r\n"
    )
    return request(source, head)


def stream(source, fields=""):
    return request(source, f"GET /sse?client=c&topic=t HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer else 0


def fills(source, fields, lies):
    """A client takes its two places, and a third connection is refused.

    A proxy may be slow to tell the gateway that an earlier connection has ended.
    """
    end = time.monotonic() + 10
    while True:
        held = [websocket(source, fields), stream(source, fields)]
        statuses = [status(answer) for _, answer in held]
        if statuses == [101, 200]:
            break
        assert time.monotonic() < end and set(statuses) <= {101, 200, 429}, held
        close(held)
        time.sleep(0.05)
    third, refused = websocket(source, lies)
    assert status(refused) == 429, (source, refused)
    close(held + [(third, b"")])


def close(held):
    """Resets the connections: a proxy may take a FIN for a client that still reads."""
    for connection, _ in held:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def polls(source):
    """A proxy keeps connections for later requests; they count for nobody meanwhile."""
    for _ in range(4 * LIMIT):
        head = f"GET /poll?client=p&topic=t&wait=0 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        connection, answer = request(source, head)
        assert status(answer) == 200, answer
        connection.close()


def main():
    for source in ["127.0.0.5", "127.0.0.6"]:
        lies = "X-Forwarded-For: 192.0.2.77\r\nForwarded: for=192.0.2.78\r\n"
        fills(source, "", lies)
        # What a client writes itself is believed as little when it comes first.
        fills(source, lies, "")
    if SPEAKS == "http":
        polls("127.0.0.7")
    # Both at once: one address full, the other not.
    held = [websocket("127.0.0.8") for _ in range(LIMIT)]
    assert [status(answer) for _, answer in held] == [101] * LIMIT
    other, answer = websocket("127.0.0.9")
    assert status(answer) == 101, answer
    close(held + [(other, b"")])


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    PROXY, SPEAKS, HOST = (host, int(port)), sys.argv[2], sys.argv[1]
    main()
