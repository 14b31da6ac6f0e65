// The demo page as a person sees it: it opens, two people find each other and write, a stream
// survives every transport and every cut, a gap is shown, and the page is accessible.

import { join } from "node:path";
import { Desk, accessibilityFaults, eventually, expect, expectTrue, pause } from "./chromium.mjs";
import { Proxy } from "./proxy.mjs";

const TITLES = [
  ["sse", "Server-Sent Events"],
  ["long-poll", "Long-poll"],
  ["poll", "Poll"],
  ["iframe", "Streamed frame"],
  ["websocket", "WebSocket"],
];
// Chromium's messages about a cut connection.
const CUT = [/Failed to load resource: net::ERR_/, /WebSocket connection to .* failed/];

let serial = 0;
/** A name that no other scenario uses, because the gateway keeps events for absent clients. */
const unique = (name) => `${name}-${(serial += 1)}`;

async function couple({ browser }, urls, options) {
  const [ann, bob] = [unique("ann"), unique("bob")];
  return [
    await Desk.join(browser, urls[0], ann, options),
    await Desk.join(browser, urls[1] ?? urls[0], bob, options),
  ];
}

async function nothingLost(desk, wanted) {
  await eventually(() => desk.number("#received"), wanted, `events that ${desk.name} received`);
  expect(await desk.number("#missing"), 0, `missing at ${desk.name}`);
  expect(await desk.number("#doubled"), 0, `doubled at ${desk.name}`);
  const verdict = await desk.text("#verdict");
  expect(verdict, "Nothing missing, nothing doubled", `verdict of ${desk.name}'s ledger`);
}

/** The number of acknowledged events of the page's stream, once all are acknowledged. */
async function acknowledged(desk) {
  const said = () => desk.rows("said").then(([row]) => row);
  const all = (row) => /(\d+) sent, \1 acknowledged$/.test(row);
  return Number(/(\d+) sent/.exec(await eventually(said, all, `${desk.name}'s stream`))[1]);
}

export const page = {
  async "the page opens and names the client"({ browser, gateway }) {
    const opened = await browser.page(gateway);
    expect(await opened.title(), "Ringway", "title");
    await opened.fill("#name", "ann");
    await opened.press("#name", "Enter");
    const ann = new Desk(opened, "ann");
    await eventually(() => ann.text("#status"), "Connected", "status");
    expect(await ann.text("#in-use"), "WebSocket", "transport");
    expect(
      await ann.text("#nobody"),
      await opened.locator("#nobody").innerText(),
      "empty list, shown",
    );
    await opened.reload();
    await eventually(() => ann.text("#me"), "ann", "name after a reload");
  },

  async "a message reaches a recipient, and the sender is told"(world) {
    const [ann, bob] = await couple(world, [world.gateway]);
    await ann.sees(bob.name);
    await bob.sees(ann.name);
    await ann.page.getByLabel(bob.name).check();
    await ann.sendTo([unique("nobody")], "to one who is here <b>and one</b> who is not");
    await eventually(
      () => bob.rows("heard").then(([row]) => row),
      `${ann.name} \u2192 youto one who is here <b>and one</b> who is not`,
      "bob's newest row",
    );
    const outcomes = () => ann.page.locator("#timeline .outcomes span").allTextContents();
    await eventually(
      () => outcomes().then((words) => words.join("; ")),
      (words) =>
        words.includes(`${bob.name} delivered`) && /nobody-\d+ (queued|offline)/.test(words),
      "outcomes that ann sees",
    );
    await ann.publish("news", "good news");
    await eventually(
      () => bob.rows("heard").then(([row]) => row),
      `${ann.name} \u2192 #newsgood news`,
      "bob's newest row",
    );
    await ann.page.click("#leave");
    await eventually(() => bob.rows("note").then(([row]) => row), `${ann.name} left`, "bob's note");
    // Chromium may hang when it is closed while it loads another page.
    await ann.page.waitForSelector("#join:not([hidden])");
  },

  async "a stream goes through every transport and every cut"(world) {
    const proxy = new Proxy(world.gateway);
    const options = { announced: CUT };
    const [ann, bob] = await couple(world, [await proxy.start(), world.gateway], options);
    await bob.stream("news");
    for (const [transport, title] of TITLES) {
      await ann.use(transport, title);
      await pause(500);
      await ann.page.click("#cut");
      await pause(700);
      proxy.cut();
      await pause(700);
    }
    await bob.page.click("#stream");
    const sent = await acknowledged(bob);
    expectTrue(sent > 100, `a stream of more than 100 events, got ${sent}`);
    await nothingLost(ann, sent);
    await nothingLost(bob, sent);
    proxy.stop();
  },

  async "what a stream through a cut connection says is acknowledged once"(world) {
    const proxy = new Proxy(world.gateway);
    const options = { announced: CUT };
    const [ann, bob] = await couple(world, [await proxy.start(), world.gateway], options);
    await ann.stream("news");
    for (const [transport, title] of TITLES) {
      await ann.use(transport, title);
      await pause(300);
      proxy.cut();
      await pause(500);
    }
    await ann.page.click("#stream");
    await nothingLost(bob, await acknowledged(ann));
    proxy.stop();
  },

  async "a gap is shown"(world) {
    const proxy = new Proxy(world.forgetful);
    const options = { announced: CUT };
    const [ann, bob] = await couple(world, [await proxy.start(), world.forgetful], options);
    await bob.publish("news", "before");
    await eventually(() => ann.number("#received"), 1, "events that ann received");
    proxy.refuses = () => true;
    proxy.cut();
    await bob.stream("news");
    await pause(2500);
    await bob.page.click("#stream");
    const sent = await acknowledged(bob);
    expectTrue(sent > 20, `more events than the history holds, got ${sent}`);
    proxy.mend();
    const gaps = () => ann.rows("gap").then((rows) => rows.length);
    await eventually(gaps, 1, "gaps that ann sees");
    const missing = await eventually(
      () => ann.number("#missing"),
      (number) => number > 0,
      "missing",
    );
    // Before the stream there was one event.
    await eventually(() => ann.number("#received"), sent + 1 - missing, "received beside missing");
    expect(await ann.number("#doubled"), 0, "doubled");
    proxy.stop();
  },

  async "the page can be read, and is photographed"({ browser, gateway, pictures }) {
    const opened = await browser.page(gateway, { reducedMotion: "reduce" });
    await look(opened, "join", pictures);
    const ann = await Desk.join(browser, gateway, unique("ann"), { reducedMotion: "reduce" });
    await look(ann.page, "empty", pictures);
    await liven(ann, await Desk.join(browser, gateway, unique("bob")));
    await look(ann.page, "desk", pictures);
  },
};

/** Takes a picture of a page in each window and scheme, and checks its accessibility. */
async function look(opened, name, pictures) {
  for (const [width, height] of [
    [1280, 900],
    [380, 800],
  ]) {
    for (const colorScheme of ["light", "dark"]) {
      await opened.setViewportSize({ width, height });
      await opened.emulateMedia({ colorScheme });
      const path = join(pictures, `${name}-${width}-${colorScheme}.png`);
      await opened.screenshot({ path, fullPage: true });
      const looks = `${name}, ${width} wide, ${colorScheme}`;
      expect(await accessibilityFaults(opened), [], `accessibility of ${looks}`);
      const content = await opened.evaluate(() => document.documentElement.scrollWidth);
      expect(content, width, `width of the content of ${looks}`);
    }
  }
}

/** Brings every element that can be shown onto ann's page. */
async function liven(ann, bob) {
  await ann.sees(bob.name);
  await ann.page.getByLabel(bob.name).check();
  await ann.sendTo([unique("zed")], "Are you there?");
  await bob.sendTo([ann.name], "Yes, on the other side of the ring.");
  await bob.stream("news");
  for (const [transport, title] of TITLES) {
    await ann.use(transport, title);
    await pause(transport === "poll" ? 1300 : 400);
  }
  await ann.page.click("#cut");
  await pause(600);
  await bob.page.click("#stream");
  await ann.page.evaluate(() => {
    // A gap on demand: the gateway of this scenario forgets nothing.
    const detail = { from: "0193c5f2a1b4-0000000000000042", to: "0193c5f2a1b4-0000000000000099" };
    globalThis.ringwaySession.dispatchEvent(new CustomEvent("gap", { detail }));
  });
  await ann.publish("news", "Good news for everybody who listens");
  await pause(300);
}
