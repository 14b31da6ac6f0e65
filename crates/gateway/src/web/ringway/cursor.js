// A session's position in the gateway's log: cursors, their order, and the events received so far.
// Pure: it never touches the network, a clock or the page.

/** Whether `a` is at or before `b`. Cursors of different epochs have no order. */
function atOrBefore(a, b) {
  const [epoch, sequence] = a.split("-");
  const [otherEpoch, otherSequence] = b.split("-");
  // The numbers are padded to the same length, so the texts have the same order.
  return epoch === otherEpoch && sequence.padStart(16, "0") <= otherSequence.padStart(16, "0");
}

/** The later of two cursors; `b`, the newer one to arrive, when their epochs differ. */
function later(a, b) {
  return a && atOrBefore(b, a) ? a : b;
}

/**
 * The received events: everything at or before `#seen`. A connection may resume from `cursor` and
 * repeat events, without one being delivered twice or missed.
 */
class Position {
  #seen;
  // The end of the last gap.
  #told;
  // Where the first connection began to read; used until the first event.
  #start;
  // Topics subscribed with an older `since`, each with its own `seen` until it has caught up with
  // the others. `acknowledged`: the gateway has confirmed it. `live`: it was subscribed before, so
  // that new events arrive during the replay as well.
  #behind = new Map();

  constructor(cursor) {
    this.#seen = cursor;
  }

  /** The cursor to resume from; null before the first welcome. */
  get cursor() {
    let cursor = this.#seen ?? this.#start ?? null;
    for (const { seen } of this.#behind.values()) {
      if (seen && (!cursor || atOrBefore(seen, cursor))) cursor = seen;
    }
    return cursor;
  }

  /** Takes the position of the first welcome. */
  begin(cursor) {
    this.#start ??= cursor;
  }

  /** Requests a topic from an older cursor; without one, with its `last` events. */
  rewind(topic, since, live, last) {
    this.#behind.set(topic, { seen: since, acknowledged: false, live, last });
  }

  /** Topics whose last events have not arrived, and how many were requested. */
  awaited() {
    const behind = [...this.#behind].filter(([, { seen, last }]) => last && !seen);
    return behind.map(([topic, { last }]) => [topic, last]);
  }

  acknowledge(topic) {
    const behind = this.#behind.get(topic);
    if (behind) behind.acknowledged = true;
  }

  forget(topic) {
    this.#behind.delete(topic);
  }

  /** Whether an event is new; if so it counts as received from now on. */
  take(topic, cursor) {
    const behind = this.#behind.get(topic);
    const seen = behind ? behind.seen : this.#seen;
    if (seen && atOrBefore(cursor, seen)) return false;
    const furthest = !this.#seen || !atOrBefore(cursor, this.#seen);
    if (behind && !(furthest && behind.live && !behind.acknowledged)) {
      behind.seen = cursor;
      // Events arrive in order, so a topic that is ahead of the others has no older events to come.
      if (furthest) this.#behind.delete(topic);
    }
    this.#seen = later(this.#seen, cursor);
    return true;
  }

  /** The connection has delivered everything at or before `cursor`. */
  advance(cursor) {
    this.#seen = later(this.#seen, cursor);
    for (const [topic, behind] of this.#behind) {
      if (!behind.acknowledged) continue;
      behind.seen = later(behind.seen, cursor);
      if (atOrBefore(this.#seen, behind.seen)) this.#behind.delete(topic);
    }
  }

  /**
   * Continues after a gap; false when this gap has been reported before. A connection that began
   * without a cursor, while another one was open, may learn of a gap `late`: events that the other
   * one did not take.
   */
  skip(to, late) {
    const told = late ? this.#told : this.cursor;
    if (told && atOrBefore(to, told)) return false;
    this.#told = later(this.#told, to);
    this.#seen = later(this.#seen, to);
    for (const behind of this.#behind.values()) behind.seen = later(behind.seen, to);
    return true;
  }
}
