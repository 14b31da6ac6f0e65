// Node's `ws`: echoes every message, and sends messages for /publish to all clients of /subscribe.
// It never reads a message.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const subscribers = new Set();
const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
});
const server = createServer((_, response) => response.writeHead(426).end());

server.on("upgrade", (request, stream, head) => {
  sockets.handleUpgrade(request, stream, head, (socket) => {
    // A client that leaves is no error; `close` follows.
    socket.on("error", () => {});
    if (request.url === "/subscribe") {
      subscribers.add(socket);
      socket.on("close", () => subscribers.delete(socket));
    } else if (request.url === "/publish") {
      socket.on("message", (data, binary) => {
        for (const subscriber of subscribers) subscriber.send(data, { binary });
      });
    } else {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    }
  });
});

server.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0), backlog: 4096 }, () => {
  console.error(`listens on ws://127.0.0.1:${server.address().port}`);
});
