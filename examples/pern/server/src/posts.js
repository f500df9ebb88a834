import { Router } from "express";
import { requireUser } from "./auth.js";
import { pool } from "./db.js";
import { announce, notify } from "./sockets.js";

const toPost = (row) => ({ id: row.id, authorId: row.user_id, title: row.title, body: row.body });

const toComment = (row) => ({
  id: row.id,
  postId: row.post_id,
  authorId: row.user_id,
  body: row.content,
  createdAt: row.created_at,
});

export const posts = Router();
posts.use(requireUser);

posts.get("/users", async (_req, res) => {
  const { rows } = await pool.query("SELECT id, username AS name FROM users ORDER BY id");
  res.json(rows);
});

posts.get("/posts", async (_req, res) => {
  const { rows } = await pool.query("SELECT * FROM posts ORDER BY id DESC LIMIT 50");
  res.json(rows.map(toPost));
});

posts.get("/posts/:id", async (req, res) => {
  const { rows } = await pool.query("SELECT * FROM posts WHERE id = $1", [req.params.id]);
  if (!rows[0]) return res.status(404).json({ error: "There is no such post" });
  res.json(toPost(rows[0]));
});

posts.get("/posts/:postId/comments", async (req, res) => {
  const { rows } = await pool.query(
    "SELECT * FROM comments WHERE post_id = $1 ORDER BY created_at, id LIMIT 50",
    [req.params.postId],
  );
  res.json(rows.map(toComment));
});

posts.post("/posts/:postId/comments", async (req, res) => {
  const { body } = req.body ?? {};
  if (typeof body !== "string" || !body.trim())
    return res.status(422).json({ error: "Write something first" });
  const post = (await pool.query("SELECT * FROM posts WHERE id = $1", [req.params.postId])).rows[0];
  if (!post) return res.status(404).json({ error: "There is no such post" });

  const { rows } = await pool.query(
    "INSERT INTO comments (post_id, user_id, content) VALUES ($1, $2, $3) RETURNING *",
    [post.id, req.user.id, body],
  );
  const comment = toComment(rows[0]);
  if (post.user_id !== req.user.id) {
    notify(post.user_id, {
      type: "comment",
      postId: post.id,
      commentId: comment.id,
      fromUser: req.user.name,
      message: `${req.user.name} commented on your post`,
    });
  }
  res.json(comment);
});

posts.get("/likes", async (req, res) => {
  const { rows } = await pool.query(
    `SELECT post_id AS "postId", count(*)::int AS count, bool_or(user_id = $1) AS mine FROM likes GROUP BY post_id`,
    [req.user.id],
  );
  res.json(rows);
});

posts.post("/posts/:id/like", async (req, res) => {
  await pool.query("INSERT INTO likes (post_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", [
    req.params.id,
    req.user.id,
  ]);
  announce("liked", { postId: Number(req.params.id) });
  res.status(204).end();
});
