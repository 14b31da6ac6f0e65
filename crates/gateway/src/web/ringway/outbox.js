// The outgoing queue: requests until they are answered, and the page's own texts until they are
// sent. It keeps their order on every transport. Each new link sends a pending request again, with
// the same id: the gateway performs one id once. It never opens a connection.

/** An error that programs can identify by its `code`, with the gateway's limit if one was exceeded. */
const failure = (code, message, object = {}) =>
  Object.assign(new Error(message), { name: "RingwayError", code, ...limitOf(object) });

/** What an error says of a limit: its key, its value, and the seconds until another attempt may help. */
const limitOf = ({ key, limit, retry_after }) => present({ key, limit, retry_after });

/** The members that are defined. */
const present = (members) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

const closedFailure = () => failure("closed", "the session is closed");

/** Eight random letters and digits. */
const tag = () => Math.random().toString(36).slice(2, 10).padEnd(8, "0");

const BUSY_STATUSES = [429, 503];

const utf8Length = (text) => new TextEncoder().encode(text).length;

class Outbox {
  #entries = new Map();
  #times;
  #link;
  #address; // of POST /send
  #cursor;
  #unclaimed; // called with answers to the page's own texts
  #posting = false;
  // The gateway remembers ids for a while, so they differ from page load to page load.
  #idPrefix = tag();
  #ids = 0;

  constructor({ times, address, cursor, unclaimed }) {
    this.#times = times;
    this.#address = address;
    this.#cursor = cursor;
    this.#unclaimed = unclaimed;
  }

  /** UTF-8 bytes that were not passed to any transport. */
  get bytes() {
    let bytes = 0;
    for (const entry of this.#entries.values()) {
      if (entry.link !== this.#link || !this.#link) bytes += utf8Length(entry.text);
    }
    return bytes;
  }

  /** Whether a request about a topic waits for its answer. */
  concerns(topic) {
    return [...this.#entries.values()].some((entry) => entry.topic === topic);
  }

  /** Sends the page's own text once. */
  text(text) {
    this.#entries.set(Symbol("text"), { text });
    this.pump();
  }

  /** Sends a request; the promise resolves with its acknowledgement. */
  request({ type, ...rest }) {
    const id = `${this.#idPrefix}-${(this.#ids += 1)}`;
    const text = JSON.stringify({ type, id, ...rest });
    const topic = type.endsWith("subscribe") ? rest.topic : undefined;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#entries.delete(id);
        reject(failure("timeout", `no answer to ${type} within ${this.#times.request} ms`));
      }, this.#times.request);
      this.#entries.set(id, { id, text, topic, resolve, reject, timer });
      this.pump();
    });
  }

  /** Uses this link, which has proven itself, from now on; none while there is none. */
  by(link) {
    this.#link = link;
    this.pump();
  }

  /** Settles the request of an `ack` or `error`; an answer to no request here goes to the page. */
  answer(object, text) {
    const entry = this.#entries.get(object.id);
    if (!entry) return this.#unclaimed(object, text);
    // The gateway is stopping and has not performed it: the next link sends it again.
    if (object.code === "going_away") return;
    this.#entries.delete(object.id);
    clearTimeout(entry.timer);
    if (object.type === "ack") entry.resolve(object);
    else entry.reject(failure(object.code, object.message, object));
  }

  /** Sends everything that was not yet sent on this link. */
  pump() {
    const link = this.#link;
    if (!link) return;
    if (!link.way.send) {
      if (!this.#posting) this.#postAll();
      return;
    }
    for (const [key, entry] of this.#entries) {
      if (entry.link === link) continue;
      entry.link = link;
      link.way.send(entry.text);
      if (!entry.id) this.#entries.delete(key);
    }
  }

  /** One after another, so that they arrive in order, until a WebSocket takes over. */
  async #postAll() {
    this.#posting = true;
    let attempt = 0;
    while (this.#entries.size > 0 && this.#link && !this.#link.way.send) {
      const link = this.#link;
      const [key, entry] = this.#entries.entries().next().value;
      if (link.polls && entry.topic) {
        // The query of each poll names the topics: there is no connection to subscribe.
        this.answer({ type: "ack", id: entry.id, cursor: this.#cursor() });
        continue;
      }
      const answer = await this.#post(entry, link);
      if (answer.again !== undefined) {
        const delay = answer.again + backoff(attempt, this.#times);
        await new Promise((done) => setTimeout(done, delay));
        attempt += 1;
      } else if (!entry.topic || link === this.#link) {
        attempt = 0;
        const text = JSON.stringify(answer);
        if (entry.id) this.answer({ ...answer, id: entry.id }, text);
        else if (this.#entries.delete(key)) this.answer(answer, text);
      }
    }
    this.#posting = false;
  }

  /** The answer to one object; if another attempt may succeed, in how many milliseconds: `again`. */
  async #post({ text, topic }, link) {
    // A subscription belongs to a connection, and this request uses another one.
    const { connection } = link;
    const body = topic ? JSON.stringify({ ...JSON.parse(text), connection }) : text;
    try {
      const signal = AbortSignal.timeout(this.#times.answer);
      const response = await fetch(await this.#address(), { method: "POST", body, signal });
      const answer = await response.text();
      if (response.ok) return JSON.parse(answer);
      const refused = refusal(response, answer);
      const { isOurs, permanent, status, error, reason, retryAfter } = refused;
      const passes = BUSY_STATUSES.includes(status) || status >= 500;
      if (isOurs ? !permanent : passes) return { again: retryAfter };
      return { type: "error", code: error, message: reason, ...limitOf(refused) };
    } catch {
      // If sending fails, the receiving connection may be broken too, without having noticed.
      if (link === this.#link) link.doubt(this.#times.answer);
      return { again: 0 };
    }
  }

  /** Rejects everything that is pending. */
  end() {
    this.#link = undefined;
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.timer);
      entry.reject?.(closedFailure());
    }
    this.#entries.clear();
  }
}
