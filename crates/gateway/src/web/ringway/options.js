// The inputs of a session: its options and their defaults, the URL, the arguments of close. Pure:
// it throws the errors of the WebSocket standard, and a TypeError for features of Ringway only.

const BEST_FIRST = ["websocket", "sse", "long-poll", "poll"];

// Milliseconds, as everywhere in a browser. Each may be given as an option.
const TIMES = {
  heartbeat: 25_000, // proxies commonly cut a connection that is silent for 60 s
  answer: 10_000, // from a heartbeat to the next byte, or the connection counts as dead
  probe: 3_000, // the same if the connection is in doubt, as after a change of networks
  silence: 60_000, // time without any byte; the gateway sends a heartbeat every 25 s
  open: 5_000, // to the first object: a proxy that buffers shows as silence
  request: 15_000, // to the answer to notify and other requests, reconnects included
  interval: 2_000, // between two polls
  backoff: 500, // doubled at each attempt
  backoffMax: 30_000,
  stable: 10_000, // a connection that lived this long counts as good
  better: 30_000, // until a better transport is tried again; doubled at each failure
  betterMax: 600_000,
};

/** The number of a topic's last events that are requested, if any. */
function checkLast(last) {
  if (last === undefined || (Number.isInteger(last) && last > 0)) return;
  throw new TypeError("Ringway's option 'last' is a number of events, from 1 on.");
}

/** Where a WebSocket shows the token. */
function checkAuth(auth) {
  if (auth === "query" || auth === "message") return;
  throw new TypeError("Ringway's option 'auth' is 'query' or 'message'.");
}

const REASON_BYTES_MAX = 123; // RFC 6455 §5.5: 125 bytes less the code

/** The times of a session: the defaults, overridden by the page's options. */
function checkedTimes(given) {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(TIMES, name)) throw new TypeError(unknownOption(name));
    if (!(value >= 0)) throw new TypeError(`Ringway's option '${name}' is a number of milliseconds.`);
  }
  return { ...TIMES, ...given };
}

function unknownOption(name) {
  const known = ["client", "token", "auth", "topics", "last", "transports", "cursor", ...Object.keys(TIMES)];
  return `Ringway has no option '${name}'; it has ${known.join(", ")}.`;
}

function checkClose(code, reason) {
  if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
    const message = `The close code must be 1000 or 3000 to 4999; ${code} is neither.`;
    throw new DOMException(message, "InvalidAccessError");
  }
  if (utf8Length(reason) > REASON_BYTES_MAX) {
    const message = `The close reason must be at most ${REASON_BYTES_MAX} bytes of UTF-8.`;
    throw new DOMException(message, "SyntaxError");
  }
}

function parseUrl(url) {
  if (typeof url === "object" && !(url instanceof URL)) {
    const example = 'new Ringway("/", { client: "ann" })';
    throw new TypeError(`Ringway takes its options after the URL: ${example}.`);
  }
  const fault = `The URL '${url}' must be http(s) or ws(s), without a fragment.`;
  const page = globalThis.location?.href;
  if (!URL.canParse(url, page)) throw new DOMException(fault, "SyntaxError");
  const base = new URL(url, page);
  if (!/^(https?|wss?):$/.test(base.protocol) || base.hash) {
    throw new DOMException(fault, "SyntaxError");
  }
  base.protocol = base.protocol.replace("ws", "http");
  return base;
}
