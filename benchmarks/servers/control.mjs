// What the benchmark asks a server over stdin, a command a line, each answered by a line of JSON; see control.py.
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";

const EVENT = "notification";
const AT_ONCE = 100;

const payload = (n) => ({
  type: "comment",
  postId: 123456,
  commentId: 1000000 + n,
  fromUser: "Alexandra Konstantinidou",
  message: "Alexandra Konstantinidou commented on your post",
});

const answer = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

// `online` maps a user's id to the socket that is the user's.
export async function obey(io, online, ready) {
  const commands = {
    collect() {
      globalThis.gc();
      return {};
    },
    sockets: () => ({ sockets: io.of("/").sockets.size }),
    "join-all"(room) {
      for (const socket of io.of("/").sockets.values()) socket.join(room);
      return {};
    },
    "emit-room"(room, times) {
      const started = process.hrtime.bigint();
      for (let n = 0; n < Number(times); n++) io.to(room).emit(EVENT, payload(n));
      return { started_ns: Number(started) };
    },
    async "emit-each"(users, times) {
      const started = process.hrtime.bigint();
      for (let n = 0; n < Number(times); n++) {
        io.to(online.get(String((n % Number(users)) + 1))).emit(EVENT, payload(n));
        if (n % AT_ONCE === AT_ONCE - 1) await setImmediate();
      }
      return { started_ns: Number(started) };
    },
  };
  answer(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(" ");
    answer(await commands[command](...rest));
  }
  process.exit();
}
