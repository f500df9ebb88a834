// Many stock socket.io-client sockets in one process. One JSON command a line on stdin:
//   {do: "open", life, user, version, transport, url}   {do: "close", life}
// and one JSON record a line on stdout, which is a file: {at, life, event, …}, `at` in seconds since the epoch.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../client/driver.mjs", import.meta.url)); // where the clients are installed
const libraries = { 4.5: require("client-4.5").io, 4.6: require("client-4.6").io, 4.8: require("client-4.8").io };
const transports = { default: undefined, websocket: ["websocket"], polling: ["polling"] };
const sockets = new Map();

function tell(life, event, facts) {
  process.stdout.write(JSON.stringify({ at: Date.now() / 1000, life, event, ...facts }) + "\n");
}

const commands = {
  open({ life, user, version, transport, url }) {
    const chosen = transports[transport] ? { transports: transports[transport] } : {};
    const socket = libraries[version](url, { forceNew: true, auth: { userId: user }, ...chosen });
    sockets.set(life, socket);
    tell(life, "open", { user, version, transport });
    socket.on("connect", () =>
      tell(life, "connect", { sid: socket.id, pid: socket._pid, recovered: socket.recovered ?? false }));
    socket.on("disconnect", (reason) => tell(life, "disconnect", { reason }));
    socket.on("connect_error", (error) =>
      tell(life, "connect_error", { message: error.message, active: socket.active ?? true }));
    socket.on("notification", (payload, offset) => tell(life, "notification", { payload, offset }));
    socket.on("notifications:changed", (counts) => tell(life, "changed", { counts }));
  },
  close({ life }) {
    sockets.get(life).disconnect();
    sockets.delete(life);
    tell(life, "close", {});
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => process.exit(0));
tell(0, "ready", {});
