// Pages that the gateway serves over TLS: all of their requests are encrypted, and their clients are
// known by a cookie. A page of another origin gains nothing from that cookie.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { eventually, expect, expectTrue } from "./chromium.mjs";

const ALL = ["websocket", "sse", "long-poll", "poll", "iframe"];
const REFUSED = [/WebSocket connection to .* failed/, /Failed to load resource/];

/** A token as an application makes it (RFC 7519, HS256). */
function token(secret, client) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 60;
  const claims = { sub: client, exp, ringway: { notify: [client] } };
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** A page whose context has the cookie of this client. */
function visit(browser, { url, secret }, client, page = url, announced = []) {
  const cookie = { name: "ringway_token", value: token(secret, client), url };
  // Sent with requests of other sites, too, so that only the gateway stands in their way.
  const cookies = [{ ...cookie, httpOnly: true, secure: true, sameSite: "None" }];
  return browser.page(page, { ignoreHTTPSErrors: true, cookies, announced });
}

async function isKnown({ browser, secure }, transport) {
  const client = `known-${transport}`;
  const page = await visit(browser, secure, client);
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await page.evaluate((way) => {
    globalThis.session = new Ringway("/", { transports: [way], interval: 200 });
    globalThis.heard = [];
    session.addEventListener("event", ({ detail }) => heard.push(detail.data));
  }, transport);
  await eventually(() => page.evaluate(() => session.transport), transport, "transport");
  await eventually(() => page.evaluate(() => session.client), client, "the client");
  await page.evaluate((name) => session.notify([name], "to myself"), client);
  await eventually(() => page.evaluate(() => heard.at(-1)), "to myself", "the newest");
  if (transport === "websocket") {
    expect(sockets.length, 1, "WebSockets");
    expectTrue(sockets[0].startsWith("wss://"), `${sockets[0]} is encrypted`);
  }
  await page.evaluate(() => session.close());
}

/** Whether a WebSocket of this page opens. */
function opens(page, url) {
  return page.evaluate(
    (address) =>
      new Promise((done) => {
        const socket = new WebSocket(address);
        socket.onopen = () => done(true);
        socket.onerror = () => done(false);
      }),
    url,
  );
}

export const secure = {
  async "a page over TLS is known by its cookie on every transport"(world) {
    for (const transport of ALL) await isKnown(world, transport);
  },

  async "neither a page of another origin nor one without the cookie is let in"(world) {
    const { browser, secure } = world;
    const url = new URL("ws", secure.url.replace(/^https/, "wss")).href;
    expect(await opens(await visit(browser, secure, "ann"), url), true, "with the cookie");
    const site = createServer((request, response) => {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end(`<!doctype html><title>site</title><link rel="icon" href="data:,">`);
    });
    site.listen(0, "127.0.0.1");
    await once(site, "listening");
    const elsewhere = `http://127.0.0.1:${site.address().port}/`;
    const foreign = await visit(browser, secure, "ann", elsewhere, REFUSED);
    expect(await opens(foreign, url), false, "on a page of another origin");
    site.close();
    const options = { ignoreHTTPSErrors: true, announced: REFUSED };
    const stranger = await browser.page(secure.url, options);
    expect(await opens(stranger, url), false, "without the cookie");
  },
};
