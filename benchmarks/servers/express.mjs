// The server that notify-server replaces, as somebody who cares about speed would have it: no request is logged, and the
// secret is made into a key once (KEY=string leaves that out, as most do).
import { createSecretKey } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import cors from "cors";
import express from "express";
import jwt from "jsonwebtoken";
import pg from "pg";
import { Server } from "socket.io";
import { obey } from "./control.mjs";

const { CLIENT_URL, DATABASE_URL, JWT_SECRET, KEY } = process.env;
const secret = KEY === "string" ? JWT_SECRET : createSecretKey(Buffer.from(JWT_SECRET));
const verify = (token) => jwt.verify(token, secret, { algorithms: ["HS256"] });

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const app = express();
const http = createServer(app);
const io = new Server(http, { cors: { origin: CLIENT_URL, credentials: true } });
const online = new Map();

io.use((socket, next) => {
  try {
    socket.user = verify(socket.handshake.auth.token);
    next();
  } catch {
    next(new Error("unauthorized"));
  }
});
io.on("connection", (socket) => {
  const { sub } = socket.user;
  online.set(sub, socket.id);
  socket.on("disconnect", () => {
    if (online.get(sub) === socket.id) online.delete(sub);
  });
});

function authenticated(req, res, next) {
  try {
    req.user = verify(req.headers.authorization?.replace("Bearer ", ""));
  } catch {
    return res.status(401).json({ error: "unauthorized" });
  }
  next();
}

app.use(cors({ origin: CLIENT_URL, credentials: true }));
app.use(express.json());
app.post("/posts/:postId/comments", authenticated, async (req, res) => {
  const { rows: comments } = await pool.query(
    `INSERT INTO comments (post_id, author_id, body) VALUES ($1, $2, $3)
     RETURNING id, post_id AS "postId", author_id AS "authorId", body, created_at AS "createdAt"`,
    [req.params.postId, req.user.sub, req.body.body],
  );
  const { rows: posts } = await pool.query("SELECT id, author_id FROM posts WHERE id = $1", [req.params.postId]);
  const [comment] = comments;
  const author = String(posts[0].author_id);
  if (author !== req.user.sub && online.has(author)) {
    io.to(online.get(author)).emit("notification", {
      type: "comment",
      postId: comment.postId,
      commentId: comment.id,
      fromUser: req.user.name,
      message: `${req.user.name} commented on your post`,
    });
  }
  res.json(comment);
});

http.listen(0, "127.0.0.1", 1024, () => {
  const require = createRequire(import.meta.url);
  const versionOf = (name) => require(`${name}/package.json`).version;
  const version = `Express ${versionOf("express")}, socket.io ${versionOf("socket.io")}, Node ${process.versions.node}`;
  obey(io, online, { port: http.address().port, version });
});
