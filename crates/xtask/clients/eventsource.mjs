// Tests npm's `eventsource`, which is a browser's `EventSource` for Node, against the gateway's
// `/sse`: ids, names, and resuming by itself when the gateway ends the response. Exits with 1 at
// a mismatch. Never connects to anything but the gateway given by its two arguments.

import { EventSource } from "eventsource";

const CHECK_LIMIT_MS = 60_000;
const ROUNDS = 5;
const EVENTS_EACH = 40;

const [, , edge, api] = process.argv;
if (!edge || !api) {
  console.error("usage: node eventsource.mjs http://HOST:PORT/ API_HOST:PORT");
  process.exit(1);
}

class Mismatch extends Error {}

function expect(actual, wanted, what) {
  const [one, other] = [actual, wanted].map((value) => JSON.stringify(value));
  if (one !== other) throw new Mismatch(`${what}: expected ${other}, got ${one}`);
}

/** Received items in order, awaited one at a time. */
class Arrivals {
  #come = [];
  #waiting = [];

  push(message) {
    const wanted = this.#waiting.shift();
    if (wanted) wanted(message);
    else this.#come.push(message);
  }

  async next() {
    return this.#come.shift() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function listen(query, names) {
  const source = new EventSource(`${edge}sse?${new URLSearchParams(query)}`);
  const arrivals = new Arrivals();
  for (const name of ["message", ...names]) {
    source.addEventListener(name, (message) => arrivals.push(message));
  }
  return { source, arrivals };
}

async function post(url, body) {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  expect(response.status, 200, `status of ${JSON.stringify(body)}`);
  return response.json();
}

async function receives(arrivals, name, wanted) {
  const message = await arrivals.next();
  const object = JSON.parse(message.data);
  expect(message.type, name, `name of ${message.data}`);
  if (name !== "gap") expect(message.lastEventId, object.cursor, `id of ${message.data}`);
  for (const [field, value] of Object.entries(wanted)) {
    expect(object[field], value, `${field} of ${message.data}`);
  }
  return object;
}

async function namesAndIds() {
  const query = { client: "bob 👍", topic: "names" };
  const { source, arrivals } = listen(query, ["welcome", "chat"]);
  await receives(arrivals, "welcome", { client: "bob 👍" });
  const sender = `${edge}send?client=ann`;
  const data = { text: "zwei\nZeilen \u{1d11e}" };
  const ack = await post(sender, {
    type: "notify", id: "1", to: ["bob 👍", "carl"], event: "chat", data,
  });
  expect(ack.outcome, { "bob 👍": "delivered", carl: "queued" }, "outcome");
  await receives(arrivals, "chat", { from: "ann", data, cursor: ack.cursor });
  await post(sender, { type: "publish", id: "2", topic: "names", data: 2 });
  await receives(arrivals, "message", { topic: "names", data: 2 });
  source.close();
}

/** The gateway ends the response; the client reconnects by itself, with its Last-Event-ID. */
async function resumes() {
  const query = { client: "dora", topic: "numbers" };
  const { source, arrivals } = listen(query, ["welcome", "gap"]);
  await receives(arrivals, "welcome", { client: "dora" });
  const publish = (id) =>
    post(`${edge}send?client=ann`, { type: "publish", id: `n${id}`, topic: "numbers", data: id });
  let [published, seen] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    for (let count = 0; count < EVENTS_EACH; count++) await publish(published++);
    // The connection is cut while some of these are in flight.
    const closed = await fetch(`http://${api}/v1/clients/dora`, { method: "DELETE" });
    expect((await closed.json()).closed, 1, "connections that were closed");
    for (let count = 0; count < EVENTS_EACH; count++) await publish(published++);
    while (seen < published) {
      const message = await arrivals.next();
      if (message.type === "welcome") continue;
      expect(message.type, "message", "what comes after a cut");
      expect(JSON.parse(message.data).data, seen++, "the next number");
    }
  }
  source.close();
}

let failed = false;
for (const check of [namesAndIds, resumes]) {
  const limit = setTimeout(() => {
    console.error(`eventsource: FAILED ${check.name}: not done in ${CHECK_LIMIT_MS} ms`);
    process.exit(1);
  }, CHECK_LIMIT_MS);
  try {
    await check();
  } catch (error) {
    console.error(`eventsource: FAILED ${check.name}: ${error.message}`);
    failed = true;
  }
  clearTimeout(limit);
}
if (!failed) {
  console.log(`eventsource: 2 checks, ${ROUNDS} cuts, ${ROUNDS * EVENTS_EACH * 2} events resumed`);
}
process.exit(failed ? 1 : 0);
