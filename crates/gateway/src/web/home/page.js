// The demo page: who is here, the messages sent and received, and the transport. The page itself
// implements presence over a topic; the gateway is not aware of it. Every message carries its
// sender's number, so that the ledger can find missing and duplicate messages. Messages of other
// clients are only shown as text.

import "./ringway.js";

const LOBBY = "lobby";
const HELLO_MS = 10_000;
const GONE_MS = 35_000; // three hellos and a half
const STREAM_MS = 50; // 20 events a second
const ROWS_MAX = 250;
const TICKS_MAX = 240;
const TITLES = {
  websocket: "WebSocket",
  sse: "Server-Sent Events",
  "long-poll": "Long-poll",
  poll: "Poll",
  iframe: "Streamed frame",
};

const $ = (id) => document.getElementById(id);

/** An element with properties, a class and children; text is never read as HTML. */
function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** The end of a cursor, for people to compare. */
const short = (cursor) => (cursor ? `#${Number(cursor.split("-")[1])}` : "\u2013");
const names = (text) =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);

/** Numbers seen, by sender and stream: those that were skipped, and those that arrived twice. */
class Ledger {
  received = 0;
  doubled = 0;
  missing = 0;
  #last = new Map();

  take(stream, number) {
    const last = this.#last.get(stream);
    this.received += 1;
    if (last !== undefined && number <= last) {
      this.doubled += 1;
      return;
    }
    // Numbers before the first one were sent before this page listened.
    if (last !== undefined) this.missing += number - last - 1;
    this.#last.set(stream, number);
  }

  forget(topic) {
    for (const stream of this.#last.keys()) {
      if (JSON.parse(stream)[2] === `#${topic}`) this.#last.delete(stream);
    }
  }
}

let session;
const ledger = new Ledger();
// A new page starts its numbers again, so the page is part of the stream's name.
const run = Math.random().toString(36).slice(2, 8);
const sent = new Map(); // the last number by recipient (`@bob`) or topic (`#news`)
const people = new Map(); // name -> { at, row }
const chosen = new Set();
const topics = new Set(["news"]);
let streaming;

// ---- timeline ----

let latest; // the row that counts further events of the same kind

function clock() {
  return new Date().toTimeString().slice(0, 8);
}

function row(kind, what, where = "") {
  const time = element("time", "", clock());
  const item = element(
    "li",
    kind,
    time,
    element("div", "what", ...what),
    element("span", "where", ...where),
  );
  $("timeline").prepend(item);
  while ($("timeline").children.length > ROWS_MAX) $("timeline").lastChild.remove();
  $("quiet").hidden = true;
  latest = undefined;
  return item;
}

const note = (text) => row("note", [text]);
const mark = () => element("span", "mark");

function tick(className, transport) {
  const one = element("i", className);
  if (transport) one.dataset.transport = transport;
  $("ribbon").append(one);
  while ($("ribbon").children.length > TICKS_MAX) $("ribbon").firstChild.remove();
}

function heading(from, to) {
  return [
    element("span", "who", from),
    element("span", "arrow", " \u2192 "),
    element("span", "", to),
  ];
}

/** One row for each event; successive events of a stream are counted in one row. */
function heardRow({ from, topic, cursor, data }) {
  const { transport } = session;
  const key = data?.stream && JSON.stringify([from, topic, transport]);
  if (key && latest?.key === key) {
    latest.count += 1;
    latest.text.textContent = `stream: ${latest.count} events, up to number ${data.n}`;
    latest.where.textContent = short(cursor);
    return;
  }
  const text = element("span", "text", key ? `stream: 1 event, number ${data.n}` : said(data));
  const where = element("span", "", short(cursor));
  const item = row(
    "heard",
    [...heading(from ?? "the application", topic ? `#${topic}` : "you"), text],
    [where, mark()],
  );
  item.dataset.transport = transport;
  item.lastChild.title = `${TITLES[transport]}, cursor ${cursor}`;
  if (key) latest = { key, count: 1, text, where };
}

function said(data) {
  if (typeof data?.text === "string") return data.text;
  return typeof data === "string" ? data : JSON.stringify(data);
}

function showLedger(gap) {
  const { received, doubled, missing } = ledger;
  $("received").textContent = received;
  $("doubled").textContent = doubled;
  $("missing").textContent = missing;
  $("cursor").textContent = short(session?.cursor);
  $("cursor").title = session?.cursor ?? "";
  const bad = [missing && `${missing} missing`, doubled && `${doubled} doubled`].filter(Boolean);
  const verdict = bad.length ? "bad" : received ? "good" : "none";
  const words = {
    none: "No events yet",
    good: "Nothing missing, nothing doubled",
    bad: bad.join(", "),
  };
  if ($("verdict").textContent !== words[verdict]) $("verdict").textContent = words[verdict];
  $("verdict").dataset.verdict = verdict;
}

// ---- received events ----

function heard({ detail }) {
  const { from, topic, event, data } = detail;
  if (topic === LOBBY) return presence(from, event, data);
  const to = topic ? `#${topic}` : `@${session.client}`;
  const number = topic ? data?.n : data?.numbers?.[session.client];
  if (Number.isInteger(number)) ledger.take(JSON.stringify([from, data.run, to]), number);
  else ledger.received += 1;
  tick("", session.transport);
  showLedger();
  // The page's own messages are already in the timeline, as sent.
  const own = topic && data?.run === run;
  if (!own) heardRow({ ...detail, data: { ...data, n: number } });
}

function gapHeard({ detail: { from, to } }) {
  const [[epoch, first], [otherEpoch, last]] = [from.split("-"), to.split("-")];
  const lost =
    epoch === otherEpoch
      ? `Events after #${Number(first)} up to #${Number(last)} have left the history`
      : "The gateway was restarted, and its earlier history is gone";
  row("gap", [`Gap. ${lost}; the events in it for you are lost.`]);
  tick("gap");
  showLedger();
}
