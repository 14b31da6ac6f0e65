"""Who is online: an application that a gateway tells when clients connect and disconnect.

python3 examples/online.py PORT SECRET_FILE    GET /online lists the clients. Standard library only.
The gateway needs a [[hook]] with this port, events = ["connect", "disconnect"], waits = false and the
same secret_file.
"""

import hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(sys.argv[2], "rb") as file:
    secret = file.read().strip()
online = {}  # the open connections of each client


def is_signed(field, body):
    """Whether one of the signatures is ours, and not older than five minutes."""
    parts = [part.partition("=") for part in (field or "").split(",")]
    seconds = next((value for name, _, value in parts if name == "t" and value.isdigit()), "0")
    own = hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    known = any(name == "v1" and hmac.compare_digest(value, own) for name, _, value in parts)
    return known and abs(time.time() - int(seconds)) < 300


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_signed(self.headers["Ringway-Signature"], body):
            return self.answer(403)
        event = json.loads(body)
        client, connection = event["data"]["client"], event["data"]["connection"]
        # An event may come twice; a set does not mind.
        if event["type"] == "ringway.connect":
            online.setdefault(client, set()).add(connection)
        elif event["type"] == "ringway.disconnect":
            online.get(client, set()).discard(connection)
        self.answer(204)

    def do_GET(self):
        self.answer(200, json.dumps(sorted(name for name in online if online[name])))

    def answer(self, status, text=""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Application) as server:
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
