// Where a session is in the gateway's log: cursors, their order, and what has been heard already.
// Pure: it never touches the network, a clock or the page.

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

/**
 * What has been heard: everything at or before `#seen`, so that a connection may resume from
 * `cursor` and bring the same events once more without one being doubled or missed.
 */
class Position {
  #seen;
  // The end of the last gap.
  #told;
  // Where the first connection began to read, until anything has been heard.
  #start;
  // Topics subscribed with an older `since`, each with its own `seen` until it has caught up with
  // the others. `acknowledged`: the gateway knows of it. `live`: it was subscribed before, so that
  // new events come beside the replay until then.
  #behind = new Map();

  constructor(cursor) {
    this.#seen = cursor;
  }

  /** From where a connection resumes; null when nothing is known yet. */
  get cursor() {
    let cursor = this.#seen ?? this.#start ?? null;
    for (const { seen } of this.#behind.values()) {
      if (seen && (!cursor || atOrBefore(seen, cursor))) cursor = seen;
    }
    return cursor;
  }

  /** The first welcome said from where it reads. */
  begin(cursor) {
    this.#start ??= cursor;
  }

  /** A topic is asked for from an older cursor on; without one, with its `last` events. */
  rewind(topic, since, live, last) {
    this.#behind.set(topic, { seen: since, acknowledged: false, live, last });
  }

  /** Topics whose last events are still to come, and how many were asked for. */
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

  /** Whether an event is new; if so it counts as heard from now on. */
  take(topic, cursor) {
    const behind = this.#behind.get(topic);
    const seen = behind ? behind.seen : this.#seen;
    if (seen && atOrBefore(cursor, seen)) return false;
    const furthest = !this.#seen || !atOrBefore(cursor, this.#seen);
    if (behind && !(furthest && behind.live && !behind.acknowledged)) {
      behind.seen = cursor;
      // A connection is in order: a topic that is the furthest has nothing older to come.
      if (furthest) this.#behind.delete(topic);
    }
    this.#seen = later(this.#seen, cursor);
    return true;
  }

  /** The connection has handed over everything at or before `cursor`. */
  advance(cursor) {
    this.#seen = later(this.#seen, cursor);
    for (const [topic, behind] of this.#behind) {
      if (!behind.acknowledged) continue;
      behind.seen = later(behind.seen, cursor);
      if (atOrBefore(this.#seen, behind.seen)) this.#behind.delete(topic);
    }
  }

  /**
   * Goes on after a gap; false when this one has been told before. A connection that began without a
   * cursor, beside another one, may learn of a gap `late`: what the other one did not take.
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
