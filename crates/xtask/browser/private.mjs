// The private API and pages: no page of another origin can publish, whatever a browser lets it send,
// and the dashboard asks for a key.

import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import { eventually, expect, expectTrue } from "./chromium.mjs";

// Chromium's messages about refused requests.
const REFUSED = [/Failed to load resource/, /blocked by CORS policy/, /403/, /421/];

const HTML = `<!doctype html><title>site</title><link rel="icon" href="data:,">`;

/** A page of another origin, under this name for 127.0.0.1. */
async function site(browser, host) {
  const server = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(HTML);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://${host}:${server.address().port}/`;
  const page = await browser.page(url, { announced: REFUSED });
  return { page, leave: () => server.close() };
}

/**
 * A page of an attacker's server, whose name then leads to the private API: to the browser both are
 * one origin, and the API gets the requests as they are.
 */
async function reboundSite(browser, host, listener) {
  const { hostname, port } = new URL(listener);
  const server = createServer((request, response) => {
    if (request.url === "/attack") {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end(HTML);
      return;
    }
    const { method, url: path, headers } = request;
    const passed = ask({ hostname, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(passed);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://${host}:${server.address().port}/attack`;
  const page = await browser.page(url, { announced: REFUSED });
  return { page, leave: () => server.close() };
}

/** Sends events in every way that needs no permission, and in those that need one. */
async function attack(page, listener) {
  return page.evaluate(async (api) => {
    const url = `${api}v1/publish`;
    const event = '{"topic":"pwned","data":1}';
    const sent = [];
    const attempt = async (name, work) => {
      try {
        sent.push(`${name}: ${(await work()) ?? "sent"}`);
      } catch (error) {
        sent.push(`${name}: ${error.name}`);
      }
    };
    const simple = (body, headers = {}) =>
      fetch(url, { method: "POST", mode: "no-cors", body, headers }).then(({ type }) => type);
    await attempt("text", () => simple(event, { "Content-Type": "text/plain" }));
    await attempt("no type", () => simple(new Blob([event])));
    await attempt("bytes", () => simple(new TextEncoder().encode(event)));
    await attempt("query", () => simple(new URLSearchParams({ topic: "pwned", data: "1" })));
    await attempt("keepalive", () =>
      fetch(url, { method: "POST", mode: "no-cors", body: event, keepalive: true }).then(
        ({ type }) => type,
      ),
    );
    await attempt("json", () =>
      fetch(url, { method: "POST", body: event, headers: { "Content-Type": "application/json" } }),
    );
    await attempt("beacon", () => navigator.sendBeacon(url, new Blob([event])));
    await attempt("delete", () => fetch(`${api}v1/clients/victim`, { method: "DELETE" }));
    const form = (name, action, enctype, fields) =>
      attempt(
        name,
        () =>
          new Promise((done) => {
            const frame = document.createElement("iframe");
            frame.name = name;
            document.body.append(frame);
            const made = document.createElement("form");
            Object.assign(made, { method: "POST", action, enctype, target: name });
            for (const [key, value] of Object.entries(fields)) {
              const input = document.createElement("input");
              Object.assign(input, { name: key, value });
              made.append(input);
            }
            document.body.append(made);
            frame.onload = () => done();
            made.submit();
            setTimeout(done, 2000);
          }),
      );
    // A form of plain text whose body is valid JSON.
    await form("form", url, "text/plain", { '{"topic":"pwned","data":"': '"}' });
    await form("coded", url, "application/x-www-form-urlencoded", { topic: "pwned", data: "1" });
    const revoke = `${api}v1/clients/victim/revoke?until=9999999999999`;
    await form("revoke", revoke, "multipart/form-data", { a: "b" });
    return sent;
  }, listener);
}

async function history(listener) {
  const answer = await fetch(`${listener}v1/topics/pwned/history`);
  return (await answer.json()).events.length;
}

/** Publishes as a page of this origin; the status. */
function publishes(page) {
  return page.evaluate(async () => {
    const headers = { "Content-Type": "application/json" };
    const body = '{"topic":"pwned","data":"own"}';
    return (await fetch("/v1/publish", { method: "POST", headers, body })).status;
  });
}

export const privateApi = {
  async "a page of another origin cannot publish"({ browser, gateway, listener }) {
    const before = await history(listener);
    for (const host of ["127.0.0.1", "localhost", "rebound.example"]) {
      const { page, leave } = await site(browser, host);
      const sent = await attack(page, listener);
      leave();
      const opaque = sent.filter((line) => line.endsWith(": opaque"));
      expectTrue(opaque.length >= 5, `the requests of ${host} were answered: ${sent.join(", ")}`);
      expect(await history(listener), before, `events after the requests of ${host}`);
    }
    const stream = await fetch(`${gateway}poll?client=victim&wait=0`);
    expect(stream.status, 200, "nobody has revoked the client");
    // The same is possible for a page of the gateway itself, so the test can fail.
    const own = await browser.page(listener);
    expect(await publishes(own), 200, "the gateway's own page");
    expect(await history(listener), before + 1, "its event");
  },

  async "a name that leads to the private API by rebinding is refused"({ browser, listener }) {
    const before = await history(listener);
    for (const [host, status] of [
      ["rebound.example", 421],
      ["localhost", 200],
    ]) {
      const { page, leave } = await reboundSite(browser, host, listener);
      expect(await publishes(page), status, `the status for ${host}`);
      leave();
    }
    expect(await history(listener), before + 1, "events");
  },

  async "the dashboard asks for a key"({ browser, keyed }) {
    const page = await browser.page(keyed.url, { announced: [/Failed to load resource.*401/] });
    const isAsked = () => page.locator("#ask").isVisible();
    await eventually(isAsked, true, "whether the key is asked for");
    await page.fill("#key", keyed.key);
    await page.click("#use");
    const state = () => page.locator("#state").textContent();
    await eventually(state, (text) => text.startsWith("running on"), "the state with a key");
    expect(await isAsked(), false, "whether the key is still asked for");
  },
};
