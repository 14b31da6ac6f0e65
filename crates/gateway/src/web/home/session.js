// The session of the page: its topics, its transport, and how it joins and leaves.

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
  globalThis.ringwaySession = session; // for experiments on the console
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

/** Says goodbye even while the page is closing, when promises are no longer awaited. */
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
