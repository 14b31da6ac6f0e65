// The demo page and every transport of ringway.js, in Chromium, against a real gateway.
// usage: node scenarios.mjs GATEWAY FORGETFUL_GATEWAY PICTURES [ONLY]
// Exits with 1 when a scenario fails, after all have run.

import process from "node:process";
import { Chromium } from "./chromium.mjs";
import { page } from "./page.mjs";
import { transports } from "./transports.mjs";

const SCENARIO_LIMIT_MS = 90_000;
const [gateway, forgetful, pictures, only = ""] = process.argv.slice(2);
if (!pictures) {
  console.error("usage: node scenarios.mjs GATEWAY FORGETFUL_GATEWAY PICTURES [ONLY]");
  process.exit(2);
}

const browser = await Chromium.launch();
const scenarios = Object.entries({ ...page, ...transports }).filter(([name]) => name.includes(only));
let failed = 0;
for (const [name, run] of scenarios) {
  const began = Date.now();
  let timer;
  const limit = new Promise((_, reject) => {
    const late = () => reject(new Error(`not done within ${SCENARIO_LIMIT_MS} ms`));
    timer = setTimeout(late, SCENARIO_LIMIT_MS);
  });
  let fault;
  try {
    await Promise.race([run({ browser, gateway, forgetful, pictures }), limit]);
  } catch (error) {
    fault = error;
  }
  clearTimeout(timer);
  await browser.endScenario().catch((error) => (fault ??= error));
  const took = ((Date.now() - began) / 1000).toFixed(1);
  if (fault) {
    failed += 1;
    console.error(`FAILED ${name} (${took} s)\n       ${fault.message}`);
  } else {
    console.log(`passed ${name} (${took} s)`);
  }
}
await browser.close();
console.log(`browser: ${scenarios.length - failed} passed, ${failed} failed`);
process.exit(failed || scenarios.length === 0 ? 1 : 0);
