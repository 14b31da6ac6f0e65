// One connection of a session, or an attempt at one, by each of the transports. A link says what
// it hears and when it is lost; what to do then is the session's to decide. Once it is over,
// nothing of it is heard any more: a late answer never overwrites a newer one.

const LONG_POLL_S = 25;
// Topics that do not fit into this many characters of the URL are subscribed after the welcome:
// gateways and proxies accept URLs of 8 KiB. A poll can send topics only in its URL.
const TOPICS_CHARACTERS_MAX = 4000;

let frames = 0;

/** Each opens the way down for a link, and returns how to end it and, if it can, how to send. */
const TRANSPORTS = {
  websocket(link) {
    const address = link.address("ws");
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, SUBPROTOCOL);
    socket.onmessage = ({ data }) => link.hear(data);
    socket.onclose = ({ code, reason, wasClean }) =>
      link.break({ code, reason, wasClean }, "poll", { wait: 0 });
    const send = (text) => socket.send(text);
    // A code that is undefined would count as 0.
    const end = (code, reason) =>
      code === undefined ? socket.close() : socket.close(code, reason);
    return { socket, send, end };
  },

  sse(link) {
    const source = new EventSource(link.address("sse", { names: "off" }));
    source.addEventListener("message", ({ data }) => link.hear(data));
    // The browser would come back by itself with the cursor that it knows; the session knows a
    // later one, and when to change the transport instead.
    source.onerror = () => link.break({ reason: "the event stream ended or was refused" }, "sse");
    return { end: () => source.close() };
  },

  iframe(link) {
    const frame = document.createElement("iframe");
    const page = globalThis.location.origin;
    const callback = `ringway_${(frames += 1)}`;
    const isForeign = link.address("stream").origin !== page;
    // A frame of another origin may not call a function of this page; it posts messages.
    const posted = ({ source, data }) =>
      source === frame.contentWindow && link.take(data, JSON.stringify(data));
    const called = (object) => {
      // The stream is a document that never ends: what has been heard is taken out of it.
      frame.contentDocument?.currentScript?.remove();
      // In the frame it was made of the frame's own Object and Array.
      link.take(structuredClone(object), JSON.stringify(object));
    };
    if (isForeign) addEventListener("message", posted);
    else globalThis[callback] = called;
    const parameters = { format: "iframe", ...(isForeign ? { origin: page } : { callback }) };
    frame.hidden = true;
    frame.title = "Ringway stream";
    frame.src = link.address("stream", parameters);
    // A frame that breaks off tells nobody, at least in Chromium: then only silence does.
    frame.onload = () =>
      link.break({ reason: "the streamed page ended or was refused" }, "stream", parameters);
    document.body.append(frame);
    const end = () => {
      frame.remove();
      delete globalThis[callback];
      removeEventListener("message", posted);
    };
    return { end };
  },

  "long-poll": (link) => polling(link, LONG_POLL_S, 0),
  poll: (link) => polling(link, 0, link.times.interval),
};

function checkTransport(name) {
  if (Object.hasOwn(TRANSPORTS, name)) return;
  const known = Object.keys(TRANSPORTS).join(", ");
  throw new TypeError(`Ringway has no transport '${name}'; it has ${known}.`);
}

/** Asks, hears, asks again. Only the answer to the latest question is ever heard. */
function polling(link, waitSeconds, pause) {
  let question = 0;
  let aborter;
  let timer;
  function stop() {
    question += 1;
    aborter?.abort();
    clearTimeout(timer);
  }
  async function get(address, mine, signal) {
    const response = await fetch(address, { cache: "no-store", signal });
    const text = await response.text();
    if (mine !== question) return undefined;
    if (response.ok) return JSON.parse(text);
    return link.lose(refusal(response, text));
  }
  async function ask(seconds = waitSeconds, limit = link.times.open) {
    stop();
    const mine = question;
    const { signal } = (aborter = new AbortController());
    // The first answer comes at once: it takes the place of the other transports' welcome.
    const wait = link.proven ? seconds : 0;
    link.watch(wait * 1000 + limit);
    try {
      await link.renewToken();
      // A poll goes on from a cursor; the last events of a topic are asked for beside it.
      for (const [topic, last] of link.proven ? link.session.awaited() : []) {
        if (mine !== question) return;
        const past = await get(link.session.pastOf(topic, last, link.token), mine, signal);
        if (!past) return;
        link.replay(topic, past.events);
      }
      if (mine !== question) return;
      const answer = await get(link.address("poll", { wait }), mine, signal);
      if (!answer) return;
      link.answer(answer);
      if (mine === question) timer = setTimeout(() => ask(), pause);
    } catch (error) {
      if (mine === question) link.lose({ reason: String(error) });
    }
  }
  ask();
  return { again: () => ask(), probe: () => ask(0, link.times.probe), end: stop };
}

/**
 * Why a stream or a WebSocket was refused, which browsers do not tell. A HEAD request opens no
 * session; only when it is refused is there a body worth reading. Undefined: it was not refused, or
 * not by a gateway.
 */
async function diagnose(address, limit) {
  try {
    const signal = AbortSignal.timeout(limit);
    const options = { cache: "no-store", signal };
    const head = await fetch(address, { ...options, method: "HEAD" });
    if (head.ok) return undefined;
    const response = await fetch(address, options);
    const refused = refusal(response, response.ok ? "" : await response.text());
    return refused.isOurs ? refused : undefined;
  } catch {
    return undefined; // unreachable, which the next attempt will find out, too
  }
}

/**
 * What an HTTP refusal says: a problem of the gateway (RFC 9457), which knows whether another
 * attempt may succeed, or its error object, or neither, from a proxy.
 */
function refusal(response, text) {
  let body;
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    body = {}; // a proxy's own page
  }
  const { status } = response;
  const isOurs = typeof body.temporary === "boolean";
  const permanent = isOurs ? !body.temporary : FINAL_STATUSES.includes(status);
  const reason = body.message ?? body.detail ?? body.title ?? `HTTP status ${status}`;
  const seconds = Number(body.retry_after ?? response.headers.get("Retry-After"));
  const code = body.code ?? `http_${status}`;
  // The configuration key of the limit that was met, and its value.
  const { key, limit } = isOurs || body.type === "error" ? body : {};
  const retryAfter = seconds * 1000 || 0;
  return { status, isOurs, permanent, error: code, reason, key, limit, retryAfter };
}

/** The first topics, as many as an address has room for. */
function thatFit(topics) {
  let left = TOPICS_CHARACTERS_MAX;
  return new Set(
    [...topics].filter((topic) => (left -= encodeURIComponent(topic).length + 7) >= 0),
  );
}

class Link {
  over = false;
  /** It has said something, at `provenAt`. */
  proven = false;
  provenAt = 0;
  /** When it last said something. */
  heardAt = 0;
  /** The gateway's name for the connection; polls have none. */
  connection = undefined;

  /** `session` is what a link may know of its session: `Ringway.#open` lists it. */
  constructor(name, session) {
    this.name = name;
    this.session = session;
    this.times = session.times;
    this.polls = name === "long-poll" || name === "poll";
    this.cursor = session.cursor();
    this.topics = thatFit(session.topics);
    this.watch(this.times.open);
    // Later, so that a transport that fails at once finds its session made.
    queueMicrotask(() => this.start());
  }

  async start() {
    try {
      // A token that is known already costs no delay.
      const renewed = this.renewToken();
      if (renewed) await renewed;
      if (!this.over) this.way = TRANSPORTS[this.name](this);
    } catch (error) {
      this.lose({ reason: String(error) });
    }
  }

  /** Asks the page for a token; a promise when the page's answer is one. */
  renewToken() {
    const token = this.session.token();
    if (typeof token?.then !== "function") {
      this.token = token;
      return undefined;
    }
    return token.then((awaited) => {
      this.token = awaited;
    });
  }

  address(path, extra) {
    const topics = this.polls ? this.session.topics : this.topics;
    return this.session.address(path, { topics, token: this.token, extra });
  }

  hear(text) {
    if (this.over) return;
    let object;
    try {
      object = JSON.parse(text);
    } catch {
      return this.lose({ reason: "what came is not JSON" });
    }
    this.take(object, text);
  }

  /** One object, and its text. */
  take(object, text) {
    if (this.over) return;
    this.heardAt = Date.now();
    this.watch(this.times.silence);
    this.session.hear(this, object, text);
  }

  /** The answer to a poll: events in order, then the cursor after them. */
  answer({ client, cursor, events }) {
    this.heardAt = Date.now();
    this.watch(Infinity);
    if (!this.proven) this.session.hear(this, { type: "welcome", client, cursor });
    for (const object of events) {
      if (this.over) return;
      this.session.hear(this, object, JSON.stringify(object));
    }
    if (!this.over) this.session.hear(this, { type: "pong", cursor });
  }

  /** What is past of a topic. */
  replay(topic, events) {
    for (const object of events) {
      if (this.over) return;
      if (object.topic === topic) this.session.hear(this, object, JSON.stringify(object));
    }
  }

  /** Gives the link up unless something is heard in time. */
  watch(limit) {
    clearTimeout(this.watcher);
    this.givenUpAt = Date.now() + limit;
    const cause = { silent: true, reason: `nothing was heard for ${limit} ms` };
    if (limit < Infinity) this.watcher = setTimeout(() => this.lose(cause), limit);
  }

  /** As `watch`, without more time for a link that has less. */
  doubt(limit) {
    if (Date.now() + limit < this.givenUpAt) this.watch(limit);
  }

  ping(limit = this.times.answer) {
    if (!this.proven || !this.way.send) return;
    this.way.send('{"type":"ping"}');
    this.doubt(limit);
  }

  /**
   * The transport ended by itself, or was refused. Why is only asked where it never worked: when a
   * gateway restarts, its clients shall not come back twice each. A WebSocket's address only speaks
   * WebSocket, so a poll is asked for instead: its parameters are judged alike.
   */
  async break(cause, path, parameters) {
    if (this.over) return;
    const unexplained = !cause.code || cause.code === 1006;
    if (this.proven || !unexplained || this.session.worked(this.name)) return this.lose(cause);
    this.end();
    const refused = await diagnose(this.address(path, parameters), this.times.open);
    this.session.lost(this, { ...cause, ...refused });
  }

  lose(cause) {
    if (this.over) return;
    this.end();
    this.session.lost(this, cause);
  }

  end() {
    this.over = true;
    clearTimeout(this.watcher);
    this.way?.end();
  }
}
