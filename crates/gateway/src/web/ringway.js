// ringway.js: the browser's side of Ringway, one file without a build step.
//
//   <script src="/ringway.js"></script>   or   import "/ringway.js";
//   const session = new Ringway("/", { client: "ann", topics: ["news"] });
//
// Both forms set globalThis.Ringway; a script that is also a module cannot export. One object is
// one session: it opens once and closes once, as a WebSocket does, and in between it moves from
// connection to connection and from transport to transport. Every connection resumes by cursor.
// It never keeps events for later, never reorders them, and never hides a gap.
(() => {
  "use strict";

  const CONNECTING = 0;
  const OPEN = 1;
  const CLOSING = 2;
  const CLOSED = 3;
  const SUBPROTOCOL = "ringway.v1.json";
  const BEST_FIRST = ["websocket", "sse", "long-poll", "poll"];

  // Milliseconds, as everywhere in a browser. Each may be given as an option.
  const TIMES = {
    heartbeat: 25_000, // proxies commonly cut a connection that is silent for 60 s
    answer: 10_000, // from a heartbeat to any byte at all, else the connection is dead
    silence: 75_000, // a stream that has shown heartbeats is dead after so long without one
    open: 5_000, // to the first object: a proxy that buffers shows as silence
    request: 15_000, // to the answer of notify and its like, reconnects included
    interval: 2_000, // between two polls
    backoff: 500, // doubled at each attempt
    backoffMax: 30_000,
    stable: 10_000, // a connection that lived so long was a good one
    better: 30_000, // until a better transport is tried again; doubled at each failure
    betterMax: 600_000,
  };
  const LONG_POLL_S = 25;
  // A transport that has worked is tried so often before the next one is: more likely the gateway
  // restarts than that a proxy has changed its mind, and a restart must not cost four attempts.
  const ATTEMPTS_OF_A_PROVEN_ONE = 3;
  // More topics than these are subscribed after the welcome, so that the URL stays short.
  const TOPICS_IN_QUERY_MAX = 64;
  const REASON_BYTES_MAX = 123; // RFC 6455 §5.5: 125 bytes less the code
  // Close codes after which another connection would only meet the same fate.
  const FINAL_CODES = [1000, 1002, 1003, 1007, 1008, 1009, 1010];
  const FINAL_STATUSES = [400, 401, 403];
  const BUSY_STATUSES = [429, 503];

  // ---- pure parts ----

  /** Whether `a` is at or before `b`. Of two epochs neither is before the other. */
  function atOrBefore(a, b) {
    const [epoch, sequence] = a.split("-");
    const [otherEpoch, otherSequence] = b.split("-");
    // Padded alike, the order of the text is the order of the numbers.
    return epoch === otherEpoch && sequence.padStart(16, "0") <= otherSequence.padStart(16, "0");
  }

  /** The later of two cursors; `b`, the newer one to arrive, when their epochs differ. */
  function later(a, b) {
    return a && atOrBefore(b, a) ? a : b;
  }

  /** Full jitter: clients that were cut together do not come back together. */
  function backoff(attempt, base, max, random = Math.random) {
    return random() * Math.min(max, base * 2 ** Math.min(attempt, 30));
  }

  const utf8Length = (text) => new TextEncoder().encode(text).length;

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
    let base;
    try {
      base = new URL(url, globalThis.location?.href);
    } catch {
      throw new DOMException(`The URL '${url}' is invalid.`, "SyntaxError");
    }
    if (!/^(https?|wss?):$/.test(base.protocol) || base.hash) {
      const message = `The URL '${url}' must be http(s) or ws(s), without a fragment.`;
      throw new DOMException(message, "SyntaxError");
    }
    base.protocol = base.protocol.replace("ws", "http");
    return base;
  }

  /** An error that a program can tell from others by its `code`. */
  const failure = (code, message) =>
    Object.assign(new Error(message), { name: "RingwayError", code });
  const closedFailure = () => failure("closed", "the session is closed");

  // ---- transports: each opens a way down for a link, and returns how to end it ----

  let frames = 0;

  const TRANSPORTS = {
    websocket(link) {
      const address = link.address("ws");
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address, SUBPROTOCOL);
      socket.onmessage = ({ data }) => link.hear(data);
      socket.onclose = ({ code, reason, wasClean }) => link.lose({ code, reason, wasClean });
      const send = (text) => socket.send(text);
      return { socket, send, end: (...why) => socket.close(...why) };
    },

    sse(link) {
      const source = new EventSource(link.address("sse", { names: "off" }));
      for (const type of ["message", "welcome", "gap", "pong"]) {
        source.addEventListener(type, ({ data }) => link.hear(data));
      }
      // The browser would come back by itself with the cursor that it knows; the session knows
      // a later one, and when to change the transport instead.
      source.onerror = () => link.lose({ reason: "the event stream ended or was refused" });
      return { end: () => source.close() };
    },

    iframe(link) {
      const callback = `ringway_${(frames += 1)}`;
      const frame = document.createElement("iframe");
      globalThis[callback] = (object) => {
        // The stream is a document that never ends: what has been heard is taken out of it.
        frame.contentDocument?.currentScript?.remove();
        link.hear(JSON.stringify(object));
      };
      frame.hidden = true;
      frame.title = "Ringway stream";
      frame.src = link.address("stream", { format: "iframe", callback: `parent.${callback}` });
      frame.onload = () => link.lose({ reason: "the streamed page ended or was refused" });
      document.body.append(frame);
      const end = () => {
        frame.remove();
        delete globalThis[callback];
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
    async function ask() {
      stop();
      const mine = question;
      const { signal } = (aborter = new AbortController());
      // The first answer comes at once: it is what a welcome is to the other transports.
      const wait = link.proven ? waitSeconds : 0;
      link.watch(wait * 1000 + link.times.open);
      try {
        const response = await fetch(link.address("poll", { wait }), { cache: "no-store", signal });
        const text = await response.text();
        if (mine !== question) return;
        if (!response.ok) return link.lose(refusal(response, text));
        link.answer(JSON.parse(text));
        if (mine === question) timer = setTimeout(ask, pause);
      } catch (error) {
        if (mine === question) link.lose({ reason: String(error) });
      }
    }
    ask();
    return { again: ask, end: stop };
  }

  /** What an HTTP refusal says: our error object, or a problem (RFC 9457), or neither. */
  function refusal(response, text) {
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      body = {}; // a proxy's own page
    }
    const { status } = response;
    const reason = body.message ?? body.detail ?? body.title ?? `HTTP status ${status}`;
    const retryAfter = Number(response.headers.get("Retry-After")) * 1000 || 0;
    return { status, error: body.code ?? `http_${status}`, reason, retryAfter };
  }

  /** One connection, or an attempt at one. Once it is over, nothing of it is heard. */
  class Link {
    over = false;
    /** It has said something; `provenAt` is when. */
    proven = false;
    provenAt = 0;
    /** The gateway's name for the connection; polls have none. */
    connection = undefined;

    /** `session` is what a link may know of its session: see `Ringway.#open`. */
    constructor(name, session) {
      this.name = name;
      this.session = session;
      this.times = session.times;
      this.polls = name === "long-poll" || name === "poll";
      this.beats = name === "websocket"; // its heartbeats can be seen
      this.cursor = session.cursor();
      this.topics = new Set([...session.topics].slice(0, TOPICS_IN_QUERY_MAX));
      this.watch(this.times.open);
      // Later, so that a transport that fails at once finds its session made.
      queueMicrotask(() => this.start());
    }

    start() {
      if (this.over) return;
      try {
        this.way = TRANSPORTS[this.name](this);
      } catch (error) {
        this.lose({ reason: String(error) });
      }
    }

    address(path, extra) {
      return this.session.address(path, this.polls ? this.session.topics : this.topics, extra);
    }

    hear(text) {
      if (this.over) return;
      let object;
      try {
        object = JSON.parse(text);
      } catch {
        return this.lose({ reason: "what came is not JSON" });
      }
      this.beats ||= object.type === "pong";
      this.watch(this.beats ? this.times.silence : Infinity);
      this.session.hear(this, object, text);
    }

    /** The answer to a poll: events in order, then the cursor after them. */
    answer({ client, cursor, events }) {
      this.watch(Infinity);
      if (!this.proven) this.session.hear(this, { type: "welcome", client, cursor });
      for (const object of events) {
        if (this.over) return;
        this.session.hear(this, object, JSON.stringify(object));
      }
      if (!this.over) this.session.hear(this, { type: "pong", cursor });
    }

    /** Gives the link up unless something is heard in time. */
    watch(limit) {
      clearTimeout(this.watcher);
      const cause = { silent: true, reason: `nothing was heard for ${limit} ms` };
      if (limit < Infinity) this.watcher = setTimeout(() => this.lose(cause), limit);
    }

    ping() {
      if (!this.proven || !this.way.send) return;
      this.way.send('{"type":"ping"}');
      this.watch(this.times.answer);
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

  // ---- the session ----

  class Ringway extends EventTarget {
    #base;
    #token;
    #times;
    #order; // transports, the preferred one first
    #readyState = CONNECTING;
    #binaryType = "blob";
    #client;
    #topics;

    // Where reading goes on: everything at or before `#seen` has been heard. Until anything has,
    // it is where the first welcome said that reading starts.
    #seen;
    #start;
    // Topics that were subscribed with an older `since`, each with its own position until it has
    // caught up: `until` is the cursor of the acknowledgement, which its replay leads up to.
    #behind = new Map();

    #link; // the one in use, or being opened; none while waiting
    #candidate; // a better or wanted one, opened beside `#link` and taken once it is proven
    #transport = null;
    #switching; // what `use` waits for
    #rank = 0; // of the transport in use or to be tried, in `#order`
    #attempt = 0;
    #failures = 0; // of this transport in a row
    #worked = new Set();
    #betterDelay;
    #timers = {};

    // What goes up, in order: requests until they are answered, by id, and texts until sent.
    #outgoing = new Map();
    #posting = false;
    #discardedBytes = 0;
    // Ids are remembered by the gateway for a while, so they differ from page load to page load.
    #idPrefix = Math.random().toString(36).slice(2, 10);
    #ids = 0;

    constructor(url = "/", options = {}) {
      super();
      this.#base = parseUrl(url);
      const { client, token, topics = [], transports = BEST_FIRST, cursor, ...times } = options;
      for (const name of Object.keys(times)) {
        if (!(name in TIMES)) throw new TypeError(`Ringway has no option '${name}'.`);
      }
      this.#times = { ...TIMES, ...times };
      this.#order = [...new Set(transports)];
      this.#order.forEach(checkTransport);
      if (this.#order.length === 0) throw new TypeError("Ringway needs at least one transport.");
      this.#client = client;
      this.#token = token;
      this.#topics = new Set(topics);
      this.#seen = cursor;
      this.#betterDelay = this.#times.better;
      globalThis.addEventListener?.("online", this.#online);
      this.#timers.heartbeat = setInterval(() => this.#link?.ping(), this.#times.heartbeat);
      this.#connect();
    }

    // -- the WebSocket standard's contract --

    get url() {
      const address = new URL(`ws${this.#base.search}`, this.#base);
      address.protocol = address.protocol.replace("http", "ws");
      return address.href;
    }
    get readyState() {
      return this.#readyState;
    }
    get protocol() {
      return this.#transport ? SUBPROTOCOL : "";
    }
    get extensions() {
      return this.#link?.way?.socket?.extensions ?? "";
    }
    get bufferedAmount() {
      let bytes = this.#discardedBytes + (this.#link?.way?.socket?.bufferedAmount ?? 0);
      for (const entry of this.#outgoing.values()) {
        if (entry.sentOn !== this.#link) bytes += utf8Length(entry.text);
      }
      return bytes;
    }
    get binaryType() {
      return this.#binaryType;
    }
    set binaryType(type) {
      // As with any enumeration of the standard, another value is ignored.
      if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
    }

    send(data) {
      if (this.#readyState === CONNECTING) {
        throw new DOMException("The session is still CONNECTING.", "InvalidStateError");
      }
      if (data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
        throw new TypeError(`${SUBPROTOCOL} is text: the gateway would close with 1003.`);
      }
      const text = String(data);
      if (this.#readyState !== OPEN) {
        this.#discardedBytes += utf8Length(text);
        return;
      }
      this.#outgoing.set(Symbol("text"), { text });
      this.#pump();
    }

    close(code, reason = "") {
      if (code !== undefined) code = Math.round(Math.min(Math.max(Number(code) || 0, 0), 65535));
      checkClose(code, String(reason));
      if (this.#readyState >= CLOSING) return;
      const opened = this.#readyState === OPEN;
      this.#readyState = CLOSING;
      this.#candidate?.end();
      clearTimeout(this.#timers.better);
      if (opened && this.#link?.proven && this.#link.way.socket) {
        this.#link.way.end(code, String(reason));
        this.#link.watch(this.#times.answer);
        return;
      }
      this.#link?.end();
      const ending = opened ? [code ?? 1005, String(reason), true] : [1006, "", false];
      this.#after("retry", 0, () => this.#finish(...ending));
    }

    // -- on top of it --

    /** The client's name, once it is known. */
    get client() {
      return this.#client ?? null;
    }
    /** The transport in use. */
    get transport() {
      return this.#transport;
    }
    /** Every event at or before it has been heard: what a later session may resume from. */
    get cursor() {
      let cursor = this.#seen ?? this.#start ?? null;
      for (const { seen } of this.#behind.values()) {
        if (!cursor || atOrBefore(seen, cursor)) cursor = seen;
      }
      return cursor;
    }

    notify(to, data, { event, ttl } = {}) {
      return this.#request({ type: "notify", to: [to].flat(), event, data: data ?? null, ttl });
    }

    publish(topic, data, { event, echo, ttl } = {}) {
      return this.#request({ type: "publish", topic, event, data: data ?? null, echo, ttl });
    }

    subscribe(topic, { since } = {}) {
      this.#topics.add(topic);
      if (since) this.#behind.set(topic, { seen: since, until: undefined, acknowledged: false });
      return this.#request({ type: "subscribe", topic, since });
    }

    unsubscribe(topic) {
      this.#topics.delete(topic);
      this.#behind.delete(topic);
      return this.#request({ type: "unsubscribe", topic });
    }

    /** Prefers this transport; the one in use is kept until this one has proven itself. */
    use(transport) {
      checkTransport(transport);
      if (this.#readyState >= CLOSING) return Promise.reject(closedFailure());
      this.#endSwitching(failure("superseded", "another transport was asked for"));
      this.#candidate?.end();
      this.#candidate = undefined;
      const proven = this.#link?.proven;
      if (proven && this.#link.name === transport) {
        this.#prefer(transport);
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        this.#switching = { transport, resolve, reject };
        if (proven) {
          this.#candidate = this.#open(transport);
          return;
        }
        this.#link?.end();
        this.#link = undefined;
        this.#prefer(transport);
        this.#connect();
      });
    }

    /** Abandons the connection as a lost network would; the session resumes. */
    drop() {
      this.#link?.lose({ dropped: true, reason: "dropped by the page" });
    }

    // -- connections --

    #open(name) {
      return new Link(name, {
        times: this.#times,
        topics: this.#topics,
        cursor: () => this.cursor,
        address: (path, topics, extra) => this.#address(path, topics, extra),
        hear: (link, object, text) => this.#hear(link, object, text),
        lost: (link, cause) => this.#lost(link, cause),
      });
    }

    #address(path, topics, extra) {
      const address = new URL(`${path}${this.#base.search}`, this.#base);
      const set = (name, value) => value != null && address.searchParams.set(name, value);
      const token = typeof this.#token === "function" ? this.#token() : this.#token;
      set("token", token);
      // A name that the gateway made up is asked for again, so that the session keeps it.
      if (token == null) set("client", this.#client);
      for (const topic of topics ?? []) address.searchParams.append("topic", topic);
      for (const [name, value] of Object.entries(extra ?? {})) set(name, value);
      if (topics) set("cursor", this.cursor);
      return address;
    }

    #connect() {
      // While offline, the browser says when to try again.
      if (globalThis.navigator?.onLine === false) return;
      clearTimeout(this.#timers.retry);
      const name = this.#order[this.#rank];
      // Polls get no welcome, so that nobody else would name them.
      if (name.endsWith("poll") && !this.#token) this.#client ??= `anon-${this.#idPrefix}`;
      this.#link = this.#open(name);
    }

    #online = () => {
      if (this.#link) this.#link.ping();
      else if (this.#readyState < CLOSING) this.#connect();
    };

    #prove(link, welcome) {
      if (link === this.#candidate) {
        this.#candidate = undefined;
        this.#link?.end();
        this.#link = link;
        if (this.#switching) this.#prefer(link.name);
      }
      clearTimeout(this.#timers.retry);
      link.proven = true;
      link.provenAt = Date.now();
      link.connection = welcome.connection;
      this.#rank = this.#order.indexOf(link.name);
      this.#worked.add(link.name);
      this.#client = welcome.client ?? this.#client;
      this.#start ??= welcome.cursor;
      const previous = this.#transport;
      const opened = this.#readyState === CONNECTING;
      this.#transport = link.name;
      this.#readyState = OPEN;
      if (this.#switching?.transport === link.name) this.#endSwitching();
      this.#reconcile(link);
      this.#pump();
      this.#climbLater();
      if (opened) this.#tell("open");
      const { client } = this;
      this.#tell("welcome", { client, connection: link.connection, cursor: welcome.cursor });
      if (previous !== link.name) this.#tell("transport", { transport: link.name, previous });
    }

    /** Topics that changed while the link was being opened, or that its URL had no room for. */
    #reconcile(link) {
      if (link.polls) return;
      const asked = new Set([...this.#outgoing.values()].map((entry) => entry.topic));
      const ignore = () => {}; // the page has had its answer to the first request
      for (const topic of this.#topics) {
        if (link.topics.has(topic) || asked.has(topic)) continue;
        this.subscribe(topic, { since: link.cursor }).catch(ignore);
      }
      for (const topic of link.topics) {
        if (this.#topics.has(topic) || asked.has(topic)) continue;
        this.unsubscribe(topic).catch(ignore);
      }
    }

    #lost(link, cause) {
      if (link === this.#candidate) return this.#candidateLost(link, cause);
      this.#link = undefined;
      if (this.#readyState === CLOSING) {
        return this.#finish(cause.code ?? 1006, cause.reason ?? "", cause.wasClean ?? false);
      }
      if (FINAL_STATUSES.includes(cause.status)) return this.#finish(1008, cause.reason, false);
      if (FINAL_CODES.includes(cause.code) || cause.code >= 3000) {
        return this.#finish(cause.code, cause.reason, cause.wasClean);
      }
      const stable = link.proven && Date.now() - link.provenAt >= this.#times.stable;
      if (stable) {
        this.#attempt = this.#failures = 0;
        if (this.#rank === 0) this.#betterDelay = this.#times.better;
      }
      // A gateway that says that it leaves, or that it is busy, would say so on any transport.
      const told = [1001, 1012, 1013].includes(cause.code) || BUSY_STATUSES.includes(cause.status);
      if (!cause.dropped && !told) this.#failures += 1;
      const patient = this.#worked.has(link.name) && (link.proven || !cause.silent);
      let delay = (cause.retryAfter ?? 0) + this.#jitter(this.#attempt);
      if (this.#failures >= (patient ? ATTEMPTS_OF_A_PROVEN_ONE : 1)) {
        this.#failures = 0;
        this.#rank = (this.#rank + 1) % this.#order.length;
        if (this.#rank > 0 && !link.proven) delay = 0;
      }
      if (delay > 0 && !cause.dropped) this.#attempt += 1;
      if (this.#switching?.transport === link.name) this.#endSwitching(failure("unavailable", cause.reason));
      this.#after("retry", delay, () => this.#connect());
      const transport = this.#order[this.#rank];
      const { code, reason } = cause;
      this.#tell("reconnecting", { transport, attempt: this.#attempt, delay, code, reason });
    }

    #candidateLost(link, cause) {
      this.#candidate = undefined;
      if (this.#switching) return this.#endSwitching(failure("unavailable", cause.reason));
      const next = this.#order.indexOf(link.name) + 1;
      if (next < this.#rank) this.#candidate = this.#open(this.#order[next]);
      else this.#climbLater();
    }

    /** Tries the better transports again, from the best down, beside the one in use. */
    #climbLater() {
      clearTimeout(this.#timers.better);
      if (this.#rank === 0) return;
      const delay = this.#betterDelay * (0.75 + Math.random() / 2);
      this.#betterDelay = Math.min(this.#times.betterMax, this.#betterDelay * 2);
      this.#after("better", delay, () => {
        if (this.#link?.proven && !this.#candidate) this.#candidate = this.#open(this.#order[0]);
      });
    }

    #prefer(transport) {
      this.#order = [transport, ...this.#order.filter((name) => name !== transport)];
      this.#rank = this.#failures = 0;
      clearTimeout(this.#timers.better);
    }

    #endSwitching(error) {
      const switching = this.#switching;
      this.#switching = undefined;
      if (error) switching?.reject(error);
      else switching?.resolve();
    }

    #jitter(attempt) {
      return backoff(attempt, this.#times.backoff, this.#times.backoffMax);
    }

    #after(timer, delay, work) {
      clearTimeout(this.#timers[timer]);
      this.#timers[timer] = setTimeout(work, delay);
    }

    // -- what comes down --

    #hear(link, object, text) {
      if (this.#readyState >= CLOSING) return;
      switch (object.type) {
        case "welcome":
          if (!link.proven) this.#prove(link, object);
          return;
        case "pong":
          return this.#advance(object.cursor);
        case "event":
          if (!this.#take(object.topic, object.cursor)) return;
          break;
        case "gap":
          if (!this.#skip(object.to)) return;
          break;
        default:
          return this.#answered(object, text);
      }
      const { type, ...detail } = object;
      this.dispatchEvent(new MessageEvent("message", { data: text, origin: this.#base.origin }));
      this.#tell(type, detail);
    }

    /** Whether an event is new; if so it counts as heard from now on. */
    #take(topic, cursor) {
      const behind = this.#behind.get(topic);
      const seen = behind ? behind.seen : this.#seen;
      if (seen && atOrBefore(cursor, seen)) return false;
      if (behind) behind.seen = cursor;
      this.#seen = later(this.#seen, cursor);
      // A connection is in order: what follows the acknowledgement follows the topic's replay.
      for (const [name, { until }] of this.#behind) {
        if (until && atOrBefore(until, cursor)) this.#behind.delete(name);
      }
      return true;
    }

    /** The connection has handed over everything at or before `cursor`. */
    #advance(cursor) {
      this.#seen = later(this.#seen, cursor);
      for (const [name, { until, acknowledged }] of this.#behind) {
        if (acknowledged && (!until || atOrBefore(until, cursor))) this.#behind.delete(name);
      }
    }

    /** Goes on after a gap; false when this one has been told before. */
    #skip(to) {
      if (this.cursor && atOrBefore(to, this.cursor)) return false;
      this.#seen = later(this.#seen, to);
      for (const behind of this.#behind.values()) behind.seen = later(behind.seen, to);
      return true;
    }

    // -- what goes up --

    #request(object) {
      if (this.#readyState >= CLOSING) return Promise.reject(closedFailure());
      const id = `${this.#idPrefix}-${(this.#ids += 1)}`;
      const { type, ...rest } = object;
      const text = JSON.stringify({ type, id, ...rest });
      const subscribing = type.endsWith("subscribe") ? object.topic : undefined;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          this.#outgoing.delete(id);
          reject(failure("timeout", `no answer to ${type} within ${this.#times.request} ms`));
        }, this.#times.request);
        this.#outgoing.set(id, { id, type, text, topic: subscribing, resolve, reject, timer });
        if (subscribing && this.#link?.polls) this.#link.way?.again();
        this.#pump();
      });
    }

    /** Settles the request that an answer is for; an answer to the page's own text is its own. */
    #answered(object, text) {
      const entry = this.#outgoing.get(object.id);
      if (!entry) {
        this.dispatchEvent(new MessageEvent("message", { data: text, origin: this.#base.origin }));
        const { code, message } = object;
        if (object.type === "error") this.#tell("error", { code, message });
        return;
      }
      this.#outgoing.delete(object.id);
      clearTimeout(entry.timer);
      const behind = entry.type === "subscribe" && this.#behind.get(entry.topic);
      if (object.type === "ack") {
        if (behind) Object.assign(behind, { until: object.cursor, acknowledged: true });
        return entry.resolve(object);
      }
      if (entry.type === "subscribe") {
        this.#topics.delete(entry.topic);
        this.#behind.delete(entry.topic);
      }
      entry.reject(failure(object.code, object.message));
    }

    /** Sends what the link in use has not been given; a repeated id is answered, not repeated. */
    #pump() {
      const link = this.#link;
      if (!link?.proven || this.#readyState !== OPEN) return;
      if (!link.way.send) {
        if (!this.#posting) this.#postAll();
        return;
      }
      for (const [key, entry] of this.#outgoing) {
        if (entry.sentOn === link) continue;
        entry.sentOn = link;
        link.way.send(entry.text);
        if (!entry.id) this.#outgoing.delete(key);
      }
    }

    /** One after another, so that they arrive in order, until a WebSocket takes over. */
    async #postAll() {
      this.#posting = true;
      let attempt = 0;
      while (this.#readyState === OPEN && !this.#link?.way?.send && this.#outgoing.size > 0) {
        const [key, entry] = this.#outgoing.entries().next().value;
        const link = this.#link;
        if (!link?.proven) break; // the next one that proves itself pumps again
        if (link.polls && entry.topic) {
          // The query of each poll names the topics; there is no connection to subscribe.
          this.#answered({ type: "ack", id: entry.id });
          continue;
        }
        const answer = await this.#post(entry, link);
        if (!answer) {
          await new Promise((done) => setTimeout(done, this.#jitter(attempt)));
          attempt += 1;
        } else if (!entry.topic || link === this.#link) {
          attempt = 0;
          if (entry.id) this.#answered({ ...answer, id: entry.id }, JSON.stringify(answer));
          else if (this.#outgoing.delete(key)) this.#answered(answer, JSON.stringify(answer));
        }
      }
      this.#posting = false;
    }

    /** The answer to one object; none when it is worth another attempt. */
    async #post(entry, link) {
      // Subscriptions belong to a connection, and this request comes by another.
      const { connection } = link;
      const body = entry.topic ? JSON.stringify({ ...JSON.parse(entry.text), connection }) : entry.text;
      try {
        const signal = AbortSignal.timeout(this.#times.answer);
        const response = await fetch(this.#address("send"), { method: "POST", body, signal });
        const text = await response.text();
        if (BUSY_STATUSES.includes(response.status) || response.status >= 500) return undefined;
        if (response.ok) return JSON.parse(text);
        const { error, reason } = refusal(response, text);
        return { type: "error", code: error, message: reason };
      } catch {
        return undefined;
      }
    }

    // -- telling the page --

    #tell(type, detail) {
      this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
    }

    #finish(code, reason, wasClean) {
      if (this.#readyState === CLOSED) return;
      this.#readyState = CLOSED;
      this.#link?.end();
      this.#candidate?.end();
      this.#endSwitching(closedFailure());
      for (const timer of Object.values(this.#timers)) clearTimeout(timer);
      globalThis.removeEventListener?.("online", this.#online);
      for (const entry of this.#outgoing.values()) {
        clearTimeout(entry.timer);
        entry.reject?.(closedFailure());
      }
      this.#outgoing.clear();
      if (!wasClean) this.#tell("error", { code, message: reason });
      this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
    }

    /** Handlers by attribute, each called in the place where the first of them was set. */
    static {
      for (const type of ["open", "message", "error", "close"]) {
        const handlers = new WeakMap();
        Object.defineProperty(this.prototype, `on${type}`, {
          configurable: true,
          enumerable: true,
          get() {
            return handlers.get(this) ?? null;
          },
          set(handler) {
            if (!handlers.has(this)) {
              this.addEventListener(type, (event) => handlers.get(this)?.call(this, event));
            }
            handlers.set(this, typeof handler === "function" ? handler : null);
          },
        });
      }
      for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
        Object.defineProperty(this, name, { value, enumerable: true });
        Object.defineProperty(this.prototype, name, { value, enumerable: true });
      }
    }
  }

  globalThis.Ringway = Ringway;
})();
