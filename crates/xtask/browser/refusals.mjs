// A page of another origin that exceeds a limit of the gateway must learn the limit and its
// configuration key, at once and on every transport, instead of retrying for ever.

import { createServer } from "node:http";
import { once } from "node:events";
import { eventually, expect, expectTrue } from "./chromium.mjs";

// Chromium's messages about a refused request.
const REFUSED = [/Failed to load resource/, /WebSocket connection to .* failed/];

/** A page of another origin that uses the gateway's client. */
async function foreignPage(browser, gateway, announced = []) {
  const script = new URL("ringway.js", gateway);
  const site = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    const icon = `<link rel="icon" href="data:,">`;
    response.end(`<!doctype html><title>site</title>${icon}<script src="${script}"></script>`);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  const page = await browser.page(`http://127.0.0.1:${site.address().port}/`, { announced });
  return { page, leave: () => site.close() };
}

async function isToldTheLimit({ browser, open }, transport) {
  const { page, leave } = await foreignPage(browser, open, REFUSED);
  const close = await page.evaluate(
    ([url, name]) => {
      const topics = Array.from({ length: 150 }, (_, number) => `t${number}`);
      const made = new Ringway(url, { client: "greedy", topics, transports: [name] });
      let error;
      made.onerror = ({ detail }) => (error = detail);
      const closed = new Promise((done) => {
        made.onclose = ({ code, reason }) => done({ code, reason, error });
      });
      const late = new Promise((done) => setTimeout(() => done("no close"), 10_000));
      return Promise.race([closed, late]);
    },
    [open, transport],
  );
  leave();
  expect(close.code, 1008, `the code on ${transport}, told ${JSON.stringify(close)}`);
  const text = /at most 100 topics per client \(clients\.subscriptions_max\)/;
  expectTrue(text.test(close.reason), `the limit in '${close.reason}'`);
  const { key, limit } = close.error;
  expect(`${key} = ${limit}`, "clients.subscriptions_max = 100", `the fields on ${transport}`);
}

async function isServed({ browser, open }, transport) {
  const { page, leave } = await foreignPage(browser, open);
  const client = `guest-${transport}`;
  await page.evaluate(
    ([url, name, way]) => {
      globalThis.session = new Ringway(url, { client: name, transports: [way], interval: 200 });
      globalThis.heard = [];
      session.addEventListener("event", ({ detail }) => heard.push(detail.data));
    },
    [open, client, transport],
  );
  await eventually(() => page.evaluate(() => session.transport), transport, "transport");
  await page.evaluate((name) => session.notify([name], "to myself"), client);
  await eventually(() => page.evaluate(() => heard.at(-1)), "to myself", "the newest");
  await page.evaluate(() => session.close());
  leave();
}

const onEach = (transports, run) => async (world) => {
  for (const transport of transports) await run(world, transport);
};

const ALL = ["websocket", "sse", "long-poll", "poll", "iframe"];

export const refusals = {
  "a page of an allowed origin is served on every transport": onEach(ALL, isServed),
  // An iframe reports nothing to its page, so the session learns of the failure by silence.
  "a page that asks for too much is told the limit": onEach(ALL.slice(0, 4), isToldTheLimit),

  async "a page of another origin is refused on every transport"({ browser, gateway }) {
    const announced = [...REFUSED, /blocked by CORS policy/];
    const { page, leave } = await foreignPage(browser, gateway, announced);
    const opened = await page.evaluate(async (url) => {
      const made = new Ringway(url, { client: "bob", backoff: 10 });
      return new Promise((done) => {
        made.onopen = () => done(true);
        setTimeout(() => done(false), 3000);
      });
    }, gateway);
    leave();
    expect(opened, false, "whether the page could take bob's place");
  },
};
