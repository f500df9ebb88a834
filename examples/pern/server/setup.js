// npm run db: makes the tables, and three people with posts where there is nobody yet. Everybody's password is "secret".
import { readFile } from "node:fs/promises";
import { hashPassword } from "./src/auth.js";
import { pool } from "./src/db.js";

await pool.query(await readFile(new URL("schema.sql", import.meta.url), "utf8"));

const { rows } = await pool.query("SELECT count(*)::int AS count FROM users");
if (rows[0].count === 0) {
  for (const username of ["ada", "grace", "linus"]) {
    await pool.query("INSERT INTO users (username, password_hash) VALUES ($1, $2)", [
      username,
      hashPassword("secret"),
    ]);
  }
  for (const [username, title, body] of [
    ["linus", "Just a hobby", "Won't be big and professional. Which features would most people want?"],
    ["grace", "A moth in relay 70", "Found it this afternoon, taped it into the log book."],
    [
      "ada",
      "Notes on the Analytical Engine",
      "It weaves algebraic patterns as the loom weaves flowers and leaves.",
    ],
  ]) {
    await pool.query(
      "INSERT INTO posts (user_id, title, body) SELECT id, $2, $3 FROM users WHERE username = $1",
      [username, title, body],
    );
  }
}
await pool.end();
