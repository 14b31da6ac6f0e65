// The demo page and every transport of ringway.js, in Chromium, against a real gateway.
// usage: node scenarios.mjs GATEWAY PRIVATE_LISTENER FORGETFUL_GATEWAY FORGETFUL_LISTENER
//                           OPEN_GATEWAY SECURE_GATEWAY SECRET KEYED_LISTENER KEY PICTURES [ONLY]
// Exits with 1 when a scenario fails, after all have run.

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
const [gateway, listener, forgetful, forgetfulListener, open, url, secret, keyedUrl, key, pictures, only = ""] =
  process.argv.slice(2);
if (!pictures) {
  const gateways = "GATEWAY PRIVATE_LISTENER FORGETFUL_GATEWAY FORGETFUL_LISTENER OPEN_GATEWAY SECURE_GATEWAY";
  console.error(`usage: node scenarios.mjs ${gateways} SECRET KEYED_LISTENER KEY PICTURES [ONLY]`);
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
const all = {
  ...page, ...policies, ...transports, ...data, ...network, ...refusals, ...secure, ...privateApi,
};
const scenarios = Object.entries(all).filter(([name]) => name.includes(only));
let failed = 0;
for (const [name, run] of scenarios) {
  const began = Date.now();
  const faults = [];
  const note = (error) => faults.push(error.message);
  const world = {
    browser, gateway, listener, forgetful, forgetfulListener, open, secure: { url, secret },
    keyed: { url: keyedUrl, key }, pictures,
  };
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
console.log(`browser: ${scenarios.length - failed} passed, ${failed} failed`);
process.exit(failed || scenarios.length === 0 ? 1 : 0);
