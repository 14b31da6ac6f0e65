// A reverse proxy on loopback with the faults of real proxies and networks: it refuses paths,
// swallows responses, cuts every connection in mid-event, and dies silently. It never changes the
// bytes that it forwards.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";

const words = (request) => `${request.method} ${request.url} HTTP/1.1\r\n`;

export class Proxy {
  /** Requests whose URL matches this are ended without an answer. */
  refuses = () => false;
  /** Requests whose URL matches this get no bytes back, as from a proxy that buffers. */
  swallows = () => false;
  #target;
  #server = http.createServer();
  #sockets = new Set();
  #dead = false;

  constructor(target) {
    this.#target = new URL(target);
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {}); // cut
    });
    this.#server.on("request", (request, response) => this.#pass(request, response));
    this.#server.on("upgrade", (request, socket, head) => this.#tunnel(request, socket, head));
  }

  /** Listens, and returns the URL to use in place of the gateway's. */
  async start() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Cuts every connection. */
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** From now on silently forwards nothing: connections stay open, new ones hang. */
  die() {
    this.#dead = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** New connections work again; those that died stay dead, as after a change of networks. */
  mend() {
    this.refuses = this.swallows = () => false;
    this.#dead = false;
  }

  stop() {
    this.cut();
    this.#server.close();
  }

  #pass(request, response) {
    if (this.#dead) return;
    if (this.refuses(request.url)) return request.socket.destroy();
    const { hostname, port } = this.#target;
    const { method, url, headers } = request;
    const onward = http.request({ hostname, port, method, path: url, headers, agent: false });
    onward.on("error", () => request.socket.destroy());
    onward.on("response", (answer) => {
      answer.on("error", () => request.socket.destroy());
      if (this.swallows(url)) return answer.resume();
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.on("data", (chunk) => this.#dead || response.write(chunk));
      answer.on("end", () => this.#dead || response.end());
    });
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  #tunnel(request, socket, head) {
    if (this.#dead) return;
    if (this.refuses(request.url)) return socket.destroy();
    const onward = net.connect(this.#target.port, this.#target.hostname);
    onward.on("error", () => socket.destroy());
    onward.on("close", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    let fields = "";
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      fields += `${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}\r\n`;
    }
    onward.write(`${words(request)}${fields}\r\n`);
    onward.write(head);
    socket.pipe(onward);
    if (this.swallows(request.url)) onward.resume();
    else onward.on("data", (chunk) => this.#dead || socket.write(chunk));
  }
}
