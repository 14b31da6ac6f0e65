// Node's `ws`: echoes every message, and sends messages for /publish to all clients of /subscribe.
// It never reads a message. With the argument `deflate` it offers compression.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const deflate = process.argv.includes("deflate") && {
  // As the other servers: every message, quickly, and nothing kept between two of them.
  threshold: 0,
  zlibDeflateOptions: { level: 1 },
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
};
const subscribers = new Set();
const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: deflate,
});
const server = createServer((_, response) => response.writeHead(426).end());

server.on("upgrade", (request, stream, head) => {
  sockets.handleUpgrade(request, stream, head, (socket) => {
    // A client that leaves is no error; `close` follows.
    socket.on("error", () => {});
    if (request.url === "/subscribe") {
      subscribers.add(socket);
      socket.on("close", () => subscribers.delete(socket));
    } else if (request.url.startsWith("/publish")) {
      socket.on("message", (data, binary) => {
        for (const subscriber of subscribers) subscriber.send(data, { binary });
      });
    } else {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    }
  });
});

server.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) || 0, backlog: 4096 }, () => {
  console.error(`listens on ws://127.0.0.1:${server.address().port}`);
});
