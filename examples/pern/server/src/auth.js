import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import connectPgSimple from "connect-pg-simple";
import { Router } from "express";
import session from "express-session";
import passport from "passport";
import { Strategy as LocalStrategy } from "passport-local";
import { pool } from "./db.js";

export function hashPassword(password) {
  const salt = randomBytes(16);
  return `${salt.toString("hex")}:${scryptSync(password, salt, 32).toString("hex")}`;
}

function isPassword(password, hash) {
  const [salt, key] = hash.split(":").map((part) => Buffer.from(part, "hex"));
  return timingSafeEqual(scryptSync(password, salt, 32), key);
}

passport.use(
  new LocalStrategy(async (username, password, done) => {
    try {
      const { rows } = await pool.query("SELECT * FROM users WHERE username = $1", [username]);
      const user = rows[0];
      if (!user || !isPassword(password, user.password_hash)) return done(null, false);
      return done(null, user);
    } catch (error) {
      return done(error);
    }
  }),
);
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser(async (id, done) => {
  try {
    const { rows } = await pool.query("SELECT id, username AS name FROM users WHERE id = $1", [id]);
    done(null, rows[0] ?? false);
  } catch (error) {
    done(error);
  }
});

const PgSession = connectPgSimple(session);

export const sessions = [
  session({
    store: new PgSession({ pool }),
    secret: process.env.SESSION_SECRET ?? "keyboard cat",
    resave: false,
    saveUninitialized: false,
    cookie: {
      maxAge: 30 * 24 * 60 * 60 * 1000,
      sameSite: "lax",
      secure: process.env.COOKIE_SECURE === "true",
    },
  }),
  passport.initialize(),
  passport.session(),
];

export function requireUser(req, res, next) {
  if (req.user) return next();
  return res.status(401).json({ error: "Please log in" });
}

export const auth = Router();

auth.post("/login", passport.authenticate("local"), (req, res) => {
  res.json({ id: req.user.id, name: req.user.username });
});

auth.post("/register", async (req, res, next) => {
  const { username, password } = req.body ?? {};
  if (!username || !password) return res.status(422).json({ error: "A name and a password are needed" });
  const { rows } = await pool.query(
    "INSERT INTO users (username, password_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING *",
    [username, hashPassword(password)],
  );
  if (!rows[0]) return res.status(409).json({ error: "That name is taken" });
  req.login(rows[0], (error) => (error ? next(error) : res.json({ id: rows[0].id, name: username })));
});

auth.post("/logout", (req, res, next) => {
  req.logout((error) => {
    if (error) return next(error);
    req.session.destroy(() => res.clearCookie("connect.sid").status(204).end());
  });
});

auth.get("/me", requireUser, (req, res) => res.json(req.user));
