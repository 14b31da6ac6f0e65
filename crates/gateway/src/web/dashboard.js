"use strict";
// Reads the same text as Prometheus does, every two seconds; keeps two minutes of it.
const INTERVAL_MS = 2000, KEPT = 60;

const LINES = [
  ["Connections", (now) => sum(now, "ringway_connections"), ""],
  ["Events in", (now, rate) => rate("ringway_events_total"), "/s"],
  ["Deliveries", (now, rate) => rate("ringway_deliveries_total"), "/s"],
  ["Bytes in", (now, rate) => rate("ringway_received_bytes_total"), "B/s"],
  ["Fell behind", (now, rate) => rate("ringway_lagged_total"), "/s"],
  ["Gaps", (now) => sum(now, "ringway_gaps_total"), ""],
];
const TABLES = [
  ["Clients by transport", "ringway_sessions", ""],
  ["Memory by component", "ringway_memory_bytes", "B"],
  ["Connections refused", "ringway_refused_total", ""],
  ["Requests refused", "ringway_refused_requests_total", ""],
];

/** Metric name -> list of [label text, value]. */
function parse(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const label = /="((?:[^"\\]|\\.)*)"/.exec(found[2] ?? "")?.[1] ?? "";
    if (!metrics.has(found[1])) metrics.set(found[1], []);
    metrics.get(found[1]).push([label, Number(found[3])]);
  }
  return metrics;
}

const sum = (metrics, name) => (metrics.get(name) ?? []).reduce((all, [, value]) => all + value, 0);

function shown(value, unit) {
  const steps = unit.startsWith("B") ? [["Gi", 2 ** 30], ["Mi", 2 ** 20], ["Ki", 2 ** 10]]
    : [["G", 1e9], ["M", 1e6], ["k", 1e4]];
  const step = steps.find(([, size]) => value >= size);
  const size = step?.[0] === "k" ? 1e3 : step?.[1] ?? 1;
  const digits = value / size < 100 && value % size ? 1 : 0;
  return `${(value / size).toFixed(digits)} ${step?.[0] ?? ""}${unit}`.trim();
}

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

const cards = document.getElementById("cards");
const lines = LINES.map(([title, read, unit]) => {
  const card = element("section", undefined, cards);
  element("h2", title, card);
  const value = element("div", "–", card);
  value.className = "value";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.append(path);
  card.append(svg);
  return { read, unit, value, path, past: [] };
});
const tables = TABLES.map(([title, name, unit]) => {
  const card = element("section", undefined, cards);
  card.className = "wide";
  element("h2", title, card);
  return { name, unit, list: element("dl", undefined, card) };
});

let before;

function show(metrics, at) {
  const seconds = before ? (at - before.at) / 1000 : 0;
  const rate = (name) =>
    seconds ? Math.max(0, sum(metrics, name) - sum(before.metrics, name)) / seconds : 0;
  for (const line of lines) {
    const value = line.read(metrics, rate);
    line.value.textContent = shown(value, line.unit);
    line.past = [...line.past, value].slice(-KEPT);
    const most = Math.max(...line.past, 1e-9);
    const start = KEPT - line.past.length;
    const points = line.past.map((past, place) => `${start + place},${1 - past / most}`);
    line.path.setAttribute("points", points.join(" "));
  }
  for (const { name, unit, list } of tables) {
    const rows = metrics.get(name) ?? [];
    const most = Math.max(...rows.map(([, value]) => value), 1);
    list.replaceChildren();
    for (const [label, value] of rows) {
      element("dt", label.replaceAll("_", " "), list);
      const cell = element("dd", shown(value, unit), list);
      element("b", undefined, element("i", undefined, cell)).style.width = `${100 * value / most}%`;
    }
  }
  before = { metrics, at };
}

// Kept by this page alone, until it is closed.
let key;
document.getElementById("use").addEventListener("click", () => {
  key = document.getElementById("key").value;
});

async function tick() {
  const state = document.getElementById("state");
  try {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const signal = AbortSignal.timeout(INTERVAL_MS);
    const answer = await fetch("/metrics", { headers, signal });
    document.getElementById("ask").hidden = ![401, 403].includes(answer.status);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const metrics = parse(await answer.text());
    show(metrics, performance.now());
    const engine = metrics.get("ringway_engine")?.[0]?.[0] ?? "";
    state.textContent = `running on ${engine}`;
    state.className = "";
  } catch (error) {
    state.textContent = `no answer: ${error.message}`;
    state.className = "lost";
    before = undefined;
  }
  setTimeout(tick, INTERVAL_MS);
}
tick();
