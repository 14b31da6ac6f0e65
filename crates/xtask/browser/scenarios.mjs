// The demo page and every transport of ringway.js, in Chromium, against a real gateway.
// usage: node scenarios.mjs WORLD GROUP [ONLY]
// WORLD is a JSON object with the gateways and all else that scenarios are given.
// Exits with 1 when a scenario fails, after all of the group have run.

import process from "node:process";
import { Chromium } from "./chromium.mjs";
import { data } from "./data.mjs";
import { network } from "./network.mjs";
import { page } from "./page.mjs";
import { policies } from "./policies.mjs";
import { privateApi } from "./private.mjs";
import { refusals } from "./refusals.mjs";
import { secure } from "./secure.mjs";
import { transports } from "./transports.mjs";

const SCENARIO_LIMIT_MS = 60_000;
const END_LIMIT_MS = 15_000;
// Each group has gateways and a browser of its own. Groups take about the same time.
const GROUPS = {
  page: { ...page, ...policies },
  transports,
  others: { ...data, ...network, ...refusals, ...secure, ...privateApi },
};
const [given, group, only = ""] = process.argv.slice(2);
if (!(group in GROUPS)) {
  console.error(`usage: node scenarios.mjs WORLD ${Object.keys(GROUPS).join("|")} [ONLY]`);
  process.exit(2);
}

/** Fails if the work is not done in time. */
async function within(limit, what, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} is not done within ${limit} ms`)), limit);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const browser = await Chromium.launch();
const scenarios = Object.entries(GROUPS[group]).filter(([name]) => name.includes(only));
let failed = 0;
for (const [name, run] of scenarios) {
  const began = Date.now();
  const faults = [];
  const note = (error) => faults.push(error.message);
  const world = { browser, ...JSON.parse(given) };
  await within(SCENARIO_LIMIT_MS, "the scenario", run(world)).catch(note);
  await within(END_LIMIT_MS, "closing its pages", browser.endScenario()).catch(note);
  const took = ((Date.now() - began) / 1000).toFixed(1);
  if (faults.length) {
    failed += 1;
    console.error(`FAILED ${name} (${took} s)\n       ${faults.join("\n       ")}`);
  } else {
    console.log(`passed ${name} (${took} s)`);
  }
}
await browser.close();
console.log(`${group}: ${scenarios.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
