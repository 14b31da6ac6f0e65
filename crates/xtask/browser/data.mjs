// The same unusual, handwritten data on every transport: a page must receive the value that
// JSON.parse makes of the text, and no data may harm a page.

import { eventually, expect } from "./chromium.mjs";

const TRANSPORTS = ["websocket", "sse", "long-poll", "poll", "iframe"];
const nested = (open, close, depth) => open.repeat(depth) + close.repeat(depth);

/** JSON texts, not values: several of them cannot be written as a value. */
const TEXTS = [
  '{"__proto__":{"admin":true}}',
  '{"__proto__":1,"__proto__":{"admin":true}}',
  '{"a":1,"a":2,"constructor":{"prototype":{"x":1}},"toString":0,"hasOwnProperty":1}',
  nested("[", "]", 128),
  nested('{"a":[', "]}", 60),
  "[1e400,-1e400,-0,0.1,1e-400,123456789012345678901234567890,1E5,-0.0]",
  '"\\ud800 \\udfff \\u0000 \\u2028 \\u2029 \\/ \\b\\f\\n\\r\\t"',
  '"\u2028\u2029\ufeff\u{1d11e}\ufffe"',
  '"</script><script>globalThis.harmed=1</script><!--<script>]]>-->"',
  '{"</script>":"${globalThis.harmed=1}`\'\\"\\\\"}',
  '{"":"","\\u0000":null," ":[[],{},"",0,false]}',
  '"&lt;&amp;\\u003c/script\\u003e"',
  ' { "spaces" :\t[ 1 ,\r2 ] } ',
  "true",
  "null",
  JSON.stringify("x".repeat(20_000)),
];

/** Describes a value, including what `JSON.stringify` hides: -0, and a key named `__proto__`. */
function describe(value) {
  if (Object.is(value, -0)) return "-0";
  if (typeof value !== "object" || value === null) return `${typeof value} ${String(value)}`;
  const prototype = Object.getPrototypeOf(value);
  const kind = prototype === Array.prototype ? "array" : prototype === Object.prototype ? "object" : "?";
  const entries = Object.getOwnPropertyNames(value).map(
    (name) => `${JSON.stringify(name)}=${describe(Object.getOwnPropertyDescriptor(value, name).value)}`,
  );
  return `${kind}(${entries.join()})`;
}

async function arrives({ browser, gateway }, transport) {
  const page = await browser.page(gateway);
  const client = `data-${transport}`;
  await page.evaluate(
    ([name, way, source]) => {
      const describe = new Function(`${source}; return describe;`)();
      globalThis.received = [];
      globalThis.session = new Ringway("/", { client: name, transports: [way], interval: 200 });
      session.addEventListener("event", ({ detail }) => received.push(describe(detail.data)));
    },
    [client, transport, describe.toString()],
  );
  await eventually(() => page.evaluate(() => session.transport), transport, "transport");
  for (const [index, text] of TEXTS.entries()) {
    // Sent as by a program without our client: the text is not encoded again.
    const answer = await fetch(new URL("send?client=author", gateway), {
      method: "POST",
      body: `{"type":"notify","id":"${client}-${index}","to":["${client}"],"data":${text}}`,
    });
    expect((await answer.json()).type, "ack", `answer to ${text.slice(0, 60)}`);
  }
  const count = () => page.evaluate(() => received.length);
  await eventually(count, TEXTS.length, `events received by ${transport}`);
  const received = await page.evaluate(() => received);
  for (const [index, text] of TEXTS.entries()) {
    expect(received[index], describe(JSON.parse(text)), `${transport}: ${text.slice(0, 60)}`);
  }
  expect(await page.evaluate(() => globalThis.harmed), undefined, "harm done");
  expect(await page.evaluate(() => ({}).admin), undefined, "what all objects inherit");
}

export const data = Object.fromEntries(
  TRANSPORTS.map((transport) => [
    `unusual data arrives on ${transport} as JSON.parse has it`,
    (world) => arrives(world, transport),
  ]),
);
