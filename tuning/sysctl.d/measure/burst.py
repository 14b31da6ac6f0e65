"""Stops a gateway, connects many clients at once, lets it go on after 100 ms, and prints how long
they wait for the answer to a request: burst.py PID HOST PORT CLIENTS. See burst.sh."""

import os
import select
import signal
import socket
import sys
import time

STOPPED_S = 0.1
PATIENCE_S = 30

pid, host, port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
poll = select.epoll()
clients = {}

os.kill(pid, signal.SIGSTOP)
stopped = time.monotonic()
try:
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((host, port))
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLOUT)
    time.sleep(max(0, STOPPED_S - (time.monotonic() - stopped)))
finally:
    os.kill(pid, signal.SIGCONT)

start = time.monotonic()
asked, waits, failed = set(), [], 0
while len(waits) + failed < count and time.monotonic() < start + PATIENCE_S:
    for descriptor, _ in poll.poll(1):
        client = clients[descriptor]
        try:
            if descriptor not in asked:
                client.send(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
                asked.add(descriptor)
                poll.modify(descriptor, select.EPOLLIN)
                continue
            if not client.recv(4096):
                raise ConnectionError("closed")
            waits.append(time.monotonic() - start)
        except OSError:
            failed += 1
        poll.unregister(descriptor)

waits.sort()
print(f"{len(waits)} answered, {failed} failed, {count - len(waits) - failed} never answered")
if waits:
    print(f"median {waits[len(waits) // 2]:.3f} s, last {waits[-1]:.3f} s after the gateway went on")
