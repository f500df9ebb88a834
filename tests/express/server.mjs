// Logs people in as Express apps do. One JSON argument: {database, secret, name, table, schema, maxAge, ttl, whole}; it
// prints its port.  POST /login {username, password} (passport)   POST /logout (passport)   POST /destroy
//                   POST /become {userId}: an app's own way, without passport   GET /me   GET /touched (an empty use)
import connectPgSimple from "connect-pg-simple";
import express from "express";
import session from "express-session";
import passport from "passport";
import { Strategy } from "passport-local";
import pg from "pg";

const options = JSON.parse(process.argv[2]);
const pool = new pg.Pool({ connectionString: options.database, max: 4 });
pool.on("error", () => {});
const Store = connectPgSimple(session);
const store = new Store({
  pool,
  tableName: options.table,
  schemaName: options.schema,
  ttl: options.ttl,
  createTableIfMissing: true,
  pruneSessionInterval: false,
});

async function userWhere(column, value) {
  const { rows } = await pool.query(`SELECT id, name FROM users WHERE ${column} = $1`, [value]);
  return rows[0] ?? false;
}

passport.use(new Strategy((username, password, done) => {
  userWhere("name", username).then((user) => done(null, password === `${username}'s` && user), done);
}));
passport.serializeUser((user, done) => done(null, options.whole ? user : user.id));
passport.deserializeUser((kept, done) => {
  userWhere("id", options.whole ? kept.id : kept).then((user) => done(null, user), done);
});

const app = express();
app.use(express.json());
app.use(session({
  store,
  secret: options.secret,
  name: options.name,
  resave: false,
  saveUninitialized: true,
  cookie: { maxAge: options.maxAge ?? null, sameSite: "lax" },
}));
app.use(passport.session());
app.post("/login", passport.authenticate("local"), (req, res) => res.json({ id: req.user.id }));
app.post("/logout", (req, res, next) => req.logout((error) => (error ? next(error) : res.json({}))));
app.post("/destroy", (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.json({}))));
app.post("/become", (req, res) => {
  req.session.userId = req.body.userId;
  req.session.note = req.body.note;
  res.json({});
});
app.get("/me", (req, res) => (req.user ? res.json(req.user) : res.sendStatus(401)));
app.get("/touched", (req, res) => res.json({ expires: req.session.cookie.expires ?? null }));

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
