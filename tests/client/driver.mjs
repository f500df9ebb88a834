// Drives real socket.io-client sockets for the tests: one JSON command a line on stdin, one JSON event a line on stdout.
//   {do: "open", id, version, url, options}   {do: "close", id}   {do: "emit", id, args}   {do: "drop", id}
//   {do: "ask", id, args}: emits with an acknowledgement, told as the event "answer"
//   → {id, event: "open" | "connect" | "disconnect" | "connect_error" | "upgrade" | <name>, args}
import { createInterface } from "node:readline";

const libraries = {};
for (const version of ["4.0", "4.5", "4.6", "4.8"]) {
  libraries[version] = (await import(`client-${version}`)).io;
}
const sockets = new Map();

function tell(id, event, args) {
  process.stdout.write(JSON.stringify({ id, event, args }) + "\n");
}

const commands = {
  open({ id, version, url, options }) {
    const socket = libraries[version](url, { forceNew: true, ...options });
    sockets.set(id, socket);
    socket.io.on("open", () => {
      tell(id, "open", [socket.io.engine.transport.name]);
      socket.io.engine.on("upgrade", (transport) => tell(id, "upgrade", [transport.name]));
    });
    socket.on("connect", () => tell(id, "connect", [socket.id, socket.recovered ?? false]));
    socket.on("disconnect", (reason) => tell(id, "disconnect", [reason]));
    socket.on("connect_error", (error) => tell(id, "connect_error", [error.message, error.data ?? null]));
    socket.onAny((event, ...args) => tell(id, event, args));
  },
  close({ id }) {
    sockets.get(id).disconnect();
    sockets.delete(id);
  },
  emit({ id, args }) {
    sockets.get(id).emit(...args);
  },
  ask({ id, args }) {
    sockets.get(id).emit(...args, (...answer) => tell(id, "answer", answer));
  },
  drop({ id }) {
    sockets.get(id).io.engine.close(); // as a network that fails: the client comes back by itself
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on("close", () => process.exit(0));
tell(null, "ready", []);
