"""Opens and holds WebSockets on /echo of a gateway on this host, and prints what the kernel takes
for each, by slab cache: held.py HOST PORT CLIENTS. Needs root, for /proc/slabinfo.

Both ends of each connection are on this host, so a row of two objects a connection is one a
socket. The second table is with the echo of one message of 64 bytes unread at every client."""

import socket
import sys
import time

PAGE_BYTES = 4096
HEAD = (
    b"GET /echo HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MESSAGE = b"\x82\xc0\0\0\0\0" + b"x" * 64

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def slabs():
    with open("/proc/slabinfo") as file:
        lines = [line.split() for line in file.readlines()[2:]]
    return {f[0]: (int(f[1]), int(f[14]) * int(f[5]) * PAGE_BYTES) for f in lines}


def tcp_pages():
    with open("/proc/net/sockstat") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
    return int(words[words.index("mem") + 1])


def upgraded():
    client = socket.create_connection((host, port))
    client.sendall(HEAD)
    client.recv(4096)
    return client


def table(title, before, pages_before):
    time.sleep(2)
    print(f"{title}: {(tcp_pages() - pages_before) / count:.2f} pages of tcp_mem a connection")
    for name, (objects, size) in slabs().items():
        more, bytes_more = objects - before[name][0], size - before[name][1]
        if bytes_more / count >= 8:
            print(f"  {name:22} {more / count:6.2f} objects {bytes_more / count:8.0f} B a connection")


warm = [upgraded() for _ in range(200)]
time.sleep(1)
before, pages = slabs(), tcp_pages()
held = [upgraded() for _ in range(count)]
table("idle", before, pages)
for client in held:
    client.send(MESSAGE)
table("one echo unread", before, pages)
