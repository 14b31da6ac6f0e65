// Tests Node's `ws` against the gateway's echo: every check on its own
// connection, with and without permessage-deflate. Exits with 1 at a mismatch.
// Never connects to anything but the URL given as its argument.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import WebSocket from "ws";

const MIB = 1024 * 1024;
const MESSAGE_BYTES_MAX = 16 * MIB;
const SIZES = [0, 1, 125, 126, 65535, 65536, MIB, MESSAGE_BYTES_MAX - 1];
// Random bytes grow when deflated: a stored block costs 5 bytes (RFC 1951 §3.2.4).
const STORED_BLOCKS_BYTES = 65536;
const CHECK_LIMIT_MS = 60_000;
const CONCURRENT = 50;
const MESSAGES_EACH = 20;

const url = process.argv[2];
if (!url) {
  console.error("usage: node echo.mjs ws://HOST:PORT/echo");
  process.exit(2);
}

const counts = { checks: 0, messages: 0, bytes: 0, connections: 0 };

function expect(actual, wanted, what) {
  if (actual !== wanted) {
    throw new Error(`${what}: expected ${wanted}, got ${actual}`);
  }
}

async function open({ deflate }) {
  const socket = new WebSocket(url, {
    perMessageDeflate: deflate ? { threshold: 0 } : false,
    maxPayload: 2 * MESSAGE_BYTES_MAX,
  });
  await once(socket, "open");
  counts.connections += 1;
  const wanted = deflate ? "permessage-deflate" : "";
  expect(socket.extensions, wanted, "negotiated extensions");
  return socket;
}

/** Closes with `code`, and expects the same code from the gateway. */
async function close(socket, code = 1000, reason = "") {
  const closed = once(socket, "close");
  socket.close(code, reason);
  const [received] = await closed;
  expect(received, code, "code in the gateway's Close");
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function echoes(socket, payload, send) {
  const binary = Buffer.isBuffer(payload);
  const sent = Buffer.from(payload);
  const settled = new AbortController();
  const { signal } = settled;
  const arrival = Promise.race([
    once(socket, "message", { signal }),
    once(socket, "close", { signal }).then(([code]) => {
      throw new Error(`closed with ${code} in place of an echo of ${sent.length} bytes`);
    }),
  ]);
  send ? send(payload) : socket.send(payload);
  const [received, isBinary] = await arrival;
  settled.abort();
  expect(isBinary, binary, "binary");
  expect(received.length, sent.length, "length of the echo");
  expect(digest(received), digest(sent), "content of the echo");
  counts.messages += 1;
  counts.bytes += sent.length;
}

/** Text of exactly `size` bytes with characters of one to four bytes. */
function text(size) {
  const unit = "ring wäy €uro 𝄞 ";
  const whole = unit.repeat(Math.floor(size / Buffer.byteLength(unit)));
  return whole + "x".repeat(size - Buffer.byteLength(whole));
}

async function everySize(mode) {
  const socket = await open(mode);
  for (const size of SIZES) {
    await echoes(socket, text(size));
    const largest = MESSAGE_BYTES_MAX - (mode.deflate ? STORED_BLOCKS_BYTES : 1);
    await echoes(socket, randomBytes(Math.min(size, largest)));
  }
  await close(socket);
}

async function fragmented(mode) {
  const socket = await open(mode);
  for (const payload of [text(100_000), randomBytes(100_000)]) {
    await echoes(socket, payload, () => {
      // Cut in bytes: a character may lie across two fragments.
      const bytes = Buffer.from(payload);
      const binary = Buffer.isBuffer(payload);
      for (let at = 0; at < bytes.length; at += 9_973) {
        const end = at + 9_973;
        socket.send(bytes.subarray(at, end), { binary, fin: end >= bytes.length });
        if (at === 0) socket.ping("between fragments");
      }
    });
  }
  await close(socket);
}

async function pingPong(mode) {
  const socket = await open(mode);
  for (const payload of ["", "x", "p".repeat(125)]) {
    const pong = once(socket, "pong");
    socket.ping(payload);
    expect((await pong)[0].toString(), payload, "payload of the pong");
  }
  await echoes(socket, "after pings");
  await close(socket);
}

async function closeCodes(mode) {
  for (const code of [1000, 1001, 1003, 1011, 3000, 4999]) {
    await close(await open(mode), code, "a reason");
  }
  const socket = await open(mode);
  const closed = once(socket, "close");
  socket.close();
  expect((await closed)[0], 1005, "code when the client's Close has none");
}

async function uncleanThenAgain(mode) {
  for (let round = 0; round < 10; round += 1) {
    const socket = await open(mode);
    await echoes(socket, "before the cut");
    socket.send(text(65_536));
    socket.terminate();
  }
  const socket = await open(mode);
  await echoes(socket, "after the cut");
  await close(socket);
}

async function tooBig(mode) {
  const socket = await open(mode);
  const closed = once(socket, "close");
  socket.on("error", () => {}); // The close event follows and says the code.
  socket.on("message", () => socket.close(1000, "a message over the limit was echoed"));
  socket.send(Buffer.alloc(MESSAGE_BYTES_MAX + 1));
  expect((await closed)[0], 1009, "close code for a message over the limit");
}

async function manyAtOnce(mode) {
  await Promise.all(
    Array.from({ length: CONCURRENT }, async (_, client) => {
      const socket = await open(mode);
      for (let message = 0; message < MESSAGES_EACH; message += 1) {
        await echoes(socket, `client ${client}, message ${message}, ${text(message * 50)}`);
      }
      await close(socket);
    }),
  );
}

async function otherPaths() {
  const page = new URL(url.replace(/^ws/, "http"));
  for (const [path, status] of [["/", 200], ["/no/such/page", 404]]) {
    const response = await fetch(new URL(path, page));
    expect(response.status, status, `status of ${path}`);
    await response.text();
  }
  const socket = new WebSocket(new URL("/no/such/page", url));
  const [error] = await once(socket, "error");
  expect(error.message, "Unexpected server response: 404", "upgrade elsewhere");
}

async function check(name, work, mode) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), CHECK_LIMIT_MS);
  });
  try {
    await Promise.race([work(mode), limit]);
    counts.checks += 1;
  } catch (error) {
    console.error(`ws: FAILED ${name}: ${error.message}`);
    process.exit(1);
  } finally {
    clearTimeout(timer);
  }
}

for (const deflate of [false, true]) {
  for (const work of [
    everySize,
    fragmented,
    pingPong,
    closeCodes,
    uncleanThenAgain,
    tooBig,
    manyAtOnce,
  ]) {
    await check(`${work.name}, deflate ${deflate ? "on" : "off"}`, work, { deflate });
  }
}
await check("otherPaths", otherPaths);
console.log(
  `ws: ${counts.checks} checks, ${counts.connections} connections, ` +
    `${counts.messages} messages, ${counts.bytes} bytes echoed`,
);
process.exit(0);
