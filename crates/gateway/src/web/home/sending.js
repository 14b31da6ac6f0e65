// What the page sends: to a person, to a topic, and as a stream.

// ---- sending ----

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

/** Sends to the target, with the next number of each stream that it belongs to. */
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
