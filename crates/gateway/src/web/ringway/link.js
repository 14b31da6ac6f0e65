// One connection of a session, or an attempt at one, by any transport. A link reports what it
// receives and when it is lost; the session decides what to do then. After its end a link reports
// nothing more, so a late answer never overwrites a newer one.

const LONG_POLL_S = 25;
// Topics that do not fit into this many characters of the URL are subscribed after the welcome:
// gateways and proxies accept URLs of 8 KiB. A poll can send topics only in its URL.
const TOPICS_CHARACTERS_MAX = 4000;

let frames = 0;

/** Each opens a receiving connection for a link; returns how to end it and, if possible, to send. */
const TRANSPORTS = {
  websocket(link) {
    const shown = link.showsTokenInMessage();
    const address = link.address("ws", shown ? { token: null, auth: "message" } : {});
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, SUBPROTOCOL);
    if (shown) socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token: link.token }));
    socket.onmessage = ({ data }) => link.hear(data);
    socket.onclose = ({ code, reason, wasClean }) => {
      const retryAfter = Number(/come back after (\d+) ms/.exec(reason)?.[1] ?? 0);
      link.break({ code, reason, wasClean, retryAfter }, "poll", { wait: 0 });
    };
    const send = (text) => socket.send(text);
    // An undefined code would be sent as 0.
    const end = (code, reason) =>
      code === undefined ? socket.close() : socket.close(code, reason);
    return { socket, send, end };
  },

  sse(link) {
    const source = new EventSource(link.address("sse", { names: "off" }));
    source.addEventListener("message", ({ data }) => link.hear(data));
    // The browser would reconnect by itself with an older cursor than the session's, and would not
    // change the transport.
    source.onerror = () => link.break({ reason: "the event stream ended or was refused" }, "sse");
    return { end: () => source.close() };
  },

  iframe(link) {
    const frame = document.createElement("iframe");
    const page = globalThis.location.origin;
    const callback = `ringway_${(frames += 1)}`;
    const isForeign = link.address("stream").origin !== page;
    // A frame of another origin may not call functions of this page, so it posts messages.
    const posted = ({ source, data }) =>
      source === frame.contentWindow && link.take(data, JSON.stringify(data));
    const called = (object) => {
      // The stream is a document that never ends, so received scripts are removed from it.
      frame.contentDocument?.currentScript?.remove();
      // The frame made it with its own Object and Array.
      link.take(structuredClone(object), JSON.stringify(object));
    };
    if (isForeign) addEventListener("message", posted);
    else globalThis[callback] = called;
    const parameters = { format: "iframe", ...(isForeign ? { origin: page } : { callback }) };
    frame.hidden = true;
    frame.title = "Ringway stream";
    frame.src = link.address("stream", parameters);
    // A frame that breaks off raises no event, at least in Chromium; only its silence shows it.
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

/** Polls in a loop. Only the answer to the latest poll is used. */
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
      // A poll continues from a cursor; the last events of a topic are requested separately.
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
 * The reason why a stream or a WebSocket was refused, which browsers do not report. A HEAD request
 * opens no session, and only its refusal has a body worth reading. Undefined: it was not refused,
 * or not by a gateway.
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
    return undefined; // unreachable; the next attempt will show it
  }
}

/**
 * The error in an HTTP refusal: a problem of the gateway (RFC 9457), which says whether another
 * attempt may succeed, or its error object, or neither, if a proxy answered.
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
  const limited = isOurs || body.type === "error" ? limitOf(body) : {};
  const retryAfter = seconds * 1000 || 0;
  return { status, isOurs, permanent, error: code, reason, retryAfter, ...limited };
}

/** The first topics, as many as fit into a URL. */
function thatFit(topics) {
  let left = TOPICS_CHARACTERS_MAX;
  return new Set(
    [...topics].filter((topic) => (left -= encodeURIComponent(topic).length + 7) >= 0),
  );
}

class Link {
  over = false;
  /** It has received something, at `provenAt`. */
  proven = false;
  provenAt = 0;
  /** When it last received something. */
  heardAt = 0;
  /** The gateway's name for the connection; polls have none. */
  connection = undefined;

  /** `session` is the part of the session that a link may use: `Ringway.#open` lists it. */
  constructor(name, session) {
    this.name = name;
    this.session = session;
    this.times = session.times;
    this.polls = name === "long-poll" || name === "poll";
    this.cursor = session.cursor();
    this.topics = thatFit(session.topics);
    this.watch(this.times.open);
    // Deferred, so that the session is constructed before a transport can fail.
    queueMicrotask(() => this.start());
  }

  async start() {
    try {
      // A token that is already known causes no delay.
      const renewed = this.renewToken();
      if (renewed) await renewed;
      if (!this.over) this.way = TRANSPORTS[this.name](this);
    } catch (error) {
      this.lose({ reason: String(error) });
    }
  }

  /** Gets a token from the page; a promise if the page returns one. */
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

  /** Whether a WebSocket shows the token in its first message, and not in its URL. */
  showsTokenInMessage() {
    return this.session.auth === "message" && this.token != null;
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
      return this.lose({ reason: "the received text is not JSON" });
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

  /** The past events of a topic. */
  replay(topic, events) {
    for (const object of events) {
      if (this.over) return;
      if (object.topic === topic) this.session.hear(this, object, JSON.stringify(object));
    }
  }

  /** Ends the link unless something arrives in time. */
  watch(limit) {
    clearTimeout(this.watcher);
    this.givenUpAt = Date.now() + limit;
    const cause = { silent: true, reason: `nothing was received for ${limit} ms` };
    if (limit < Infinity) this.watcher = setTimeout(() => this.lose(cause), limit);
  }

  /** As `watch`, but never extends an earlier deadline. */
  doubt(limit) {
    if (Date.now() + limit < this.givenUpAt) this.watch(limit);
  }

  ping(limit = this.times.answer) {
    if (!this.proven || !this.way.send) return;
    this.way.send('{"type":"ping"}');
    this.doubt(limit);
  }

  /**
   * The transport ended by itself, or was refused. The reason is requested only if it never worked:
   * after a gateway's restart each client must not connect twice. A WebSocket's URL serves only
   * WebSocket, so a poll is tried instead: its parameters are checked in the same way.
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
