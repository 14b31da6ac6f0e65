// The parts of ringway.js that need no browser: cursors, back-off, close arguments, and a session
// over transports and a clock of our own. Never opens a connection.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, mock, test } from "node:test";

const folder = process.env.RINGWAY_WEB;
const source = ["cursor", "options", "network", "link", "outbox", "state", "session"]
  .map((part) => readFileSync(join(folder, `ringway/${part}.js`), "utf8"))
  .join("\n");
const ours = "atOrBefore, later, Position, backoff, checkClose, parseUrl, thatFit, TIMES, LiveState";

// Node has no CloseEvent before version 23.
globalThis.CloseEvent ??= class CloseEvent extends Event {
  constructor(type, { code, reason, wasClean }) {
    super(type);
    Object.assign(this, { code, reason, wasClean });
  }
};
const { atOrBefore, later, Position, backoff, checkClose, parseUrl, thatFit, TIMES, LiveState } =
  new Function(`"use strict"; ${source}; return { ${ours} };`)();
const { Ringway } = globalThis;

const at = (sequence, epoch = "0193c5f2a1b4") => `${epoch}-${String(sequence).padStart(16, "0")}`;

// ---- cursors ----

test("cursors are ordered by sequence, within an epoch", () => {
  assert.equal(atOrBefore(at(9), at(10)), true);
  assert.equal(atOrBefore(at(10), at(10)), true);
  assert.equal(atOrBefore(at(11), at(10)), false);
  assert.equal(atOrBefore("e-9", "e-0000000000000010"), true, "an unpadded sequence");
  assert.equal(atOrBefore(at(1), at(2, "ffffffffffff")), false);
  assert.equal(later(undefined, at(1)), at(1));
  assert.equal(later(at(3), at(2)), at(3));
  assert.equal(later(at(3), at(1, "ffffffffffff")), at(1, "ffffffffffff"), "the newer to arrive");
});

test("an event is taken once", () => {
  const position = new Position();
  assert.equal(position.cursor, null);
  position.begin(at(5));
  position.begin(at(7));
  assert.equal(position.cursor, at(5), "the first welcome says where reading began");
  assert.equal(position.take("news", at(3)), true, "kept for this client while it was away");
  assert.equal(position.take("news", at(3)), false);
  assert.equal(position.take(undefined, at(2)), false);
  assert.equal(position.take(undefined, at(9)), true);
  position.advance(at(20));
  assert.equal(position.take("news", at(20)), false);
  assert.equal(position.cursor, at(20));
});

test("a gap is told once, and reading goes on behind it", () => {
  const position = new Position(at(5));
  assert.equal(position.skip(at(9)), true);
  assert.equal(position.skip(at(9)), false);
  assert.equal(position.take("news", at(9)), false);
  assert.equal(position.take("news", at(10)), true);
  const restarted = at(0, "ffffffffffff");
  assert.equal(position.skip(restarted), true, "the history of another epoch is lost");
  assert.equal(position.take("news", at(1, "ffffffffffff")), true);
});

test("a gap of what another connection has not taken is told though it is behind", () => {
  const position = new Position();
  position.begin(at(5));
  assert.equal(position.take("news", at(8)), true);
  assert.equal(position.skip(at(8), true), true);
  assert.equal(position.skip(at(8), true), false);
  assert.equal(position.cursor, at(8));
  assert.equal(position.skip(at(8)), false);
});

test("a topic that is subscribed with an older cursor catches up by its own", () => {
  const position = new Position(at(20));
  position.rewind("old", at(3), false);
  assert.equal(position.cursor, at(3), "a reconnect would have to begin there");
  assert.equal(position.take("old", at(4)), true);
  assert.equal(position.take("news", at(4)), false, "other topics stay where they are");
  position.acknowledge("old");
  assert.equal(position.take("news", at(21)), true);
  assert.equal(position.take("old", at(5)), true);
  assert.equal(position.take("old", at(5)), false);
  assert.equal(position.cursor, at(5));
  position.advance(at(6));
  assert.equal(position.cursor, at(6), "the whole connection has not come further");
  position.advance(at(30));
  assert.equal(position.cursor, at(30));
  assert.equal(position.take("old", at(25)), false);
});

/** A small generator, so that a failing seed can be run again (Numerical Recipes, ranqd1). */
function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("through any cuts, every event is heard once and in order", () => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const draw = random(seed);
    const topics = ["a", "b", undefined];
    const log = Array.from({ length: 60 }, (_, index) => ({
      at: index + 1,
      topic: topics[draw(3)],
    }));
    const position = new Position(at(0));
    const heard = [];
    let read = 0;
    while (read < log.length) {
      // A connection resumes by cursor, brings some events, perhaps a heartbeat, and is cut.
      read = Number(position.cursor.split("-")[1]);
      const until = Math.min(log.length, read + 1 + draw(12));
      // Another node may send events that have been received already.
      for (const event of log.slice(Math.max(0, read - draw(4)), until)) {
        if (position.take(event.topic, at(event.at))) heard.push(event.at);
        read = event.at;
      }
      if (draw(2)) position.advance(at(read));
    }
    assert.deepEqual(
      heard,
      log.map((event) => event.at),
      `seed ${seed}`,
    );
  }
});

// ---- bounds ----

test("back-off has full jitter and a cap", () => {
  const times = { ...TIMES, backoff: 500, backoffMax: 30_000 };
  assert.equal(
    backoff(0, times, () => 0.5),
    250,
  );
  assert.equal(
    backoff(3, times, () => 1),
    4000,
  );
  assert.equal(
    backoff(1000, times, () => 1),
    30_000,
  );
  assert.equal(
    backoff(1000, times, () => 0),
    0,
  );
});

test("a close takes 1000 or 3000 to 4999, and a reason of 123 bytes", () => {
  for (const code of [undefined, 1000, 3000, 4999]) checkClose(code, "");
  for (const code of [0, 999, 1001, 1005, 1006, 2999, 5000]) {
    assert.throws(() => checkClose(code, ""), { name: "InvalidAccessError" }, String(code));
  }
  checkClose(1000, "é".repeat(61));
  assert.throws(() => checkClose(1000, "é".repeat(62)), { name: "SyntaxError" });
});

test("a gateway's URL is http or ws, without a fragment", () => {
  assert.equal(parseUrl("wss://edge.example/ws").href, "https://edge.example/ws");
  for (const url of ["", "ftp://edge.example/", "https://edge.example/#top", "https://"]) {
    assert.throws(() => parseUrl(url), { name: "SyntaxError" }, url);
  }
});

test("an address has room for a bounded number of topics", () => {
  const topics = Array.from({ length: 500 }, (_, index) => `topic ${index}`);
  const fit = thatFit(topics);
  const length = [...fit].map((topic) => `&topic=${encodeURIComponent(topic)}`).join("").length;
  assert.ok(length <= 4000 && length > 3900, `${length}`);
  assert.deepEqual([...fit], topics.slice(0, fit.size));
});

// ---- a session over sockets of our own ----

let sockets;
let streams;
let windowEvents; // of the browser's window, which Node does not have

class FakeSocket {
  sent = [];
  closed = undefined;
  constructor(url, protocol) {
    Object.assign(this, { url: new URL(url), protocol, extensions: "", bufferedAmount: 0 });
    sockets.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(...why) {
    // As in browsers: an argument that is present is a code.
    assert.notEqual(why.length && why[0], undefined);
    this.closed ??= why;
  }
  says(object) {
    this.onmessage({ data: JSON.stringify(object) });
  }
  welcomes(cursor = at(0)) {
    this.says({ type: "welcome", client: "ann", connection: "1", cursor });
  }
  breaks(code = 1006, wasClean = false) {
    this.onclose({ code, reason: "", wasClean });
  }
}

class FakeStream extends EventTarget {
  constructor(url) {
    super();
    this.url = new URL(url);
    streams.push(this);
  }
  says(type, object) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ type, ...object }) }));
  }
  close() {
    this.closed = true;
  }
}

beforeEach(() => {
  [sockets, streams, windowEvents] = [[], [], new EventTarget()];
  for (const name of ["addEventListener", "removeEventListener"]) {
    globalThis[name] = windowEvents[name].bind(windowEvents);
  }
  globalThis.WebSocket = FakeSocket;
  globalThis.EventSource = FakeStream;
  unreachable();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});

/** From now on, requests get this answer, or fail as without a network. */
function unreachable() {
  globalThis.fetch = async () => {
    throw new TypeError("Failed to fetch");
  };
}
function answers(respond) {
  const asked = [];
  globalThis.fetch = async (url, { method = "GET" } = {}) => {
    asked.push(`${method} ${new URL(url).pathname}`);
    return respond(new URL(url), method);
  };
  return asked;
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

/** A session, and its events. */
async function session(options = {}) {
  const made = new Ringway("https://edge.example/", { client: "ann", ...options });
  const told = [];
  for (const type of ["open", "event", "gap", "welcome", "transport", "reconnecting", "error"]) {
    made.addEventListener(type, ({ detail }) => told.push([type, detail]));
  }
  made.addEventListener("close", ({ code, wasClean }) => told.push(["close", { code, wasClean }]));
  await settle();
  return { made, told, count: (type) => told.filter(([one]) => one === type).length };
}

test("it follows the WebSocket standard's contract", async () => {
  const { made, told } = await session();
  assert.deepEqual(
    [Ringway.CONNECTING, Ringway.OPEN, Ringway.CLOSING, Ringway.CLOSED],
    [0, 1, 2, 3],
  );
  assert.deepEqual([made.CONNECTING, made.OPEN, made.CLOSING, made.CLOSED], [0, 1, 2, 3]);
  assert.equal(made.readyState, 0);
  assert.equal(made.url, "wss://edge.example/ws");
  assert.equal(made.protocol, "");
  assert.equal(made.binaryType, "blob");
  made.binaryType = "arraybuffer";
  made.binaryType = "text";
  assert.equal(made.binaryType, "arraybuffer");
  assert.throws(() => made.send("{}"), { name: "InvalidStateError" });
  let opened = 0;
  made.onopen = () => (opened += 1);
  assert.equal(made.onmessage, null);
  sockets[0].welcomes();
  assert.equal(opened, 1);
  assert.equal(made.readyState, 1);
  assert.equal(made.protocol, "ringway.v1.json");
  made.send('{"type":"ping"}');
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
  assert.throws(() => made.send(new ArrayBuffer(1)), TypeError);
  assert.throws(() => made.close(1001), { name: "InvalidAccessError" });
  assert.throws(() => made.close(NaN), { name: "InvalidAccessError" });
  assert.equal(made.readyState, 1);
  made.close(3001, "done");
  assert.equal(made.readyState, 2);
  assert.deepEqual(sockets[0].closed, [3001, "done"]);
  made.send("12345");
  assert.equal(made.bufferedAmount, 5, "what is discarded counts, as the standard has it");
  sockets[0].breaks(3001, true);
  assert.equal(made.readyState, 3);
  assert.deepEqual(told.at(-1), ["close", { code: 3001, wasClean: true }]);
  await assert.rejects(made.notify("bob", 1), { code: "closed" });
});

test("an expired token is renewed by the page's function, and ends a session without one", async () => {
  let number = 0;
  const { made, told, count } = await session({ token: () => `token-${(number += 1)}` });
  assert.equal(sockets[0].url.searchParams.get("token"), "token-1");
  sockets[0].welcomes(at(7));
  sockets[0].breaks(3000, true);
  assert.equal(told.at(-1)[1].code, 3000);
  assert.equal(count("reconnecting"), 1);
  mock.timers.tick(30_000);
  await settle();
  assert.equal(sockets[1].url.searchParams.get("token"), "token-2");
  assert.equal(sockets[1].url.searchParams.get("cursor"), at(7));
  sockets[1].welcomes(at(7));
  assert.equal(made.readyState, Ringway.OPEN);
  // Other codes of the application stay final.
  sockets[1].breaks(3003, true);
  assert.deepEqual(told.at(-1), ["close", { code: 3003, wasClean: true }]);

  const fixed = await session({ token: "token" });
  sockets.at(-1).welcomes();
  sockets.at(-1).breaks(3000, true);
  assert.deepEqual(fixed.told.at(-1), ["close", { code: 3000, wasClean: true }]);
});

test("a close without a code has none on the wire", async () => {
  const { made, told } = await session();
  sockets[0].welcomes();
  made.close();
  assert.deepEqual(sockets[0].closed, []);
  sockets[0].breaks(1005, true);
  assert.deepEqual(told.at(-1), ["close", { code: 1005, wasClean: true }]);
});

test("closing before it is open is an error and a 1006", async () => {
  const { made, told } = await session();
  made.close();
  mock.timers.tick(0);
  assert.deepEqual(
    told.slice(-2).map(([type]) => type),
    ["error", "close"],
  );
  assert.deepEqual(told.at(-1)[1], { code: 1006, wasClean: false });
});

test("a request left unanswered is sent again with its id", async () => {
  const { made } = await session();
  sockets[0].welcomes();
  const answer = made.notify(["bob"], { text: "hi" }, { event: "chat" });
  const [first] = sockets[0].sent;
  assert.deepEqual(
    { ...first, id: undefined },
    { type: "notify", id: undefined, to: ["bob"], event: "chat", data: { text: "hi" } },
  );
  sockets[0].breaks();
  mock.timers.tick(600);
  await settle();
  assert.equal(sockets[1].url.searchParams.get("cursor"), at(0));
  assert.deepEqual(sockets[1].sent, []);
  sockets[1].welcomes();
  assert.deepEqual(sockets[1].sent, [first]);
  sockets[1].says({ type: "ack", id: first.id, cursor: at(1), outcome: { bob: "delivered" } });
  assert.deepEqual((await answer).outcome, { bob: "delivered" });
});

test("a request that a stopping gateway refused is sent again to the next one", async () => {
  const { made } = await session();
  sockets[0].welcomes();
  const answer = made.publish("news", 1);
  const [first] = sockets[0].sent;
  const message = "the gateway is going away";
  sockets[0].says({ type: "error", id: first.id, code: "going_away", message });
  sockets[0].breaks();
  mock.timers.tick(600);
  await settle();
  sockets[1].welcomes();
  assert.deepEqual(sockets[1].sent, [first]);
  sockets[1].says({ type: "ack", id: first.id, cursor: at(1) });
  assert.equal((await answer).cursor, at(1));
});

test("a request is refused with the gateway's code, or times out", async () => {
  const { made, count } = await session({ request: 3000 });
  sockets[0].welcomes();
  const refused = made.publish("news", 1);
  const { id } = sockets[0].sent[0];
  sockets[0].says({ type: "error", id, code: "not_allowed", message: "this client may not" });
  await assert.rejects(refused, { code: "not_allowed", message: "this client may not" });
  assert.equal(count("error"), 0);
  const late = made.publish("news", 2);
  mock.timers.tick(3000);
  await assert.rejects(late, { code: "timeout" });
});

test("a WebSocket that says nothing gives way to the next transport", async () => {
  const { made, told } = await session({ open: 1000 });
  mock.timers.tick(1000);
  assert.notEqual(sockets[0].closed, undefined);
  mock.timers.tick(0);
  await settle();
  assert.equal(streams[0].url.pathname, "/sse");
  assert.equal(streams[0].url.searchParams.get("names"), "off");
  sockets[0].welcomes();
  assert.equal(made.readyState, 0, "a link that was given up is not heard any more");
  streams[0].says("welcome", { client: "ann", connection: "2", cursor: at(4) });
  assert.equal(made.transport, "sse");
  assert.equal(made.readyState, 1);
  streams[0].dispatchEvent(
    new MessageEvent("message", { data: `{"type":"event","cursor":"${at(5)}","data":1}` }),
  );
  assert.equal(told.filter(([type]) => type === "event").length, 1);
});

test("a transport that has worked is tried again before the next one is", async () => {
  const { made } = await session();
  sockets[0].welcomes();
  for (const tries of [2, 3]) {
    sockets.at(-1).breaks();
    mock.timers.tick(2000);
    await settle();
    assert.equal(sockets.length, tries);
  }
  sockets.at(-1).breaks();
  mock.timers.tick(0);
  await settle();
  assert.equal(streams.length, 1);
  made.close();
});

test("a better transport is taken once it has proven itself", async () => {
  const { made, told } = await session({ better: 1000 });
  sockets[0].breaks();
  await settle();
  mock.timers.tick(0);
  await settle();
  streams[0].says("welcome", { client: "ann", connection: "2", cursor: at(4) });
  mock.timers.tick(1300);
  await settle();
  assert.equal(sockets.length, 2);
  assert.equal(made.transport, "sse");
  assert.equal(streams[0].closed, undefined, "the one in use is kept meanwhile");
  sockets[1].welcomes(at(4));
  assert.equal(streams[0].closed, true);
  assert.equal(made.transport, "websocket");
  assert.equal(told.filter(([type]) => type === "open").length, 1);
});

test("a connection without an answer to its heartbeat is dead", async () => {
  const { made, count } = await session({ heartbeat: 1000, answer: 300 });
  sockets[0].welcomes();
  mock.timers.tick(1000);
  assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
  sockets[0].says({ type: "pong", cursor: at(7) });
  assert.equal(made.cursor, at(7));
  mock.timers.tick(1000);
  assert.equal(count("reconnecting"), 0);
  mock.timers.tick(300);
  assert.equal(count("reconnecting"), 1);
});

/** A session whose first connection uses this transport and has proven itself. */
async function proven(transport, options = {}) {
  const made = await session({ probe: 300, transports: [transport], ...options });
  if (transport === "websocket") sockets[0].welcomes();
  else if (transport === "sse") {
    streams[0].says("welcome", { client: "ann", connection: "1", cursor: at(1) });
  }
  await settle();
  assert.equal(made.made.transport, transport);
  mock.timers.tick(1000);
  await settle();
  return made;
}

for (const sign of ["offline", "online"]) {
  test(`a dead WebSocket is noticed soon after the browser went ${sign}`, async () => {
    const { count } = await proven("websocket");
    windowEvents.dispatchEvent(new Event(sign));
    assert.deepEqual(sockets[0].sent, [{ type: "ping" }]);
    mock.timers.tick(299);
    assert.equal(count("reconnecting"), 0);
    mock.timers.tick(1);
    assert.equal(count("reconnecting"), 1);
  });

  test(`a stream in doubt is replaced when the browser went ${sign}`, async () => {
    const { made, count } = await proven("sse");
    windowEvents.dispatchEvent(new Event(sign));
    await settle();
    assert.equal(streams.length, 2);
    streams[1].says("welcome", { client: "ann", connection: "2", cursor: at(1) });
    assert.equal(streams[0].closed, true, "the new one takes its place");
    mock.timers.tick(300);
    assert.equal(count("reconnecting"), 0);
    made.close();
  });

  test(`a dead stream is noticed soon after the browser went ${sign}`, async () => {
    const { count } = await proven("sse");
    windowEvents.dispatchEvent(new Event(sign));
    await settle();
    mock.timers.tick(300);
    assert.equal(count("reconnecting"), 1);
  });

  test(`a held poll is asked again when the browser went ${sign}`, async () => {
    let answered = 0;
    const body = JSON.stringify({ cursor: at(1), events: [] });
    const held = new Promise(() => {});
    const asked = answers((url) => {
      if (url.searchParams.get("wait") !== "0" || answered > 0) return held;
      answered += 1;
      return new Response(body);
    });
    const { count } = await proven("long-poll");
    windowEvents.dispatchEvent(new Event(sign));
    await settle();
    assert.deepEqual(asked, ["GET /poll", "GET /poll", "GET /poll"]);
    mock.timers.tick(300);
    assert.equal(count("reconnecting"), 1);
  });
}

test("what else fails meanwhile gives a connection in doubt no more time", async () => {
  const { made, count } = await proven("sse");
  windowEvents.dispatchEvent(new Event("offline"));
  await settle();
  mock.timers.tick(200);
  made.publish("news", 1).catch(() => {}); // by a POST, which fails
  await settle();
  mock.timers.tick(100);
  assert.equal(count("reconnecting"), 1);
  made.close();
});

test("a page that is shown again tries its connection, unless that was just heard", async () => {
  const page = new EventTarget();
  globalThis.document = Object.assign(page, { visibilityState: "visible" });
  try {
    const { made } = await proven("websocket");
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(sockets[0].sent.length, 1);
    sockets[0].says({ type: "pong", cursor: at(1) });
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(sockets[0].sent.length, 1);
    page.visibilityState = "hidden";
    mock.timers.tick(10_000);
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(sockets[0].sent.length, 1);
    made.close();
  } finally {
    delete globalThis.document;
  }
});

test("a session that is closed no longer looks at the network", async () => {
  const { made } = await proven("websocket");
  made.close();
  sockets[0].breaks(1000, true);
  windowEvents.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(sockets.length, 1);
});

test("a token may be a promise, and a function of one is asked for each connection", async () => {
  let asked = 0;
  const { made } = await session({ token: async () => `token ${(asked += 1)}` });
  assert.equal(sockets[0].url.searchParams.get("token"), "token 1");
  sockets[0].welcomes();
  made.drop();
  mock.timers.tick(600);
  await settle();
  assert.equal(sockets[1].url.searchParams.get("token"), "token 2");
  made.close();
  await session({ token: Promise.resolve("a promise kept") });
  assert.equal(sockets[2].url.searchParams.get("token"), "a promise kept");
  const { count } = await session({ token: () => Promise.reject(new Error("logged out")) });
  assert.equal(sockets.length, 3);
  assert.equal(count("reconnecting"), 1);
});

test("a token in the first message is in no URL, and comes before everything else", async () => {
  const { made, count } = await session({ token: async () => "secret", auth: "message" });
  const [socket] = sockets;
  assert.equal(socket.url.searchParams.get("token"), null);
  assert.equal(socket.url.searchParams.get("auth"), "message");
  assert.deepEqual(socket.sent, []);
  socket.onopen();
  assert.deepEqual(socket.sent, [{ type: "auth", token: "secret" }]);
  socket.welcomes();
  assert.equal(count("open"), 1);
  made.publish("news", 1);
  assert.equal(socket.sent.at(-1).type, "publish");
  made.drop();
  mock.timers.tick(600);
  await settle();
  assert.equal(sockets[1].url.searchParams.get("token"), null);
  sockets[1].onopen();
  assert.deepEqual(sockets[1].sent, [{ type: "auth", token: "secret" }], "the request waits for it");
  sockets[1].welcomes();
  assert.equal(sockets[1].sent.at(-1).type, "publish", "and then comes again");
  made.close();
  // Other transports have the token in the URL, and without a token nothing is shown.
  await session({ token: "secret", auth: "message", transports: ["sse"] });
  assert.equal(streams[0].url.searchParams.get("token"), "secret");
  assert.equal(streams[0].url.searchParams.get("auth"), null);
  await session({ auth: "message" });
  assert.equal(sockets[2].url.searchParams.get("auth"), null);
  assert.throws(() => new Ringway("https://edge.example/", { auth: "header" }), /'auth'/);
});

test("a code that would come again ends the session; others do not", async () => {
  for (const [code, final] of [
    [1008, true],
    [4001, true],
    [1009, true],
    [1012, false],
    [1013, false],
  ]) {
    const { made, count } = await session();
    sockets.at(-1).welcomes();
    sockets.at(-1).breaks(code, true);
    assert.equal(made.readyState, final ? 3 : 1, String(code));
    assert.equal(count("reconnecting"), final ? 0 : 1, String(code));
    made.close();
  }
});

test("topics that changed while a link was opened are mended", async () => {
  const { made } = await session({ topics: ["news"] });
  sockets[0].welcomes(at(3));
  assert.deepEqual(sockets[0].url.searchParams.getAll("topic"), ["news"]);
  made.use("sse");
  await settle();
  made.subscribe("sport");
  sockets[0].says({ type: "ack", id: sockets[0].sent[0].id, cursor: at(3) });
  await settle();
  made.drop();
  mock.timers.tick(600);
  await settle();
  assert.deepEqual(sockets[1].url.searchParams.getAll("topic"), ["news", "sport"]);
});

test("the types name what there is, and no more", () => {
  const types = readFileSync(join(folder, "ringway.d.ts"), "utf8");
  const body = types.slice(types.indexOf("declare class Ringway"));
  const declared = [...body.matchAll(/^  (?:readonly )?(\w+)[:(<]/gm)].map(([, name]) => name);
  const there = [...Object.getOwnPropertyNames(Ringway.prototype)];
  const inherited = ["addEventListener", "removeEventListener"];
  assert.deepEqual([...new Set(declared)].sort(), [...there, ...inherited].sort());
  const options = types.slice(types.indexOf("interface RingwayOptions"));
  for (const name of Object.keys(TIMES)) assert.match(options, new RegExp(`^  ${name}\\?:`, "m"));
});

test("what nobody offers is refused", () => {
  assert.throws(() => new Ringway("https://edge.example/", { hartbeat: 1 }), /'hartbeat'/);
  assert.throws(() => new Ringway("https://edge.example/", { transports: ["pigeon"] }), /'pigeon'/);
  assert.throws(() => new Ringway("https://edge.example/", { transports: [] }), TypeError);
  assert.throws(() => new Ringway("https://edge.example/", { open: "5s" }), /'open'/);
  assert.throws(() => new Ringway({ client: "ann" }), /after the URL/);
});

test("a limit that was met is told with its key and its value", async () => {
  const limited = { key: "clients.recipients_max", limit: 2 };
  const { made, told } = await session();
  sockets[0].welcomes();
  const answer = made.notify(["bob", "carl", "dora"], 1);
  const [{ id }] = sockets[0].sent;
  sockets[0].says({ type: "error", id, code: "too_many_recipients", message: "no", ...limited });
  await assert.rejects(answer, { name: "RingwayError", code: "too_many_recipients", ...limited });
  const hurried = made.publish("news", 1);
  const rate = { key: "limits.publishes_per_second_max", limit: 50, retry_after: 3 };
  const refusal = { type: "error", code: "rate", message: "slower", ...rate };
  sockets[0].says({ ...refusal, id: sockets[0].sent.at(-1).id });
  await assert.rejects(hurried, { name: "RingwayError", code: "rate", ...rate });
  sockets[0].says({ type: "error", code: "not_json", message: "no" });
  assert.deepEqual(told.at(-1), ["error", { code: "not_json", message: "no" }]);
  answers(() => {
    const problem = { status: 400, code: "too_many_subscriptions", temporary: false, detail: "no" };
    return Response.json({ ...problem, ...limited }, { status: 400 });
  });
  const { told: refused } = await session({ transports: ["poll"] });
  await new Promise((done) => setImmediate(done));
  await settle();
  const error = refused.find(([type]) => type === "error");
  assert.deepEqual(error, ["error", { code: 1008, message: "no", ...limited }]);
});

test("a request by POST that came too fast is sent again when the gateway says so", async () => {
  const { made } = await session({ transports: ["sse"] });
  streams[0].says("welcome", { client: "ann", connection: "1", cursor: at(0) });
  const refused = { type: "error", code: "rate", message: "slower", retry_after: 3 };
  let posts = 0;
  globalThis.fetch = async (url, { body }) => {
    posts += 1;
    if (posts === 1) return Response.json(refused, { status: 429 });
    return Response.json({ type: "ack", id: JSON.parse(body).id, cursor: at(1) });
  };
  const waits = async (time) => {
    mock.timers.tick(time);
    await new Promise((done) => setImmediate(done));
    await settle();
  };
  const answer = made.publish("news", 1);
  await waits(0);
  await waits(2_900);
  assert.equal(posts, 1);
  await waits(700);
  assert.equal((await answer).cursor, at(1));
  assert.equal(posts, 2);
});

test("the last events of a topic are asked for until they came", async () => {
  const { made, told } = await session({ topics: ["news"], last: 5 });
  assert.equal(sockets[0].url.searchParams.get("last"), "5");
  sockets[0].welcomes(at(90));
  sockets[0].says({ type: "pong", cursor: at(100) });
  const ack = made.subscribe("sport", { last: 2 });
  const [{ id, ...asked }] = sockets[0].sent;
  assert.deepEqual(asked, { type: "subscribe", topic: "sport", last: 2 });
  sockets[0].says({ type: "ack", id, cursor: at(40) });
  await ack;
  made.drop();
  mock.timers.tick(600);
  await settle();
  assert.equal(sockets[1].url.searchParams.get("last"), null, "a cursor says where to go on");
  assert.equal(sockets[1].url.searchParams.get("cursor"), at(100));
  sockets[1].welcomes(at(100));
  assert.equal(sockets[1].sent.at(-1).last, 2, "they are asked for again");
  for (const sequence of [41, 43]) {
    sockets[1].says({ type: "event", topic: "sport", cursor: at(sequence), data: sequence });
  }
  const heard = told.filter(([type]) => type === "event").map(([, { data }]) => data);
  assert.deepEqual(heard, [41, 43], "although they are older than what was heard");
  const before = sockets[1].sent.length;
  made.subscribe("news", { last: 3 });
  assert.equal(sockets[1].sent[before].last, undefined, "of news all has been heard");
  await assert.rejects(made.subscribe("a", { last: 0 }), TypeError);
  assert.throws(() => new Ringway("https://edge.example/", { last: "5" }), /'last'/);
});

// ---- states ----

const appends = { topics: "board", apply: (state, { data }) => [...state, data] };
const says = (socket, ...sequences) => {
  for (const sequence of sequences) {
    socket.says({ type: "event", topic: "board", cursor: at(sequence), data: sequence });
  }
};
/** Snapshots that the test answers: those that were asked for, in order. */
function snapshots() {
  const asked = [];
  const fetchSnapshot = () => new Promise((resolve, reject) => asked.push({ resolve, reject }));
  return { asked, fetchSnapshot };
}

test("a state begins with a snapshot, and its topic is subscribed from there", async () => {
  const { made } = await session();
  sockets[0].welcomes(at(50));
  const { asked, fetchSnapshot } = snapshots();
  const changes = [];
  const changed = (state, event) => changes.push([state.length, event?.data]);
  const made_state = made.getState(fetchSnapshot, { ...appends, changed });
  await settle();
  assert.deepEqual(sockets[0].sent, [], "the snapshot comes first");
  asked[0].resolve({ cursor: at(40), state: ["old"] });
  await settle();
  const [{ id, ...subscribed }] = sockets[0].sent;
  assert.deepEqual(subscribed, { type: "subscribe", topic: "board", since: at(40) });
  says(sockets[0], 41);
  sockets[0].says({ type: "ack", id, cursor: at(40) });
  const state = await made_state;
  says(sockets[0], 45, 52);
  sockets[0].says({ type: "event", topic: "other", cursor: at(53), data: 53 });
  assert.deepEqual(state.value, ["old", 41, 45, 52]);
  assert.deepEqual(changes, [[1, undefined], [2, 41], [3, 45], [4, 52]]);
  state.close();
  says(sockets[0], 54);
  assert.equal(state.value.length, 4);
});

test("a state of a subscribed topic needs a snapshot from after the subscription", async () => {
  const { made } = await session({ topics: ["board"], backoff: 100 });
  sockets[0].welcomes(at(50));
  const { asked, fetchSnapshot } = snapshots();
  const made_state = made.getState(fetchSnapshot, appends);
  await settle();
  assert.equal(asked.length, 0);
  sockets[0].says({ type: "ack", id: sockets[0].sent[0].id, cursor: at(50) });
  await settle();
  asked[0].resolve({ cursor: at(49), state: ["too old"] });
  says(sockets[0], 51);
  await settle();
  assert.equal(asked.length, 1, "not before the back-off");
  mock.timers.tick(100);
  await settle();
  says(sockets[0], 52, 53);
  asked[1].resolve({ cursor: at(52), state: ["all up to 52"] });
  const state = await made_state;
  assert.deepEqual(state.value, ["all up to 52", 53]);
  assert.equal(sockets[0].sent.length, 1);
});

test("a state is fetched again after a gap, until a snapshot is from after it", async () => {
  const { made } = await session({ backoff: 100 });
  sockets[0].welcomes(at(50));
  const { asked, fetchSnapshot } = snapshots();
  const made_state = made.getState(fetchSnapshot, appends);
  asked[0].resolve({ cursor: at(50), state: [] });
  await settle();
  sockets[0].says({ type: "ack", id: sockets[0].sent[0].id, cursor: at(50) });
  const state = await made_state;
  says(sockets[0], 51);
  assert.equal(state.stale, false);
  sockets[0].says({ type: "gap", from: at(51), to: at(60) });
  says(sockets[0], 61);
  assert.equal(state.stale, true);
  assert.deepEqual(state.value, [51], "the old state is shown meanwhile");
  asked[1].reject(new Error("the application is restarting"));
  await settle();
  mock.timers.tick(100);
  await settle();
  asked[2].resolve({ cursor: at(59), state: ["not enough"] });
  await settle();
  mock.timers.tick(200);
  await settle();
  asked[3].resolve({ cursor: at(60), state: ["up to 60"] });
  await settle();
  assert.deepEqual([state.value, state.stale], [["up to 60", 61], false]);
  assert.equal(sockets[0].sent.length, 1, "it is still subscribed");
  const next = "ffffffffffff";
  sockets[0].says({ type: "gap", from: at(61), to: at(0, next) });
  says(sockets[0], 62);
  asked[4].resolve({ cursor: at(0, next), state: ["another gateway"] });
  await settle();
  assert.deepEqual(state.value, ["another gateway"]);
});

test("a state that cannot begin is refused", async () => {
  const { made } = await session();
  sockets[0].welcomes(at(50));
  await assert.rejects(made.getState(() => {}, { topics: "board" }), TypeError);
  await assert.rejects(made.getState(() => {}, { ...appends, aply: 1 }), /'aply'/);
  const failing = made.getState(() => Promise.reject(new Error("status 500")), appends);
  await assert.rejects(failing, /status 500/);
  await assert.rejects(made.getState(async () => ({ state: [] }), appends), /cursor/);
  const refused = made.getState(async () => ({ cursor: at(50), state: [] }), appends);
  await settle();
  const { id } = sockets[0].sent[0];
  sockets[0].says({ type: "error", id, code: "not_allowed", message: "this client may not" });
  await assert.rejects(refused, { code: "not_allowed" });
});

test("an error in a page's function does not stop a state", async () => {
  const { made } = await session();
  sockets[0].welcomes(at(50));
  const uncaught = [];
  const meanwhile = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => uncaught.push(error.message));
  const changed = (_, event) => {
    if (event?.data === 51) throw new Error("in the page");
  };
  const made_state = made.getState(async () => ({ cursor: at(50), state: [] }), {
    ...appends,
    changed,
  });
  await settle();
  says(sockets[0], 51, 52);
  sockets[0].says({ type: "ack", id: sockets[0].sent[0].id, cursor: at(50) });
  const state = await made_state;
  await new Promise((done) => setImmediate(done));
  process.removeAllListeners("uncaughtException");
  meanwhile.forEach((listener) => process.on("uncaughtException", listener));
  assert.deepEqual([state.value, uncaught], [[51, 52], ["in the page"]]);
});

/** A sequence of numbers below 1 that a seed decides. */
function seeded(seed) {
  let value = seed * 2654435761 + 1;
  return () => {
    value = (Math.imul(value, 1664525) + 1013904223) >>> 0;
    return value / 2 ** 32;
  };
}

test("a state has every event once, whatever is late, lost or fetched again", async () => {
  const tally = { gaps: 0, late: 0, old: 0, waited: 0, failed: 0 };
  for (let seed = 1; seed <= 150; seed += 1) {
    const random = seeded(seed);
    const below = (most) => Math.floor(random() * most);
    // The log, how far this session has been sent it, and the snapshots that are on their way.
    let [head, sent] = [below(4), 0];
    const [sessionEvents, asked] = [new EventTarget(), []];
    const tell = (type, detail) => sessionEvents.dispatchEvent(new CustomEvent(type, { detail }));
    const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1);
    const known = random() < 0.5;
    sent = known ? head : 0;
    let listens = known;
    sessionEvents.subscribe = async (topic, { since } = {}) => {
      // A place that was already read is read again, but never after the end.
      if (since) sent = Number(since.split("-")[1]);
      listens = true;
      return { cursor: at(sent) };
    };
    const fetchSnapshot = () => {
      // The application may answer from a cache.
      const age = random() < 0.3 ? below(4) : 0;
      tally.old += age > 0;
      const cursor = Math.max(0, head - age);
      const snapshot = { cursor: at(cursor), state: upTo(cursor) };
      return new Promise((resolve, reject) => asked.push({ snapshot, resolve, reject }));
    };
    const options = { topics: ["board"], apply: (state, { data }) => [...state, data] };
    const times = { ...TIMES, backoff: 10, backoffMax: 10 };
    const state = new LiveState(sessionEvents, times, fetchSnapshot, options);
    const begun = state.begin(new Set(known ? ["board"] : []));
    const deliver = () => {
      if (!listens || sent >= head) return;
      tally.waited += asked.length > 0;
      sent += 1;
      tell("event", { topic: "board", cursor: at(sent), data: sent });
    };
    for (let step = 0; step < 60; step += 1) {
      const dice = random();
      if (dice < 0.3) head += 1;
      else if (dice < 0.6) deliver();
      else if (dice < 0.66 && listens && sent < head) {
        tally.gaps += 1;
        const from = at(sent);
        sent += 1 + below(head - sent);
        tell("gap", { from, to: at(sent) });
      } else if (dice < 0.7 && listens) {
        // Another connection of the client has not taken events that this one was sent after.
        tally.late += 1;
        tell("gap", { from: at(0), to: at(below(sent + 1)) });
      } else if (dice < 0.87 && asked.length > 0) {
        const { snapshot, resolve, reject } = asked.shift();
        const fails = state.value !== undefined && random() < 0.2;
        tally.failed += fails;
        if (fails) reject(new Error("the application failed"));
        else resolve(snapshot);
      } else mock.timers.tick(10);
      await settle();
      assert.deepEqual(state.value ?? [], upTo(state.value?.length ?? 0), `seed ${seed}`);
    }
    while (state.stale || sent < head) {
      deliver();
      asked.shift()?.resolve({ cursor: at(head), state: upTo(head) });
      mock.timers.tick(10);
      await settle();
    }
    await begun;
    assert.deepEqual(state.value, upTo(head), `seed ${seed}`);
    state.close();
  }
  for (const [name, count] of Object.entries(tally)) assert.ok(count > 25, `${name}: ${count}`);
});
