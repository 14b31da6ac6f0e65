// What may run in the pages of the gateway: their own files, and nothing that stands in the page.

import { accessibilityFaults, eventually, expect, expectTrue } from "./chromium.mjs";

// What Chromium says of what a policy forbids.
const FORBIDDEN = [/Content Security Policy/];

/** Puts a script and a style into the page, as somebody would who could write into it. */
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

/** A page as it comes: its policy, and that nothing of it breaks that policy. */
async function opens(browser, url, options) {
  const policy = (await fetch(url)).headers.get("Content-Security-Policy");
  expectTrue(!/unsafe/.test(policy), `nothing unsafe in ${policy}`);
  // Whatever the policy forbids is a complaint of the page, which fails the scenario.
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
