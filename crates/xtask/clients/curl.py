"""Tests curl against the gateway: `curl -N` reads `/stream` and `/sse` as events arrive, `curl -d`
sends, and a poll continues from the last cursor. Exits with 1 at a mismatch.
Never connects to anything but the gateway given as its argument.
"""

import json
import queue
import subprocess
import sys
import threading

LINE_LIMIT_S = 30


class Mismatch(Exception):
    """The gateway did not do what it must."""


def expect(actual, wanted, what):
    if actual != wanted:
        raise Mismatch(f"{what}: expected {wanted!r}, got {actual!r}")


def curl(*arguments):
    command = ["curl", "-sS", "--fail-with-body", "--max-time", str(LINE_LIMIT_S), *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


class Reader:
    """A running `curl -N`, whose lines are awaited one at a time."""

    def __init__(self, url):
        command = ["curl", "-sSN", "--fail", url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.reads, daemon=True).start()

    def reads(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def line(self):
        return self.lines.get(timeout=LINE_LIMIT_S)

    def ends(self):
        self.process.terminate()
        self.process.wait()


def the_streams(gateway):
    send = f"{gateway}send?client=curl"
    lines = Reader(f"{gateway}stream?client=curl-lines&topic=curl")
    expect(json.loads(lines.line())["client"], "curl-lines", "welcome on /stream")
    blocks = Reader(f"{gateway}sse?client=curl-blocks&topic=curl")
    expect(blocks.line(), "retry: 2000", "first line of /sse")
    while not blocks.line().startswith("data: "):
        pass
    expect(blocks.line(), "", "end of the welcome")
    cursors = []
    for number in range(20):
        command = {"type": "publish", "id": str(number), "topic": "curl", "data": number}
        ack = curl("-d", json.dumps(command), "-H", "Content-Type: application/json", send)
        expect((ack["type"], ack["id"]), ("ack", str(number)), "answer")
        event = json.loads(lines.line())
        expect((event["data"], event["cursor"]), (number, ack["cursor"]), "event on /stream")
        expect(blocks.line(), f"id: {ack['cursor']}", "id on /sse")
        expect(json.loads(blocks.line().removeprefix("data: ")), event, "data on /sse")
        expect(blocks.line(), "", "end of the block")
        cursors.append(ack["cursor"])
    lines.ends()
    blocks.ends()
    answer = curl(f"{gateway}poll?client=curl-lines&topic=curl&wait=0&cursor={cursors[9]}")
    expect([event["data"] for event in answer["events"]], list(range(10, 20)), "poll")
    expect(answer["cursor"], cursors[-1], "cursor of the poll")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 curl.py http://HOST:PORT/")
    try:
        the_streams(sys.argv[1])
    except Exception as error:  # Any exception is reported and fails the check.
        sys.exit(f"curl: FAILED: {error or type(error).__name__}")
    print("curl: 20 events on /stream and /sse as they happened, 10 by a poll")
