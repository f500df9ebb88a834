// The reference: Socket.IO's own server with the app of servers.py, as many of them as are asked for.
// One JSON command a line on stdin, one JSON answer a line on stdout:
//   {do: "open", options} → {port}   {do: "close", port} → {port}
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server as Engine } from "engine.io";
import { Server } from "socket.io";

const running = new Map();

function plain(value) {
  return Buffer.isBuffer(value) ? { binary: value.toString("hex") } : value;
}

function addApp(namespace, events) {
  namespace.on("connection", (socket) => {
    events.push(["connect", namespace.name]);
    socket.on("disconnect", (reason) => events.push(["disconnect", namespace.name, reason]));
    socket.onAny((event, ...args) => {
      const sent = args.filter((arg) => typeof arg !== "function");
      events.push(["event", event, sent.map(plain)]);
    });
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
    socket.on("join", async (room, acknowledge) => {
      await socket.join(room);
      acknowledge();
    });
    socket.on("to-room", (room, ...args) => namespace.to(room).emit("room-event", ...args));
    socket.emit("auth", socket.handshake.auth);
  });
}

function open(options) {
  const events = [];
  const http = createServer((request, response) => {
    const clients = ["/", "/custom"].reduce((sum, name) => sum + io.of(name).sockets.size, 0);
    const sessions = io.engine.clientsCount + engine.clientsCount;
    response.end(JSON.stringify({ sessions, clients, events }));
  });
  const all = { ...options, cors: { origin: "*" }, destroyUpgrade: false };
  const engine = new Engine(all);
  engine.attach(http, { ...all, path: "/engine.io" });
  engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  const io = new Server(http, all);
  addApp(io.of("/"), events);
  addApp(io.of("/custom"), events);
  return new Promise((resolve) => {
    http.listen(0, "127.0.0.1", () => {
      const { port } = http.address();
      running.set(port, { http, engine, io });
      resolve(port);
    });
  });
}

const commands = {
  async open({ options }) {
    return open(options);
  },
  async close({ port }) {
    const { http, engine, io } = running.get(port);
    running.delete(port);
    engine.close();
    io.close();
    http.closeAllConnections();
    return port;
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  process.stdout.write(JSON.stringify({ port: await commands[command.do](command) }) + "\n");
}).on("close", () => process.exit(0));
