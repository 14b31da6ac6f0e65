// ringway.js in Chromium as a program sees it: each transport delivers events in order; if a proxy
// refuses or swallows one, the next one takes over until the better one works again.

import { eventually, expect, pause } from "./chromium.mjs";
import { Proxy } from "./proxy.mjs";

const FAULTS = [
  /Failed to load resource: net::ERR_/,
  /WebSocket connection to .* failed/,
  /WebSocket is closed before the connection is established/,
];

let serial = 0;

/** A session in a demo page that nobody joined; its events are kept in `heard` and `told`. */
async function session(browser, url, options = {}) {
  const opened = await browser.page(url, { announced: FAULTS });
  serial += 1;
  await opened.evaluate(
    ([made, client]) => {
      globalThis.session = new Ringway("/", { client, topics: ["stream"], interval: 200, ...made });
      globalThis.heard = [];
      globalThis.told = [];
      session.addEventListener("event", ({ detail }) => heard.push(detail.data));
      for (const type of ["open", "transport", "gap", "reconnecting", "close"]) {
        session.addEventListener(type, ({ detail }) =>
          told.push(`${type} ${detail?.transport ?? ""}`),
        );
      }
    },
    [options, `client-${serial}`],
  );
  const transport = () => opened.evaluate(() => session.transport);
  const heard = () => opened.evaluate(() => heard);
  return { page: opened, transport, heard, client: `client-${serial}` };
}

const upTo = (count) => Array.from({ length: count }, (_, index) => index + 1);

/** Publishes 1, 2, 3 … at 20 a second; resolves when all are acknowledged. */
function publish({ page }, topic, count) {
  return page.evaluate(
    async ([to, last]) => {
      const acks = [];
      for (let number = 1; number <= last; number += 1) {
        acks.push(session.publish(to, number));
        await new Promise((done) => setTimeout(done, 50));
      }
      return (await Promise.all(acks)).length;
    },
    [topic, count],
  );
}

async function brings(browser, gateway, transport) {
  const topic = `stream of ${transport}`;
  const listener = await session(browser, gateway, { transports: [transport], topics: [topic] });
  await eventually(listener.transport, transport, "transport");
  const speaker = await session(browser, gateway, { transports: [transport], topics: [] });
  await eventually(speaker.transport, transport, "transport");
  expect(await publish(speaker, topic, 40), 40, "acknowledged");
  await eventually(() => listener.heard().then((all) => all.length), 40, "events heard");
  expect(await listener.heard(), upTo(40), "events, in order");
  const texts = [
    "<script>alert(1)</script>",
    "\u2028 \u2029 & \u{1d11e}",
    "",
    null,
    { deep: [1.5] },
  ];
  for (const text of texts) {
    const to = [listener.client];
    const sent = (data) =>
      speaker.page.evaluate(([names, one]) => session.notify(names, one), data);
    const { outcome } = await sent([to, text]);
    const words = Object.values(outcome);
    // A client that polls is away between two polls.
    const away = transport.endsWith("poll") && words[0] === "queued";
    expect(words, [away ? "queued" : "delivered"], "outcome");
  }
  await eventually(() => listener.heard().then((all) => all.length), 45, "events heard");
  expect((await listener.heard()).slice(40), texts, "data, as it was sent");
  await listener.page.evaluate(() => session.subscribe("another"));
  await speaker.page.evaluate(() => session.publish("another", "subscribed"));
  await eventually(() => listener.heard().then((all) => all.at(-1)), "subscribed", "the newest");
  await listener.page.evaluate(() => session.unsubscribe("another"));
  await speaker.page.evaluate(() => session.publish("another", "unsubscribed"));
  await pause(500);
  expect((await listener.heard()).at(-1), "subscribed", "the newest after unsubscribing");
}

/** A topic's last events come first, for topics from the start and for one subscribed later. */
async function beginsWithTheLast(browser, gateway, transport) {
  const [first, second] = [`first of ${transport}`, `second of ${transport}`];
  const speaker = await session(browser, gateway, { topics: [] });
  await eventually(speaker.transport, "websocket", "transport");
  await publish(speaker, first, 4);
  await publish(speaker, second, 4);
  const options = { transports: [transport], topics: [first], last: 3 };
  const listener = await session(browser, gateway, options);
  await eventually(() => listener.heard().then((all) => all.join()), "2,3,4", "the last three");
  await listener.page.evaluate((topic) => session.subscribe(topic, { last: 2 }), second);
  const heard = () => listener.heard().then((all) => all.join());
  await eventually(heard, "2,3,4,3,4", "the last two of the other topic");
  await speaker.page.evaluate((topic) => session.publish(topic, "new"), first);
  await speaker.page.evaluate((topic) => session.publish(topic, "newer"), second);
  await eventually(heard, "2,3,4,3,4,new,newer", "what is new, once");
  await listener.page.evaluate(() => session.drop());
  await speaker.page.evaluate((topic) => session.publish(topic, "after"), second);
  await eventually(heard, "2,3,4,3,4,new,newer,after", "what came after a cut");
}

/** With this fault, the session must reach this transport by itself. */
async function falls(browser, gateway, fault, wanted, options) {
  const proxy = new Proxy(gateway);
  Object.assign(proxy, fault);
  const fallen = await session(browser, await proxy.start(), { open: 1000, ...options });
  await eventually(fallen.transport, wanted, "transport in use");
  await fallen.page.evaluate(() => session.publish("stream", "through"));
  await eventually(() => fallen.heard().then((all) => all.at(-1)), "through", "the newest");
  return { proxy, fallen };
}

const path =
  (...paths) =>
  (url) =>
    paths.some((one) => url.startsWith(one));

export const transports = {
  "websocket brings events in order": ({ browser, gateway }) =>
    brings(browser, gateway, "websocket"),
  "sse brings events in order": ({ browser, gateway }) => brings(browser, gateway, "sse"),
  "long-poll brings events in order": ({ browser, gateway }) =>
    brings(browser, gateway, "long-poll"),
  "poll brings events in order": ({ browser, gateway }) => brings(browser, gateway, "poll"),
  "iframe brings events in order": ({ browser, gateway }) => brings(browser, gateway, "iframe"),

  async "the last events of a topic come first, on every transport"({ browser, gateway }) {
    for (const transport of ["websocket", "sse", "long-poll", "poll", "iframe"]) {
      await beginsWithTheLast(browser, gateway, transport);
    }
  },

  async "without WebSocket it falls to sse, and climbs back"({ browser, gateway }) {
    const fault = { refuses: path("/ws") };
    const { proxy, fallen } = await falls(browser, gateway, fault, "sse", { better: 1000 });
    proxy.mend();
    await eventually(fallen.transport, "websocket", "transport in use");
    await fallen.page.evaluate(() => session.publish("stream", "climbed"));
    await eventually(() => fallen.heard().then((all) => all.at(-1)), "climbed", "the newest");
    const told = await fallen.page.evaluate(() => told);
    expect(told.filter((one) => one.startsWith("open")).length, 1, "times opened");
    proxy.stop();
  },

  async "without WebSocket and sse it falls to long-poll"({ browser, gateway }) {
    const fault = { refuses: path("/ws", "/sse") };
    (await falls(browser, gateway, fault, "long-poll")).proxy.stop();
  },

  async "when even a held poll is refused it falls to poll"({ browser, gateway }) {
    const held = (url) => /^\/poll\?.*wait=(?!0(&|$))/.test(url);
    const fault = { refuses: (url) => path("/ws", "/sse")(url) || held(url) };
    (await falls(browser, gateway, fault, "poll", { backoff: 100 })).proxy.stop();
  },

  async "where a proxy swallows what comes down it falls to long-poll"({ browser, gateway }) {
    const fault = { swallows: path("/ws", "/sse") };
    (await falls(browser, gateway, fault, "long-poll")).proxy.stop();
  },

  async "an idle client stays young on every stream"({ browser, forgetful }) {
    // Events older than its heartbeats leave the history; none of them were for this client.
    const speaker = await session(browser, forgetful, { topics: [] });
    const idle = {};
    for (const transport of ["websocket", "sse", "iframe"]) {
      idle[transport] = await session(browser, forgetful, { transports: [transport] });
      await eventually(idle[transport].transport, transport, "transport");
    }
    await publish(speaker, "for others", 40);
    await pause(1500);
    for (const [transport, { page, heard }] of Object.entries(idle)) {
      await page.evaluate(() => session.drop());
      await page.evaluate((text) => session.publish("stream", text), transport);
      await eventually(() => heard().then((all) => all.at(-1)), transport, "the newest");
      const told = await page.evaluate(() => told);
      expect(
        told.filter((one) => one.startsWith("gap")),
        [],
        `gaps on ${transport}`,
      );
    }
  },

  async "it is a WebSocket to programs that expect one"({ browser, gateway }) {
    const { page } = await session(browser, gateway);
    const found = await page.evaluate(async () => {
      const made = new Ringway("/", { client: "standard" });
      const thrown = (work) => {
        try {
          work();
        } catch (error) {
          return error.name;
        }
        return "nothing";
      };
      const early = thrown(() => made.send("{}"));
      await new Promise((done) => (made.onopen = done));
      const answered = new Promise((done) => (made.onmessage = done));
      made.send('{"type":"publish","id":"mine","topic":"stream","data":1}');
      const answer = JSON.parse((await answered).data);
      const refused = new Promise((done) => (made.onerror = done));
      made.send('{"type":"dance","id":"x"}');
      const fault = (await refused).detail.code;
      const wrong = [1001, 5000].map((code) => thrown(() => made.close(code)));
      const long = thrown(() => made.close(1000, "x".repeat(124)));
      const closed = new Promise((done) => (made.onclose = done));
      made.close(3001, "bye");
      // The reason is that of the peer's own Close, which repeats the code but not the reason.
      const { code, reason, wasClean } = await closed;
      const close = [made.readyState, code, reason, wasClean];
      const bare = new Ringway("/", { client: "standard" });
      await new Promise((done) => (bare.onopen = done));
      bare.close();
      const codeless = await new Promise((done) => (bare.onclose = (event) => done(event.code)));
      const { url } = made;
      const acknowledged = [answer.type, answer.id];
      return { early, acknowledged, fault, wrong, long, close, codeless, url };
    });
    expect(
      found,
      {
        early: "InvalidStateError",
        acknowledged: ["ack", "mine"],
        fault: "unknown_type",
        wrong: ["InvalidAccessError", "InvalidAccessError"],
        long: "SyntaxError",
        close: [3, 3001, "", true],
        codeless: 1005,
        url: `${gateway.replace("http", "ws")}ws`,
      },
      "the WebSocket standard's contract",
    );
  },

  "a state misses nothing between its snapshot and the events, nor in a gap": async ({
    browser, forgetful, forgetfulListener,
  }) => {
    // The application: it writes its state and then publishes, and takes the cursor before it reads.
    const written = [];
    const ask = async (path, body) => {
      const fields = { "Content-Type": "application/json" };
      const init = body && { method: "POST", headers: fields, body: JSON.stringify(body) };
      const answer = await fetch(new URL(path, forgetfulListener), init);
      expect(answer.status, 200, path);
      return answer.headers.get("Ringway-Cursor");
    };
    const write = async (number) => {
      written.push(number);
      await ask("v1/publish", { topic: "board", data: number });
    };
    const snapshot = async () => {
      const cursor = await ask("metrics");
      await pause(50);
      return { cursor, state: [...written] };
    };
    const opened = await browser.page(forgetful, { announced: FAULTS });
    await opened.exposeFunction("snapshot", snapshot);
    let writing = true;
    const writer = (async () => {
      for (let number = 1; writing; number += 1) await write(number);
    })();
    try {
      await opened.evaluate(async () => {
        globalThis.session = new Ringway("/", { client: "board", transports: ["websocket"] });
        globalThis.gaps = 0;
        session.addEventListener("gap", () => (gaps += 1));
        // Events may be applied to a snapshot that has them already.
        const apply = (numbers, { data }) => (numbers.includes(data) ? numbers : [...numbers, data]);
        globalThis.board = await session.getState(snapshot, { topics: "board", apply });
      });
      await pause(300);
      // The forgetful gateway keeps 16 events, so a session that was away for a while finds a gap.
      for (let drops = 0; drops < 20 && !(await opened.evaluate(() => gaps > 0)); drops += 1) {
        await opened.evaluate(() => session.drop());
        await pause(700);
      }
      expect(await opened.evaluate(() => gaps > 0), true, "a gap");
    } finally {
      writing = false;
      await writer;
    }
    const seen = () => opened.evaluate(() => (board.stale ? "stale" : board.value.length));
    await eventually(seen, written.length, "numbers in the state");
    expect(await opened.evaluate(() => board.value), written, "the state");
  },
};
