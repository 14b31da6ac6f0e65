// The demo page: who is here, what is sent and received, and by which transport. Presence is the
// page's own doing, over a topic; the gateway knows nothing of it. Every message carries its
// sender's number, so that the ledger can tell what is missing and what is doubled.
// What other clients send is shown as text only.

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

/** The tail of a cursor that a person can compare. */
const short = (cursor) => (cursor ? `#${Number(cursor.split("-")[1])}` : "\u2013");
const names = (text) =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);

/** Numbers seen, by sender and stream: which were skipped, and which came twice. */
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
    // What came before the first one was sent before this page listened.
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
// Numbers begin anew with the page, so the page is part of the stream's name.
const run = Math.random().toString(36).slice(2, 8);
const sent = new Map(); // the last number by recipient (`@bob`) or topic (`#news`)
const people = new Map(); // name -> { at, row }
const chosen = new Set();
const topics = new Set(["news"]);
let streaming;

// ---- timeline ----

let latest; // the row that further events of the same kind are counted in

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

/** One row an event; those of a stream are counted in one row as long as nothing comes between. */
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

// ---- what comes ----

function heard({ detail }) {
  const { from, topic, event, data } = detail;
  if (topic === LOBBY) return presence(from, event, data);
  const to = topic ? `#${topic}` : `@${session.client}`;
  const number = topic ? data?.n : data?.numbers?.[session.client];
  if (Number.isInteger(number)) ledger.take(JSON.stringify([from, data.run, to]), number);
  else ledger.received += 1;
  tick("", session.transport);
  showLedger();
  // One's own words are in the timeline already, as sent.
  const own = topic && data?.run === run;
  if (!own) heardRow({ ...detail, data: { ...data, n: number } });
}

function gapHeard({ detail: { from, to } }) {
  const [[epoch, first], [otherEpoch, last]] = [from.split("-"), to.split("-")];
  const lost =
    epoch === otherEpoch
      ? `Events after #${Number(first)} up to #${Number(last)} have left the history`
      : "The gateway has started anew, without the history before";
  row("gap", [`Gap. ${lost}; what was in it for you is lost.`]);
  tick("gap");
  showLedger();
}

// ---- who is here ----

function hello(fresh) {
  return session
    .publish(LOBBY, { fresh }, { event: "hello", echo: false, ttl: 30 })
    .catch(() => {});
}

function presence(name, event, data) {
  if (!name || name === session.client) return;
  if (event === "bye") {
    if (people.has(name)) note(`${name} left`);
    return forget(name);
  }
  if (!people.has(name)) {
    people.set(name, { item: person(name) });
    note(`${name} is here`);
  }
  people.get(name).at = Date.now();
  // Who has just come knows nobody: all answer, not all at once.
  if (data?.fresh) setTimeout(() => session.readyState === 1 && hello(false), Math.random() * 500);
  showPeople();
}

function forget(name) {
  people.get(name)?.item.remove();
  people.delete(name);
  chosen.delete(name);
  showPeople();
}

function person(name) {
  const box = element("input");
  box.type = "checkbox";
  box.checked = chosen.has(name);
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(name);
    else chosen.delete(name);
    $("compose").elements.target.value = "people";
    showTarget();
  });
  const title = element("span", "name", name);
  title.title = name;
  const item = element("li", "", element("label", "", box, title, element("span", "age")));
  const after = [...people].find(([other]) => other > name)?.[1].item ?? null;
  $("people").insertBefore(item, after);
  return item;
}

function showPeople() {
  for (const [name, { at, item }] of people) {
    const age = Date.now() - at;
    if (age > GONE_MS) {
      note(`${name} has not been heard of for ${Math.round(age / 1000)} s`);
      return forget(name);
    }
    item.classList.toggle("fresh", age < HELLO_MS * 1.5);
    item.querySelector(".age").textContent = age < 1500 ? "now" : `${Math.round(age / 1000)} s ago`;
  }
  $("people-count").textContent = people.size;
  $("nobody").hidden = people.size > 0;
  showTarget();
}

// ---- what goes ----

function showTarget() {
  const toTopic = $("compose").elements.target.value === "topic";
  $("to-people").hidden = toTopic;
  $("to-topic").hidden = !toTopic;
  const list = [...chosen].flatMap((name, at) => [at ? ", " : "", element("b", "", name)]);
  $("chosen").replaceChildren(...(list.length ? [...list, " and"] : ["Choose in the list, or"]));
}

function target() {
  if ($("compose").elements.target.value === "topic") {
    const topic = $("topic").value.trim();
    return topic ? { topic, label: `#${topic}` } : undefined;
  }
  const to = [...new Set([...chosen, ...names($("others").value)])];
  return to.length ? { to, label: to.join(", ") } : undefined;
}

function next(stream) {
  sent.set(stream, (sent.get(stream) ?? 0) + 1);
  return sent.get(stream);
}

/** Sends to the target; each stream that it goes to counts on. */
function post({ to, topic }, content) {
  if (topic) return session.publish(topic, { ...content, run, n: next(`#${topic}`) });
  const numbers = Object.fromEntries(to.map((name) => [name, next(`@${name}`)]));
  return session.notify(to, { ...content, run, numbers });
}

function problem(text) {
  $("problem").textContent = text;
}

function wanted() {
  const place = target();
  problem(place ? "" : "Choose somebody in the list, or write a name or a topic.");
  return place;
}

async function send(event) {
  event.preventDefault();
  const place = wanted();
  const text = $("text").value.trim();
  if (!place || !text) return $("text").focus();
  $("text").value = "";
  const outcomes = element("span", "outcomes", element("span", "", "sending"));
  const where = element("span", "");
  row("said", [...heading("You", place.label), element("span", "text", text), outcomes], [where]);
  try {
    const { outcome, cursor } = await post(place, { text });
    const words = outcome
      ? Object.entries(outcome).map(([name, of]) => element("span", of, `${name} ${of}`))
      : [element("span", "delivered", "published")];
    outcomes.replaceChildren(...words);
    where.textContent = short(cursor);
  } catch (error) {
    outcomes.replaceChildren(element("span", "failed", `failed: ${error.message}`));
  }
}

function stream() {
  if (streaming) return stopStream();
  const place = wanted();
  if (!place) return;
  const count = { sent: 0, acknowledged: 0, failed: 0 };
  const text = element("span", "text");
  row("said", [...heading("You", place.label), text]);
  const show = () => {
    const failed = count.failed ? `, ${count.failed} failed` : "";
    text.textContent = `stream: ${count.sent} sent, ${count.acknowledged} acknowledged${failed}`;
  };
  const one = () => {
    count.sent += 1;
    post(place, { stream: true })
      .then(
        () => (count.acknowledged += 1),
        () => (count.failed += 1),
      )
      .then(show);
    show();
  };
  streaming = setInterval(one, STREAM_MS);
  $("stream").setAttribute("aria-pressed", "true");
  $("stream").textContent = "Stop";
}

function stopStream() {
  clearInterval(streaming);
  streaming = undefined;
  $("stream").setAttribute("aria-pressed", "false");
  $("stream").textContent = "Stream 20/s";
}

// ---- topics and transports ----

function showTopics() {
  const chip = (topic) => {
    const remove = element("button", "", "\u00d7");
    remove.setAttribute("aria-label", `Unsubscribe from ${topic}`);
    remove.addEventListener("click", () => {
      topics.delete(topic);
      ledger.forget(topic);
      session.unsubscribe(topic).catch((error) => note(`Not unsubscribed: ${error.message}`));
      showTopics();
    });
    return element("li", "", topic, remove);
  };
  $("topics").replaceChildren(element("li", "fixed", LOBBY), ...[...topics].map(chip));
  const option = (topic) => Object.assign(element("option"), { value: topic });
  $("known-topics").replaceChildren(...[...topics].map(option));
}

async function addTopic(event) {
  event.preventDefault();
  const topic = $("topic-name").value.trim();
  if (!topic || topics.has(topic) || topic === LOBBY) return;
  $("topic-name").value = "";
  try {
    await session.subscribe(topic);
    topics.add(topic);
    note(`Subscribed to #${topic}`);
    showTopics();
  } catch (error) {
    note(`Not subscribed to #${topic}: ${error.message}`);
  }
}

async function choose({ target: { value } }) {
  try {
    await session.use(value);
  } catch (error) {
    if (error.code !== "superseded") note(`${TITLES[value]} cannot be used: ${error.message}`);
  }
  showTransport();
}

function showTransport() {
  const { transport } = session;
  $("in-use").textContent = TITLES[transport] ?? "";
  const chip = $("in-use").parentElement;
  chip.dataset.transport = transport ?? "";
  chip.hidden = !transport || session.readyState === 3;
  for (const input of $("transports").querySelectorAll("input")) {
    input.checked = input.value === transport;
  }
}

function state(name, words) {
  document.body.dataset.state = name;
  if ($("status").textContent !== words) $("status").textContent = words;
}

// ---- the session ----

/** A connection may be lost before the browser says that it is offline, or after. */
function showLost() {
  state("lost", navigator.onLine ? "Reconnecting" : "Offline");
}

function join(name) {
  sessionStorage.setItem("ringway.name", name);
  localStorage.setItem("ringway.name", name);
  $("join").hidden = true;
  $("desk").hidden = false;
  document.querySelector(".me").hidden = false;
  $("me").textContent = name;
  document.title = `${name} \u2013 Ringway`;
  state("lost", "Connecting");
  session = new Ringway("./", { client: name, topics: [LOBBY, ...topics], interval: 1000 });
  globalThis.ringwaySession = session; // to play with on the console
  session.addEventListener("open", () => hello(true));
  session.addEventListener("event", heard);
  session.addEventListener("gap", gapHeard);
  session.addEventListener("welcome", () => {
    state("open", "Connected");
    showLedger();
  });
  session.addEventListener("transport", ({ detail: { transport } }) => {
    const item = row("note", [`Now over ${TITLES[transport]}`], [mark()]);
    item.dataset.transport = transport;
    showTransport();
  });
  session.addEventListener("reconnecting", ({ detail: { transport, delay, reason } }) => {
    showLost();
    const when = delay < 100 ? "now" : `in ${(delay / 1000).toFixed(1)} s`;
    note(`Connection lost${reason ? `: ${reason}` : ""}. Next: ${TITLES[transport]}, ${when}`);
    tick("cut");
  });
  session.addEventListener("close", ({ code, reason }) => {
    state("closed", `Closed (${code}${reason ? `, ${reason}` : ""})`);
    stopStream();
    showTransport();
    note(`The session is closed: ${code} ${reason}`);
  });
  showTopics();
  showPeople();
  $("text").focus();
}

/** Says goodbye even while the page goes away, when promises are not waited for. */
function bye() {
  if (!session || session.readyState !== 1) return;
  const farewell = {
    type: "publish",
    id: `bye-${run}`,
    topic: LOBBY,
    event: "bye",
    data: null,
    echo: false,
  };
  const address = `send?client=${encodeURIComponent(session.client)}`;
  navigator.sendBeacon(address, JSON.stringify(farewell));
}

$("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if (name) join(name);
});
$("leave").addEventListener("click", () => {
  bye();
  session.close(1000, "left");
  sessionStorage.removeItem("ringway.name");
  session.addEventListener("close", () => location.replace(location.pathname));
});
$("compose").addEventListener("submit", send);
$("compose").addEventListener("change", showTarget);
$("stream").addEventListener("click", stream);
$("topic-form").addEventListener("submit", addTopic);
$("transports").addEventListener("change", choose);
$("cut").addEventListener("click", () => session.drop());
$("clear").addEventListener("click", () => {
  $("timeline").replaceChildren();
  latest = undefined;
  $("quiet").hidden = false;
});
addEventListener("pagehide", bye);
for (const sign of ["offline", "online"]) {
  addEventListener(sign, () => document.body.dataset.state === "lost" && session && showLost());
}
setInterval(() => {
  if (session) showPeople();
}, 1000);
setInterval(() => {
  if (session?.readyState === 1) hello(false);
}, HELLO_MS);

const asked = new URLSearchParams(location.search).get("client");
const before = asked || sessionStorage.getItem("ringway.name");
$("name").value = before || localStorage.getItem("ringway.name") || "";
if (before) join(before);
