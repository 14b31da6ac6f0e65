"""What a gateway tells applications, as PyPI's `cloudevents` parses it, one by one and in batches.

`cloud_events.py keys DIR` chooses a port and writes a configuration with it in DIR;
`cloud_events.py check DIR URL` is the application there, and the clients of the gateway that runs with it.
Exits with 1 at a mismatch.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import socket
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from websockets.asyncio.client import connect

CONFIGURATION = """
[[hook]]
url = "http://127.0.0.1:{port}/single"
events = ["connect", "subscribe", "unsubscribe", "disconnect", "event"]
waits = false
secret_file = "{folder}/secret"

[[hook]]
url = "http://127.0.0.1:{port}/batches"
events = ["connect", "subscribe", "unsubscribe", "disconnect", "event"]
waits = false
batch_max = 100
"""

LIMIT_S = 30
CLIENTS = ["ann", "böb", 'c"arl', "数"]
DATA = {"text": "</script>\u2028", "n": 1.5, "nested": [None, {"a": []}]}


class Mismatch(Exception):
    """The gateway did not do what it must."""


def expect(actual, wanted, what):
    if actual != wanted:
        raise Mismatch(f"{what}: expected {wanted!r}, got {actual!r}")


def make_keys(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text(secrets.token_hex(32) + "\n")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    (folder / "port").write_text(str(port))
    (folder / "ringway.toml").write_text(CONFIGURATION.format(port=port, folder=folder))


class Application(BaseHTTPRequestHandler):
    """Keeps what it is told, by path."""

    protocol_version = "HTTP/1.1"
    told = {"/single": [], "/batches": []}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.told[self.path].append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def singles(secret):
    for headers, body in Application.told["/single"]:
        parts = headers["ringway-signature"].split(",")
        seconds = parts[0].removeprefix("t=")
        signed = hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
        expect(parts[1:], [f"v1={signed}"], "signature")
        yield from_structured_event(HTTPMessage(headers, body))


def batched():
    for headers, body in Application.told["/batches"]:
        kind = headers["content-type"].split(";")[0]
        expect(kind, "application/cloudevents-batch+json", "media type")
        # The library has no batches: each element is an event in its JSON format.
        for element in json.loads(body):
            yield JSONFormat().read(None, json.dumps(element))


async def client(url, name):
    async with connect(f"{url}ws?client={name}", subprotocols=["ringway.v1.json"], proxy=None) as one:
        async def asks(kind, **fields):
            await one.send(json.dumps({"type": kind, "id": kind, **fields}))
            while json.loads(await one.recv()).get("type") != "ack":
                pass

        await asks("subscribe", topic="news")
        await asks("publish", topic="news", event="headline", data=DATA)
        await asks("unsubscribe", topic="news")


async def clients(url):
    for name in CLIENTS:
        await client(url, quote(name))


def check_events(events, began):
    """Every event of every client is there once, and valid."""
    expect(len({event.get_id() for event in events}), len(events), "different ids")
    for event in events:
        expect(event.get_specversion(), "1.0", "specversion")
        expect(event.get_source(), "/ringway", "source")
        expect(event.get_datacontenttype(), "application/json", "datacontenttype")
        age = (event.get_time() - began).total_seconds()
        if not -1 < age < LIMIT_S:
            raise Mismatch(f"the time {event.get_time()} is {age} s after the beginning")
    for name in CLIENTS:
        own = [event for event in events if name in (event.get_subject(), event.get_data().get("from"))]
        kinds = [event.get_type() for event in own if event.get_type() != "ringway.event"]
        wanted = ["connect", "subscribe", "unsubscribe", "disconnect"]
        expect(kinds, [f"ringway.{kind}" for kind in wanted], f"what {name} did")
        [published] = [event for event in own if event.get_type() == "ringway.event"]
        expect(published.get_subject(), "news", "subject of an event")
        expect(published.get_data()["data"], DATA, "data of an event")
        expect(published.get_data()["cursor"], published.get_id(), "id of an event")


def check(folder, url):
    secret = (folder / "secret").read_text().strip().encode()
    began = datetime.now(timezone.utc)
    address = ("127.0.0.1", int((folder / "port").read_text()))
    with ThreadingHTTPServer(address, Application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asyncio.run(clients(url.replace("http", "ws")))
        wanted = len(CLIENTS) * 5
        deadline = time.monotonic() + LIMIT_S
        while min(len(list(singles(secret))), len(list(batched()))) < wanted:
            if time.monotonic() > deadline:
                raise Mismatch(f"not everything was told within {LIMIT_S} s")
            time.sleep(0.05)
        for events in (list(singles(secret)), list(batched())):
            check_events(events, began)
        server.shutdown()
    print(f"cloudevents: {wanted} events one by one, and in {len(Application.told['/batches'])} batches")


def main(arguments):
    try:
        match arguments:
            case ["keys", folder]:
                make_keys(Path(folder))
            case ["check", folder, url]:
                check(Path(folder), url)
            case _:
                sys.exit("usage: python3 cloud_events.py keys DIR | check DIR http://HOST:PORT/")
    except Mismatch as mismatch:
        print(f"cloudevents: FAILED {mismatch}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
