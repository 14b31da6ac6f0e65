// Chromium, and the steps of the scenarios. A page that prints anything unexpected on its console
// fails its scenario. Every failure says what was expected.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";

const EVENTUALLY_MS = 15_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export { pause };

export function expect(actual, wanted, what) {
  const [got, should] = [actual, wanted].map((value) => JSON.stringify(value));
  if (got !== should) throw new Error(`${what}: expected ${should}, got ${got}`);
}

export function expectTrue(holds, what) {
  if (!holds) throw new Error(`expected: ${what}`);
}

/** Waits until `read` returns the wanted value, or one that the given function accepts. */
export async function eventually(read, wanted, what) {
  const accepts = typeof wanted === "function" ? wanted : (value) => value === wanted;
  const deadline = Date.now() + EVENTUALLY_MS;
  let value;
  do {
    value = await read();
    if (accepts(value)) return value;
    await pause(50);
  } while (Date.now() < deadline);
  const should = typeof wanted === "function" ? wanted.toString() : JSON.stringify(wanted);
  const got = JSON.stringify(value);
  throw new Error(`${what}: expected ${should} within ${EVENTUALLY_MS} ms, got ${got}`);
}

export class Chromium {
  #browser;
  #contexts = [];
  #complaints = [];

  static async launch() {
    const made = new Chromium();
    // Without a given profile folder, Playwright makes a new one and removes it.
    made.#browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      headless: true,
      args: FLAGS,
    });
    return made;
  }

  /** A page with its own storage, like another person's. */
  async page(url, { announced = [], cookies = [], ...options } = {}) {
    const context = await this.#browser.newContext(options);
    this.#contexts.push(context);
    await context.addCookies(cookies);
    const page = await context.newPage();
    const complain = (text) => {
      if (!announced.some((pattern) => pattern.test(text))) this.#complaints.push(text);
    };
    page.on("pageerror", (error) => complain(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complain(`console: ${message.text()}`);
    });
    await page.goto(url);
    return page;
  }

  /** Closes the scenario's pages; fails if one of them has complained. */
  async endScenario() {
    const complaints = this.#complaints;
    this.#complaints = [];
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
    if (complaints.length)
      throw new Error(`expected a silent console, got: ${complaints.join("; ")}`);
  }

  close() {
    return this.#browser.close();
  }
}

/** The demo page, as a person uses it. */
export class Desk {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  static async join(browser, url, name, options) {
    const desk = new Desk(await browser.page(url, options), name);
    await desk.page.fill("#name", name);
    await desk.page.click("#join-form button");
    await eventually(() => desk.text("#status"), "Connected", `${name}'s status`);
    return desk;
  }

  text(selector) {
    return this.page.locator(selector).first().textContent();
  }

  number(selector) {
    return this.text(selector).then(Number);
  }

  /** Rows of the timeline of one kind, newest first. */
  rows(kind) {
    return this.page.locator(`#timeline > .${kind} .what`).allTextContents();
  }

  async sees(name) {
    const people = this.page.locator("#people .name");
    const list = () => people.allTextContents();
    await eventually(list, (names) => names.includes(name), `people whom ${this.name} sees`);
  }

  async sendTo(names, text) {
    await this.page.locator("input[name=target][value=people]").check();
    await this.page.fill("#others", names.join(", "));
    await this.page.fill("#text", text);
    await this.page.click("#send");
  }

  async publish(topic, text) {
    await this.page.locator("input[name=target][value=topic]").check();
    await this.page.fill("#topic", topic);
    await this.page.fill("#text", text);
    await this.page.click("#send");
  }

  /** Starts or stops 20 events a second to a topic. */
  async stream(topic) {
    await this.page.locator("input[name=target][value=topic]").check();
    await this.page.fill("#topic", topic);
    await this.page.click("#stream");
  }

  async use(transport, title) {
    await this.page.check(`#transports input[value="${transport}"]`);
    await eventually(() => this.text("#in-use"), title, `transport that ${this.name} uses`);
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The violations of the accessibility rules, including contrast (WCAG AA). */
export async function accessibilityFaults(page) {
  // Evaluated, not added as a script: the page's policy allows only its own scripts.
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
    const { violations } = await globalThis.axe.run(document, { runOnly: tags });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id} at ${node.target.join(" ")}: ${node.failureSummary}`),
    );
  });
}
