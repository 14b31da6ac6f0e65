// The pages of the gateway may run their own files, but no inline script or style.

import { accessibilityFaults, eventually, expect, expectTrue } from "./chromium.mjs";

// Chromium's message about a violated policy.
const FORBIDDEN = [/Content Security Policy/];

/** Inserts a script and a style into the page, as an attacker would. */
async function forbids(page) {
  const directives = await page.evaluate(async () => {
    const broken = [];
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) =>
      broken.push(effectiveDirective),
    );
    for (const [name, text] of [
      ["script", "globalThis.injected = true"],
      ["style", "body { display: none }"],
    ]) {
      const element = document.createElement(name);
      element.textContent = text;
      document.body.append(element);
    }
    await new Promise((done) => setTimeout(done, 200));
    return [...new Set(broken)];
  });
  expect(directives, ["script-src-elem", "style-src-elem"], "what the policy has forbidden");
  expect(await page.evaluate(() => globalThis.injected), undefined, "what the script has set");
}

/** Checks a page's policy, and that the unchanged page does not violate it. */
async function opens(browser, url, options) {
  const policy = (await fetch(url)).headers.get("Content-Security-Policy");
  expectTrue(!/unsafe/.test(policy), `nothing unsafe in ${policy}`);
  // A violation of the policy is a complaint of the page, which fails the scenario.
  return browser.page(url, options);
}

export const policies = {
  async "the demo page and the dashboard keep to their policies"({ browser, gateway, listener }) {
    const demo = await opens(browser, gateway);
    await demo.fill("#name", "policed");
    await demo.press("#name", "Enter");
    const said = (page, selector) => () => page.locator(selector).textContent();
    await eventually(said(demo, "#status"), "Connected", "status of the demo page");
    const dashboard = await opens(browser, listener);
    const running = (text) => text.startsWith("running on");
    await eventually(said(dashboard, "#state"), running, "state of the dashboard");
    const display = await dashboard.evaluate(
      () => getComputedStyle(document.querySelector("main")).display,
    );
    expect(display, "grid", "the style of the dashboard");
    expect(await accessibilityFaults(dashboard), [], "accessibility of the dashboard");
  },

  async "nothing runs that was written into a page"({ browser, gateway, listener }) {
    for (const url of [gateway, listener]) {
      await forbids(await opens(browser, url, { announced: FORBIDDEN }));
    }
  },
};
