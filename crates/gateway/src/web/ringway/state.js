// A page's copy of a state of the application: a snapshot, and every event of its topics after the
// snapshot's cursor. It never applies an event twice, and never goes on after a gap without another
// snapshot. What a state is, and what an event changes in it, is the page's.

/** Whether `a` is after `b`; false for cursors of different epochs. */
function isAfter(a, b) {
  return atOrBefore(b, a) && !atOrBefore(a, b);
}

class LiveState {
  #session;
  #times;
  #fetchSnapshot;
  #topics;
  #apply;
  #changed;
  #value;
  #began = false; // there has been a snapshot
  #ended = false;
  // Events that arrived while a snapshot was awaited; undefined when none is.
  #waiting = [];
  // A snapshot from before this cursor lacks events that the session is not sent again.
  #needed;
  // By topic, the last event that was applied.
  #seen = new Map();
  #listeners = {
    event: ({ detail }) => this.#take(detail),
    gap: ({ detail }) => this.#lose(detail.to),
    close: () => this.close(),
  };

  constructor(session, times, fetchSnapshot, { topics, apply, changed = () => {}, ...others }) {
    const [unknown] = Object.keys(others);
    if (unknown) throw new TypeError(`getState has no option '${unknown}'; it has topics, apply, changed.`);
    if (typeof fetchSnapshot !== "function" || typeof apply !== "function") {
      throw new TypeError("getState needs two functions: fetchSnapshot, and the option 'apply'.");
    }
    this.#topics = new Set([topics].flat());
    this.#session = session;
    this.#times = times;
    this.#fetchSnapshot = fetchSnapshot;
    this.#apply = apply;
    this.#changed = changed;
    for (const [type, listener] of Object.entries(this.#listeners)) {
      session.addEventListener(type, listener);
    }
  }

  get value() {
    return this.#value;
  }

  get stale() {
    return this.#waiting !== undefined;
  }

  close() {
    this.#ended = true;
    for (const [type, listener] of Object.entries(this.#listeners)) {
      this.#session.removeEventListener(type, listener);
    }
  }

  /**
   * The first snapshot. Topics that the session has already are confirmed before it is fetched, so
   * that it can be judged; the others are subscribed from its cursor, however old it is.
   */
  async begin(known) {
    try {
      for (const topic of this.#topics) {
        if (!known.has(topic)) continue;
        const { cursor } = await this.#session.subscribe(topic);
        this.#needed = later(this.#needed, cursor);
      }
      await this.#load((since) => {
        const others = [...this.#topics].filter((topic) => !known.has(topic));
        return Promise.all(others.map((topic) => this.#session.subscribe(topic, { since })));
      });
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Fetches snapshots until one of them is recent enough. `subscribe` is called once. */
  async #load(subscribe) {
    for (let attempt = 0; ; attempt += 1) {
      if (attempt > 0) await pause(backoff(attempt - 1, this.#times));
      if (this.#ended) throw closedFailure();
      const snapshot = await this.#fetch();
      if (!snapshot || this.#lacks(snapshot)) continue;
      await subscribe?.(snapshot.cursor);
      subscribe = undefined;
      // There may have been a gap meanwhile.
      if (this.#ended || this.#lacks(snapshot)) continue;
      return this.#start(snapshot);
    }
  }

  /** A snapshot; undefined if there is none and an older one is shown meanwhile. */
  async #fetch() {
    const signal = AbortSignal.timeout(this.#times.request);
    const late = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    try {
      const snapshot = await Promise.race([this.#fetchSnapshot(signal), late]);
      if (typeof snapshot?.cursor === "string") return snapshot;
      throw new TypeError("fetchSnapshot resolves to { cursor, state }.");
    } catch (error) {
      if (!this.#began) throw error;
      return undefined;
    }
  }

  #lacks({ cursor }) {
    return this.#needed !== undefined && !atOrBefore(this.#needed, cursor);
  }

  #start({ cursor, state }) {
    const waiting = this.#waiting;
    this.#began = true;
    this.#waiting = undefined;
    this.#needed = cursor;
    this.#value = state;
    this.#seen = new Map([...this.#topics].map((topic) => [topic, cursor]));
    this.#call(() => this.#changed(state));
    for (const event of waiting) this.#take(event);
  }

  #take(event) {
    if (!this.#topics.has(event.topic)) return;
    if (this.#waiting) return void this.#waiting.push(event);
    if (!isAfter(event.cursor, this.#seen.get(event.topic))) return;
    this.#seen.set(event.topic, event.cursor);
    this.#needed = later(this.#needed, event.cursor);
    this.#call(() => {
      this.#value = this.#apply(this.#value, event);
      this.#changed(this.#value, event);
    });
  }

  /** An error of the page is reported as one of a listener is, and stops nothing here. */
  #call(work) {
    try {
      work();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** Events up to `to` are lost: only a snapshot from after them contains what they changed. */
  #lose(to) {
    // Nothing that was applied is sent again, either.
    this.#needed = later(this.#needed, to);
    if (this.#waiting) {
      this.#waiting = this.#waiting.filter(({ cursor }) => isAfter(cursor, to));
      return;
    }
    this.#waiting = [];
    this.#load().catch(() => {}); // the session has ended
  }
}

function pause(delay) {
  return new Promise((done) => setTimeout(done, delay));
}
