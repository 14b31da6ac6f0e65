// Sends messages for /publish to all clients of /subscribe, with Bun's own topics. A message of a
// client of /direct/NAME begins with a NAME and a space, and is sent to the client with that name, by a
// topic of its own. Otherwise it never reads a message: the tester sends the messages in the form that
// subscribers receive. With the argument `deflate` it offers compression; with `tls=FILES` it
// speaks TLS with the certificate FILES.pem and the key FILES.key.

const deflate = process.argv.includes("deflate");
const keys = process.argv.find((word) => word.startsWith("tls="))?.slice(4);
const DIRECT = "/direct/";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0) || 0,
  // Undefined: in plain text.
  tls: keys && { cert: Bun.file(`${keys}.pem`), key: Bun.file(`${keys}.key`) },
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    const name = pathname.startsWith(DIRECT) ? pathname.slice(DIRECT.length) : undefined;
    if (server.upgrade(request, { data: { pathname, name } })) return;
    return new Response("a WebSocket is wanted\n", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    // All subscribers share a compressor, which keeps nothing from message to message.
    perMessageDeflate: deflate && { compress: "shared", decompress: "shared" },
    // Messages beyond this would be dropped, not sent later.
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      const { pathname, name } = socket.data;
      if (name) socket.subscribe(name);
      if (pathname === "/subscribe") socket.subscribe("fan");
    },
    message(socket, message) {
      if (socket.data.name) server.publish(message.slice(0, message.indexOf(" ")), message);
      else socket.publish("fan", message, deflate);
    },
  },
});

console.error(`listens on ${keys ? "wss" : "ws"}://127.0.0.1:${server.port}`);
