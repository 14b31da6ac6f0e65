// Types of ringway.js, which sets a global: add this file to a project as it is, or fetch it from
// /ringway.d.ts of a gateway. Times are in milliseconds unless a comment says otherwise.

/** A place in the gateway's log, such as `0193c5f2a1b4-0000000000000042`. */
type RingwayCursor = string;

/** `iframe` is only used if it is requested. */
type RingwayTransport = "websocket" | "sse" | "long-poll" | "poll" | "iframe";

interface RingwayOptions {
  /** The client's own name, where the gateway lets anonymous clients in. */
  client?: string;
  /**
   * Sent with each connection and each `POST /send`. A function is called each time; a promise is
   * awaited. When the token expires (close code 3000) the session reconnects with the next token of
   * the function, and ends if it has none. A gateway without keys for tokens refuses it.
   */
  token?: string | Promise<string> | (() => string | Promise<string>);
  /**
   * Where a WebSocket shows the token: in its URL (`query`, the default) or in its first message
   * (`message`), so that no proxy logs the token. Other transports have it in the URL.
   */
  auth?: "query" | "message";
  /** Topics to subscribe from the start. */
  topics?: Iterable<string>;
  /**
   * Without a `cursor`, begin with this many of the last events of each of these topics; the
   * gateway's `clients.last_events_max` bounds it.
   */
  last?: number;
  /** Preferred first. Default: `websocket`, `sse`, `long-poll`, `poll`. */
  transports?: Iterable<RingwayTransport>;
  /** Resume after this one: everything at or before it has been seen. */
  cursor?: RingwayCursor;

  /** Between two pings on a WebSocket. Default 25,000. */
  heartbeat?: number;
  /** From a ping to the next byte, or the connection counts as dead; also for a `POST /send`. Default 10,000. */
  answer?: number;
  /**
   * As `answer`, if the connection is in doubt: the browser went offline or online, changed
   * networks, or shows the page again. Default 3,000.
   */
  probe?: number;
  /** The longest silence of a stream; more than the gateway's `websocket.ping_interval`. Default 60,000. */
  silence?: number;
  /** From opening to the first object; exceeded behind a proxy that buffers. Default 5,000. */
  open?: number;
  /** To the answer to a request, reconnects included. Default 15,000. */
  request?: number;
  /** Between two polls of the `poll` transport. Default 2,000. */
  interval?: number;
  /** The first reconnect is within this time, at random; doubled at each attempt. Default 500. */
  backoff?: number;
  /** The maximum of this delay. Default 30,000. */
  backoffMax?: number;
  /** A connection that lived this long resets the back-off. Default 10,000. */
  stable?: number;
  /** Until a better transport is tried again; doubled at each failure. Default 30,000. */
  better?: number;
  /** The maximum of this time. Default 600,000. */
  betterMax?: number;
}

/** The outcome of an event for one recipient. */
type RingwayOutcome = "delivered" | "queued" | "offline" | "denied";

interface RingwayAck {
  type: "ack";
  id: string;
  /** The event's cursor; for a subscription, where it begins. */
  cursor: RingwayCursor;
  /** By recipient; only for `notify`. */
  outcome?: Record<string, RingwayOutcome>;
}

/**
 * Why a promise was rejected. `code` is the gateway's (`not_allowed`, `too_many_recipients`, …), or
 * `http_413` and the like for a refused `POST /send`, or `timeout`, `closed`, `unavailable` (the
 * transport could not be opened) or `superseded` (another one was asked for meanwhile).
 */
interface RingwayError extends Error, RingwayLimit {
  name: "RingwayError";
  code: string;
}

/** The setting by which the gateway refused something; the message names it too. */
interface RingwayLimit {
  /** The configuration key, such as `clients.subscriptions_max`. */
  key?: string;
  /** The value of a limit that was exceeded: a count, bytes, or seconds. */
  limit?: number;
  /** The seconds after which another attempt may succeed, if the gateway knows. */
  retry_after?: number;
}

interface RingwayEvent {
  cursor: RingwayCursor;
  /** Absent if the application sent it without a sender. */
  from?: string;
  /** Absent if it was sent to recipients. */
  topic?: string;
  event?: string;
  data: unknown;
}

/** A state of the application, as of a cursor that the application got from the private API. */
interface RingwaySnapshot<State> {
  /** The field `Ringway-Cursor` of an answer that came before the application read its state. */
  cursor: RingwayCursor;
  state: State;
}

/** How events change a state. */
interface RingwayStateOptions<State> {
  /** The topics of the events that change it; the session subscribes to them. */
  topics: string | string[];
  /**
   * The next state. A snapshot may already contain the event, if the application published it after it
   * had asked for the cursor; then applying it must change nothing.
   */
  apply: (state: State, event: RingwayEvent) => State;
  /** Called with each state: that of a snapshot, and that after an event. */
  changed?: (state: State, event?: RingwayEvent) => void;
}

/** A copy of a state of the application, which follows the events of its topics. */
interface RingwayState<State> {
  readonly value: State;
  /** Events are missing since a gap; a snapshot is being fetched. */
  readonly stale: boolean;
  /** Follows no more events. The topics stay subscribed. */
  close(): void;
}

interface RingwayEventMap {
  /** Once, when the first connection has proven itself. */
  open: Event;
  /** The text of an `event` or `gap`, or of the answer to an object that `send` sent. */
  message: MessageEvent<string>;
  /** The gateway's error for an object that `send` sent, or why the session failed. */
  error: CustomEvent<{ code: string | number; message: string } & RingwayLimit>;
  /** Once. The session does not reconnect after it. */
  close: CloseEvent;
  /** Each event once, in the order of the log. */
  event: CustomEvent<RingwayEvent>;
  /** Events after `from` up to `to` have left the history before they could be read. */
  gap: CustomEvent<{ from: RingwayCursor; to: RingwayCursor }>;
  /** At each connection. Polls have no `connection`. */
  welcome: CustomEvent<{ client: string; connection?: string; cursor: RingwayCursor }>;
  /** Another transport is in use. */
  transport: CustomEvent<{ transport: RingwayTransport; previous: RingwayTransport | null }>;
  /** The connection or the attempt has failed; the next attempt is in `delay`. */
  reconnecting: CustomEvent<
    {
      transport: RingwayTransport;
      attempt: number;
      delay: number;
      code?: number;
      reason: string;
    } & RingwayLimit
  >;
}

/**
 * One session over whichever transport works. It follows the WebSocket standard's client contract;
 * between `open` and `close` it reconnects and resumes by itself, and stays `OPEN` meanwhile.
 *
 *     const session = new Ringway("/", { client: "ann", topics: ["news"] });
 *     session.addEventListener("event", ({ detail }) => console.log(detail.from, detail.data));
 *     const { outcome } = await session.notify(["bob"], { text: "hello" }, { event: "chat" });
 */
declare class Ringway extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;

  /**
   * @param url Where the gateway is: `/`, `https://edge.example/`, `wss://edge.example/ws`. The
   *   transports are beside it; its query goes with each of them. Default `/`.
   * @throws SyntaxError (DOMException) if it is not an http(s) or ws(s) URL, or has a fragment.
   * @throws TypeError for an unknown option or transport, or options in the place of the URL.
   */
  constructor(url?: string | URL, options?: RingwayOptions);

  /** The URL of the WebSocket endpoint. */
  readonly url: string;
  readonly readyState: 0 | 1 | 2 | 3;
  /** `ringway.v1.json` from `open` on. */
  readonly protocol: string;
  readonly extensions: string;
  /** Bytes that have not been handed to the network. */
  readonly bufferedAmount: number;
  /** Kept for programs that set it: every message is text. */
  binaryType: BinaryType;

  onopen: ((this: Ringway, event: RingwayEventMap["open"]) => unknown) | null;
  onmessage: ((this: Ringway, event: RingwayEventMap["message"]) => unknown) | null;
  onerror: ((this: Ringway, event: RingwayEventMap["error"]) => unknown) | null;
  onclose: ((this: Ringway, event: RingwayEventMap["close"]) => unknown) | null;

  /**
   * Sends one object of the subprotocol as it is, once. Its answer is a `message`.
   * @throws InvalidStateError (DOMException) before `open`.
   * @throws TypeError for binary data.
   */
  send(data: string): void;

  /**
   * @param code 1000 or 3000 to 4999, else InvalidAccessError (DOMException).
   * @param reason At most 123 bytes of UTF-8, else SyntaxError (DOMException).
   */
  close(code?: number, reason?: string): void;

  /** The client's name; null until it is known. */
  readonly client: string | null;
  /** The transport in use; null before `open`. */
  readonly transport: RingwayTransport | null;
  /** Everything at or before it was received; a later session may resume from it. */
  readonly cursor: RingwayCursor | null;

  /**
   * Delivers to these recipients. If the connection is lost before the answer, the request is sent
   * again with the same id, and the gateway performs it once.
   * @param options.ttl Seconds to keep it for disconnected clients; 0 is for connected ones only.
   */
  notify(
    to: string | string[],
    data: unknown,
    options?: { event?: string; ttl?: number },
  ): Promise<RingwayAck & { outcome: Record<string, RingwayOutcome> }>;

  /** Delivers to the topic's subscribers; `echo: false` leaves the sender out. */
  publish(
    topic: string,
    data: unknown,
    options?: { event?: string; echo?: boolean; ttl?: number },
  ): Promise<RingwayAck>;

  /**
   * With `since`, the topic's events after that cursor come first; with `last`, this many of its
   * last events, unless it is already subscribed.
   * Rejected with a TypeError if `last` is not a number of events.
   */
  subscribe(
    topic: string,
    options?: { since?: RingwayCursor; last?: number },
  ): Promise<RingwayAck>;
  unsubscribe(topic: string): Promise<RingwayAck>;

  /**
   * Fetches a snapshot from the application, and applies every event of the topics after its
   * cursor, once and in the order of its topic; after a gap it fetches another one. So no event is
   * missed between the snapshot and the subscription. A snapshot that is too old to go on from is
   * fetched again, after the session's back-off.
   *
   * Rejected if the first snapshot or a subscription fails. A later snapshot is fetched until it
   * succeeds. The signal aborts after the option `request`.
   */
  getState<State>(
    fetchSnapshot: (signal: AbortSignal) => Promise<RingwaySnapshot<State>>,
    options: RingwayStateOptions<State>,
  ): Promise<RingwayState<State>>;

  /**
   * Prefers this transport from now on, and moves to it: the current one is kept until this one has
   * proven itself, or permanently if it cannot be opened.
   */
  use(transport: RingwayTransport): Promise<void>;

  /** Drops the connection as a network failure would. The session resumes. */
  drop(): void;

  addEventListener<Type extends keyof RingwayEventMap>(
    type: Type,
    listener: (this: Ringway, event: RingwayEventMap[Type]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof RingwayEventMap>(
    type: Type,
    listener: (this: Ringway, event: RingwayEventMap[Type]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
}
