import { Server } from "socket.io";

const socketOfUser = new Map();
let io;

export function attachSockets(httpServer) {
  io = new Server(httpServer, { cors: { origin: process.env.CLIENT_URL, credentials: true } });

  io.on("connection", (socket) => {
    const { userId } = socket.handshake.auth;
    socketOfUser.set(String(userId), socket.id);

    socket.on("typing", (postId, name) => {
      socket.broadcast.emit("typing", { postId, name });
    });

    socket.on("disconnect", () => socketOfUser.delete(String(userId)));
  });
}

export function notify(userId, payload) {
  const socketId = socketOfUser.get(String(userId));
  if (socketId) io.to(socketId).emit("notification", payload);
}

export function announce(event, payload) {
  io.emit(event, payload);
}
