// What a publisher sends to /publish goes to all who are connected to /subscribe, by Bun's own
// topics. It never looks into a message: the tester sends what is to arrive.

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
    // What is longer would be dropped, not sent later.
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
