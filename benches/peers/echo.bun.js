// Echoes every message, with Bun's own WebSockets, which use uWebSockets. It never reads a
// message. With the argument `deflate` it offers compression; with `tls=FILES` it speaks TLS
// with the certificate FILES.pem and the key FILES.key.

const deflate = process.argv.includes("deflate");
const keys = process.argv.find((word) => word.startsWith("tls="))?.slice(4);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0) || 0,
  // Undefined: in plain text.
  tls: keys && { cert: Bun.file(`${keys}.pem`), key: Bun.file(`${keys}.key`) },
  fetch(request, server) {
    if (server.upgrade(request)) return;
    return new Response("a WebSocket is wanted\n", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    // The shared compressor keeps nothing from message to message.
    perMessageDeflate: deflate && { compress: "shared", decompress: "shared" },
    // Messages beyond this would be dropped, not sent later.
    backpressureLimit: 64 * 1024 * 1024,
    maxPayloadLength: 64 * 1024 * 1024,
    message(socket, message) {
      socket.send(message, deflate);
    },
  },
});

console.error(`listens on ${keys ? "wss" : "ws"}://127.0.0.1:${server.port}`);
