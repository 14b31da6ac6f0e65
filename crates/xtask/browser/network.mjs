// A page on a dead network: its connections get no answers any more, and no FIN or reset. It must
// notice within seconds, say so, and miss nothing when the network is back.

import { Desk, eventually, expect, expectTrue, pause } from "./chromium.mjs";
import { Proxy } from "./proxy.mjs";

const TITLES = { websocket: "WebSocket", sse: "Server-Sent Events", "long-poll": "Long-poll" };
// Chromium's messages about requests without a network.
const OFFLINE = [/Failed to load resource: net::ERR_/, /WebSocket connection to .* failed/];
// Three seconds for the answer to a probe, and the rest for a busy machine; the heartbeat alone takes 35.
const NOTICED_MS = 10_000;

let serial = 0;

/** How long it takes until the status of a desk begins with one of these words. */
async function statusWithin(desk, words) {
  const began = Date.now();
  const isThere = (status) => words.some((word) => status.startsWith(word));
  await eventually(() => desk.text("#status"), isThere, `status of ${desk.name}`);
  const took = Date.now() - began;
  expectTrue(took < NOTICED_MS, `${words.join(" or ")} within ${NOTICED_MS} ms, it took ${took}`);
}

/** A person on a transport behind a separate proxy. */
async function behindProxy({ browser, gateway }, transport) {
  const proxy = new Proxy(gateway);
  serial += 1;
  const name = `mobile-${serial}`;
  const desk = await Desk.join(browser, await proxy.start(), name, { announced: OFFLINE });
  if (transport !== "websocket") await desk.use(transport, TITLES[transport]);
  return { proxy, desk };
}

async function noticesOffline(world, transport) {
  const { proxy, desk } = await behindProxy(world, transport);
  proxy.die();
  await desk.page.context().setOffline(true);
  await statusWithin(desk, ["Offline"]);
  const speaker = await Desk.join(world.browser, world.gateway, `speaker-${desk.name}`);
  await speaker.sendTo([desk.name], "while you were away");
  proxy.mend();
  await desk.page.context().setOffline(false);
  await statusWithin(desk, ["Connected"]);
  await eventually(() => desk.number("#received"), 1, "events that were sent meanwhile");
  expect(await desk.number("#missing"), 0, "missing");
  proxy.stop();
}

async function noticesWhenShown(world, transport) {
  const { proxy, desk } = await behindProxy(world, transport);
  proxy.die();
  // Longer than a probe takes: a connection that has just received something is not in doubt.
  await pause(3_500);
  expect(await desk.text("#status"), "Connected", "nothing shows the failure yet");
  await desk.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await statusWithin(desk, ["Reconnecting", "Offline"]);
  proxy.mend();
  await statusWithin(desk, ["Connected"]);
  proxy.stop();
}

const together = (work) => (world) =>
  Promise.all(Object.keys(TITLES).map((transport) => work(world, transport)));

export const network = {
  "an offline page is noticed within seconds on every transport": together(noticesOffline),
  "a dead link is noticed within seconds when the page is shown": together(noticesWhenShown),
};
