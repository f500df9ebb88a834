// socket.io on Node with its defaults, steered over stdin as server.py is.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { setImmediate } from "node:timers/promises";
import { Server } from "socket.io";

const EVENT = "notification";
const AT_ONCE = 100;

const http = createServer();
const io = new Server(http, { cors: { origin: "*" } });

io.on("connection", (socket) => {
  socket.join(`user:${socket.handshake.auth.userId}`);
});

const payload = (n) => ({
  type: "comment",
  postId: 123456,
  commentId: 1000000 + n,
  fromUser: "Alexandra Konstantinidou",
  message: "Alexandra Konstantinidou commented on your post",
});

const commands = {
  collect() {
    globalThis.gc?.();
    return {};
  },
  stats() {
    const { user, system } = process.cpuUsage();
    return { rss_bytes: process.memoryUsage.rss(), cpu_s: (user + system) / 1e6, sockets: io.of("/").sockets.size };
  },
  "join-all"(room) {
    for (const socket of io.of("/").sockets.values()) socket.join(room);
    return {};
  },
  async "emit-room"(room, times) {
    const started = process.hrtime.bigint();
    for (let n = 0; n < Number(times); n++) io.to(room).emit(EVENT, payload(n));
    return { started_ns: Number(started) };
  },
  async "emit-each"(rooms, times) {
    const started = process.hrtime.bigint();
    for (let n = 0; n < Number(times); n++) {
      io.to(`user:${n % Number(rooms)}`).emit(EVENT, payload(n));
      if (n % AT_ONCE === AT_ONCE - 1) await setImmediate();
    }
    return { started_ns: Number(started) };
  },
};

const answer = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

http.listen(0, "127.0.0.1", async () => {
  const { version } = createRequire(import.meta.url)("socket.io/package.json");
  answer({ port: http.address().port, version: `socket.io ${version}, Node ${process.versions.node}` });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(" ");
    answer(await commands[command](...rest));
  }
  process.exit();
});
