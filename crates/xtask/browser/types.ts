// Code that ringway.d.ts must accept or refuse, checked by the TypeScript compiler. Never run.

const session = new Ringway("/", {
  client: "ann",
  token: () => "a token",
  topics: new Set(["news"]),
  transports: ["websocket", "iframe"],
  cursor: "0193c5f2a1b4-0000000000000042",
  heartbeat: 10_000,
});

session.onopen = function () {
  this.send('{"type":"ping"}');
};
session.onmessage = ({ data }) => data.toUpperCase();
session.onclose = ({ code, reason, wasClean }) => console.log(code.toFixed(), reason, wasClean);
session.addEventListener("event", ({ detail: { from, topic, data } }) => {
  const names: (string | undefined)[] = [from, topic];
  console.log(names, data);
});
session.addEventListener("gap", ({ detail: { from, to } }) => console.log(from.length, to.length));
session.addEventListener("transport", ({ detail: { transport, previous } }) => {
  const known: RingwayTransport = previous ?? transport;
  console.log(known);
});

export async function talk(): Promise<RingwayOutcome | undefined> {
  await session.use("poll");
  await session.subscribe("sport", { since: session.cursor ?? undefined });
  await session.subscribe("weather", { last: 50 });
  await session.publish("news", { text: "hello" }, { echo: false, ttl: 0 });
  try {
    const { outcome } = await session.notify(["bob"], 1, { event: "count" });
    return outcome["bob"];
  } catch (error) {
    if ((error as RingwayError).code === "timeout") session.drop();
  }
  const board = await session.getState(
    async (signal) => (await fetch("/board", { signal })).json() as Promise<RingwaySnapshot<string[]>>,
    { topics: ["board"], apply: (names, { data }) => [...names, String(data)] },
  );
  board.value.map((name) => name.toUpperCase());
  const state: 0 | 1 | 2 | 3 = session.readyState;
  if (state === Ringway.OPEN) session.close(3000, "done");
  return undefined;
}

// @ts-expect-error: no such transport
session.use("carrier pigeon");
// @ts-expect-error: data is missing
session.notify("bob");
// @ts-expect-error: how events change it is missing
session.getState(async () => ({ cursor: "", state: 1 }), { topics: "board" });
// @ts-expect-error: no such option
new Ringway("/", { hartbeat: 1 });
// @ts-expect-error: it is read-only
session.readyState = 1;
// @ts-expect-error: text only
session.send(new ArrayBuffer(1));
