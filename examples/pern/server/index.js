import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import cors from "cors";
import express from "express";
import { auth, sessions } from "./src/auth.js";
import { posts } from "./src/posts.js";
import { attachSockets } from "./src/sockets.js";

const app = express();
const server = createServer(app);

app.set("trust proxy", 1);
if (process.env.CLIENT_URL) app.use(cors({ origin: process.env.CLIENT_URL, credentials: true }));
const client = fileURLToPath(new URL("../client/dist", import.meta.url));
if (existsSync(client)) app.use(express.static(client));
app.use(express.json());
app.use(sessions);
app.use("/auth", auth);
app.use(posts);
app.use((error, _req, res, _next) => {
  console.error(error);
  res.status(500).json({ error: "Something went wrong" });
});
attachSockets(server);

const port = Number(process.env.PORT ?? 5000);
server.listen(port, () => console.log(`listening on port ${server.address().port}`));
