// Sends messages for /publish to all clients of /subscribe, with Bun's own topics. It never reads a
// message: the tester sends the messages in the form that subscribers receive.

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (server.upgrade(request, { data: { pathname } })) return;
    return new Response("a WebSocket is wanted\n", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    // Messages beyond this would be dropped, not sent later.
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      if (socket.data.pathname === "/subscribe") socket.subscribe("fan");
    },
    message(socket, message) {
      socket.publish("fan", message);
    },
  },
});

console.error(`listens on ws://127.0.0.1:${server.port}`);
