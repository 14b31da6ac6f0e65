// The session that a page sees: it opens once and closes once, as a WebSocket does, and in between
// moves from connection to connection and from transport to transport, each resuming by cursor.
// It never keeps events for later, never reorders them, and never hides a gap.

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];
const SUBPROTOCOL = "ringway.v1.json";

// A transport that has worked is tried this many times before the next one: a restart of the
// gateway is more likely than a change in a proxy, and must not cost four attempts.
const ATTEMPTS_OF_A_PROVEN_ONE = 3;
// After these codes another connection would fail in the same way.
const TOKEN_EXPIRED = 3000;
const FINAL_CODES = [1000, 1002, 1003, 1007, 1008, 1009, 1010];
const FINAL_STATUSES = [400, 401, 403]; // from other servers: a gateway says so itself
// With these codes the gateway is stopping or busy, on any transport.
const PASSING_CODES = [1001, 1012, 1013];

/** Full jitter: clients that were disconnected together do not reconnect together. */
function backoff(attempt, times, random = Math.random) {
  return random() * Math.min(times.backoffMax, times.backoff * 2 ** Math.min(attempt, 30));
}

class Ringway extends EventTarget {
  #base;
  #token;
  #auth; // where a WebSocket shows the token: "query" or "message"
  #client;
  #times;
  #topics;
  #last; // events of each of the first topics
  #position;
  #outbox;
  #readyState = CONNECTING;
  #binaryType = "blob";
  #discardedBytes = 0;

  #order; // transports, the preferred one first
  #rank = 0; // index in `#order` of the transport that is in use or to be tried
  #link; // the one in use, or being opened; none while waiting
  #candidate; // opened in addition, and replaces it once proven
  #switching; // what `use` waits for
  #transport = null;
  #worked = new Set();
  #failures = 0; // of this transport in a row
  #attempt = 0;
  #betterDelay;
  #signs; // of a connection that may be dead
  #timers = {};

  constructor(url = "/", options = {}) {
    super();
    this.#base = parseUrl(url);
    const { client, token, topics = [], last, ...others } = options;
    const { transports = BEST_FIRST, cursor, auth = "query", ...times } = others;
    checkAuth(auth);
    checkLast(last);
    this.#last = last;
    this.#times = checkedTimes(times);
    this.#order = [...new Set(transports)];
    this.#order.forEach(checkTransport);
    if (this.#order.length === 0) throw new TypeError("Ringway needs at least one transport.");
    this.#betterDelay = this.#times.better;
    this.#client = client;
    this.#token = token;
    this.#auth = auth;
    this.#topics = new Set(topics);
    this.#position = new Position(cursor);
    this.#outbox = new Outbox({
      times: this.#times,
      address: async () => this.#address("send", { token: await this.#freshToken() }),
      cursor: () => this.cursor,
      unclaimed: (object, text) => this.#unclaimed(object, text),
    });
    this.#signs = watchNetwork((sign) => this.#doubt(sign));
    this.#timers.heartbeat = setInterval(() => this.#link?.ping(), this.#times.heartbeat);
    this.#connect();
  }

  // ---- the WebSocket standard's contract ----

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
    const inSocket = this.#link?.way?.socket?.bufferedAmount ?? 0;
    return this.#discardedBytes + this.#outbox.bytes + inSocket;
  }
  get binaryType() {
    return this.#binaryType;
  }
  set binaryType(type) {
    // As for every enumeration in the standard, other values are ignored.
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
    if (this.#readyState === OPEN) this.#outbox.text(text);
    else this.#discardedBytes += utf8Length(text);
  }

  close(code, reason = "") {
    // Web IDL [Clamp] unsigned short.
    if (code !== undefined) code = Math.round(Math.min(Math.max(Number(code) || 0, 0), 65535));
    reason = String(reason);
    checkClose(code, reason);
    if (this.#readyState >= CLOSING) return;
    const opened = this.#readyState === OPEN;
    this.#readyState = CLOSING;
    this.#candidate?.end();
    clearTimeout(this.#timers.better);
    if (opened && this.#link?.proven && this.#link.way.socket) {
      this.#link.way.end(code, reason);
      this.#link.watch(this.#times.answer);
      return;
    }
    this.#link?.end();
    const ending = opened ? [code ?? 1005, reason, true] : [1006, "", false];
    this.#after(0, "retry", () => this.#finish(...ending));
  }

  // ---- extensions of the standard ----

  get client() {
    return this.#client ?? null;
  }
  get transport() {
    return this.#transport;
  }
  get cursor() {
    return this.#position.cursor;
  }

  notify(to, data, { event, ttl } = {}) {
    return this.#request({ type: "notify", to: [to].flat(), event, data: data ?? null, ttl });
  }

  publish(topic, data, { event, echo, ttl } = {}) {
    return this.#request({ type: "publish", topic, event, data: data ?? null, echo, ttl });
  }

  async subscribe(topic, { since, last } = {}) {
    checkLast(last);
    const live = this.#topics.has(topic);
    // The last events of a subscribed topic were already received.
    return this.#subscribe(topic, since, since || live ? undefined : last, live);
  }

  async #subscribe(topic, since, last, live) {
    if (since || last) this.#position.rewind(topic, since, live, last);
    this.#topics.add(topic);
    try {
      const ack = await this.#request({ type: "subscribe", topic, since, last });
      this.#position.acknowledge(topic);
      return ack;
    } catch (error) {
      // Without an answer it is still wanted: the next connection requests it.
      if (!["timeout", "closed"].includes(error.code)) this.#forget(topic);
      throw error;
    }
  }

  unsubscribe(topic) {
    this.#forget(topic);
    return this.#request({ type: "unsubscribe", topic });
  }

  /** Subscribes to the topics. See `LiveState`. */
  async getState(fetchSnapshot, options) {
    const state = new LiveState(this, this.#times, fetchSnapshot, options);
    return state.begin(new Set(this.#topics));
  }

  /** The transport in use is kept until the wanted one has proven itself. */
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

  drop() {
    this.#link?.lose({ dropped: true, reason: "dropped by the page" });
  }

  #request(object) {
    if (this.#readyState >= CLOSING) return Promise.reject(closedFailure());
    // The pending poll lacks the change; the next one has it.
    if (object.type.endsWith("subscribe") && this.#link?.polls) this.#link.way?.again();
    return this.#outbox.request(object);
  }

  #forget(topic) {
    this.#topics.delete(topic);
    this.#position.forget(topic);
  }

  // ---- connections ----

  #open(name) {
    return new Link(name, {
      times: this.#times,
      topics: this.#topics,
      auth: this.#auth,
      cursor: () => this.cursor,
      token: () => this.#freshToken(),
      awaited: () => this.#position.awaited(),
      pastOf: (topic, last, token) => {
        const extra = { last, wait: 0, cursor: null };
        return this.#address("poll", { topics: [topic], token, extra });
      },
      worked: (transport) => this.#worked.has(transport),
      address: (path, parts) => this.#address(path, parts),
      hear: (link, object, text) => this.#hear(link, object, text),
      lost: (link, cause) => this.#lost(link, cause),
    });
  }

  /** A sibling path of the page's URL, with that URL's query. */
  #address(path, { topics, token, extra = {} }) {
    const address = new URL(`${path}${this.#base.search}`, this.#base);
    // A name that the gateway generated is sent again, so that the session keeps it.
    const who = { client: this.#client, token };
    const { cursor } = this;
    const where = topics ? { cursor, last: cursor ? null : this.#last } : {};
    for (const topic of topics ?? []) address.searchParams.append("topic", topic);
    for (const [name, value] of Object.entries({ ...who, ...where, ...extra })) {
      if (value != null) address.searchParams.set(name, value);
    }
    return address;
  }

  /** The page's token, or a promise of one. */
  #freshToken() {
    return typeof this.#token === "function" ? this.#token() : this.#token;
  }

  #connect() {
    clearTimeout(this.#timers.retry);
    this.#link = this.#open(this.#order[this.#rank]);
    // Polls get no welcome with their name.
    if (this.#link.polls) this.#client ??= `anon-${tag()}`;
  }

  /** Probes a connection that may be dead, without waiting for the next heartbeat. */
  #doubt(sign) {
    if (this.#readyState >= CLOSING) return;
    const link = this.#link;
    const { probe } = this.#times;
    if (!link) {
      if (sign !== "offline") this.#connect();
    } else if (!link.proven) {
      link.doubt(probe);
    } else if (sign === "visible" && Date.now() - link.heardAt < probe) {
      // Something has just arrived on it.
    } else if (link.way.send) {
      link.ping(probe);
    } else if (link.polls) {
      link.way.probe();
    } else if (!this.#candidate) {
      // A stream cannot be probed: a new one replaces it if anything gets through.
      link.doubt(probe);
      this.#candidate = this.#open(link.name);
    }
  }

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
    this.#position.begin(welcome.cursor);
    const previous = this.#transport;
    const opened = this.#readyState === CONNECTING;
    this.#transport = link.name;
    this.#readyState = OPEN;
    if (this.#switching?.transport === link.name) this.#endSwitching();
    this.#outbox.by(link);
    this.#reconcile(link);
    this.#climbLater();
    if (opened) this.#tell("open");
    const { client } = this;
    this.#tell("welcome", { client, connection: link.connection, cursor: welcome.cursor });
    if (previous !== link.name) this.#tell("transport", { transport: link.name, previous });
  }

  /** Sends topics that changed while the link was opening, or that did not fit into its URL. */
  #reconcile(link) {
    if (link.polls) return;
    const ignore = () => {}; // the page already got the answer to its own request
    for (const topic of this.#topics) {
      if (link.topics.has(topic) || this.#outbox.concerns(topic)) continue;
      const last = link.cursor ? undefined : this.#last;
      this.#subscribe(topic, link.cursor ?? undefined, last, true).catch(ignore);
    }
    // They were requested on a connection that was lost before they arrived.
    for (const [topic, last] of this.#position.awaited()) {
      if (!this.#outbox.concerns(topic)) this.#subscribe(topic, undefined, last, false).catch(ignore);
    }
    for (const topic of link.topics) {
      if (this.#topics.has(topic) || this.#outbox.concerns(topic)) continue;
      this.unsubscribe(topic).catch(ignore);
    }
  }

  #lost(link, cause) {
    if (link === this.#candidate) return this.#candidateLost(link, cause);
    // The reason of a refusal may arrive when the session has moved on or is closed.
    if (link !== this.#link || this.#readyState === CLOSED) return;
    this.#link = undefined;
    this.#outbox.by(undefined);
    const { code, permanent, reason = "", wasClean = false } = cause;
    const limited = limitOf(cause);
    if (this.#readyState === CLOSING) return this.#finish(code ?? 1006, reason, wasClean);
    if (permanent) return this.#finish(1008, reason, false, limited);
    // An expired token is no end if the page can make another one.
    const renewable = code === TOKEN_EXPIRED && typeof this.#token === "function";
    const final = FINAL_CODES.includes(code) || (code >= 3000 && !renewable);
    if (final) return this.#finish(code, reason, wasClean);
    if (this.#switching?.transport === link.name)
      this.#endSwitching(failure("unavailable", reason, limited));
    const delay = this.#judge(link, cause);
    this.#after(delay, "retry", () => this.#connect());
    const transport = this.#order[this.#rank];
    const attempt = this.#attempt;
    this.#tell("reconnecting", { transport, attempt, delay, code, reason, ...limited });
  }

  /** After a loss: chooses the next transport, as `#rank`, and the delay in milliseconds. */
  #judge(link, { code, status, silent, dropped, retryAfter = 0 }) {
    if (link.proven && Date.now() - link.provenAt >= this.#times.stable) {
      this.#attempt = this.#failures = 0;
      if (this.#rank === 0) this.#betterDelay = this.#times.better;
    }
    const busy = PASSING_CODES.includes(code) || BUSY_STATUSES.includes(status);
    // Without a network no transport works, so this failure does not count against this one.
    const passing = busy || isOffline();
    if (!dropped && !passing) this.#failures += 1;
    const patient = this.#worked.has(link.name) && (link.proven || !silent);
    const delay = retryAfter + backoff(this.#attempt, this.#times);
    if (this.#failures >= (patient ? ATTEMPTS_OF_A_PROVEN_ONE : 1)) {
      this.#failures = 0;
      this.#rank = (this.#rank + 1) % this.#order.length;
      if (this.#rank > 0 && !link.proven) return 0;
    }
    if (!dropped) this.#attempt += 1;
    return delay;
  }

  #candidateLost(link, { reason, ...cause }) {
    this.#candidate = undefined;
    if (this.#switching) return this.#endSwitching(failure("unavailable", reason, cause));
    const next = this.#order.indexOf(link.name) + 1;
    if (next < this.#rank) this.#candidate = this.#open(this.#order[next]);
    else this.#climbLater();
  }

  /** Tries the better transports again, the best first, while the current one stays in use. */
  #climbLater() {
    clearTimeout(this.#timers.better);
    if (this.#rank === 0) return;
    const delay = this.#betterDelay * (0.75 + Math.random() / 2);
    this.#betterDelay = Math.min(this.#times.betterMax, this.#betterDelay * 2);
    this.#after(delay, "better", () => {
      if (this.#link?.proven && !this.#candidate) this.#candidate = this.#open(this.#order[0]);
      else this.#climbLater();
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

  #after(delay, timer, work) {
    clearTimeout(this.#timers[timer]);
    this.#timers[timer] = setTimeout(work, delay);
  }

  // ---- events for the page ----

  #hear(link, object, text) {
    if (this.#readyState >= CLOSING) return;
    const { type, ...detail } = object;
    if (type === "welcome") {
      if (!link.proven) this.#prove(link, object);
    } else if (type === "pong") {
      this.#position.advance(object.cursor);
    } else if (type === "event") {
      if (this.#position.take(object.topic, object.cursor)) this.#pass(type, detail, text);
    } else if (type === "gap") {
      if (this.#position.skip(object.to, !link.cursor)) this.#pass(type, detail, text);
    } else {
      this.#outbox.answer(object, text);
    }
  }

  #unclaimed({ type, id, ...detail }, text) {
    if (type === "error") this.#pass(type, detail, text);
    else this.#pass(type, undefined, text);
  }

  /** Dispatches an object as the WebSocket standard's `message`, and then by its own type. */
  #pass(type, detail, text) {
    this.dispatchEvent(new MessageEvent("message", { data: text, origin: this.#base.origin }));
    if (detail) this.#tell(type, detail);
  }

  #tell(type, detail) {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
  }

  #finish(code, reason, wasClean, limited) {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSED;
    this.#link?.end();
    this.#candidate?.end();
    this.#endSwitching(closedFailure());
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#signs.end();
    this.#outbox.end();
    if (!wasClean) this.#tell("error", { code, message: reason, ...limited });
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
  }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
  Object.defineProperty(Ringway, name, { value, enumerable: true });
  Object.defineProperty(Ringway.prototype, name, { value, enumerable: true });
}
for (const type of ["open", "message", "error", "close"]) {
  const key = Symbol(type);
  Object.defineProperty(Ringway.prototype, `on${type}`, {
    enumerable: true,
    get() {
      return this[key] ?? null;
    },
    set(handler) {
      // A handler is called at the position where the first one was set, as in the standard.
      if (!(key in this)) this.addEventListener(type, (event) => this[key]?.(event));
      this[key] = typeof handler === "function" ? handler : null;
    },
  });
}

globalThis.Ringway = Ringway;
