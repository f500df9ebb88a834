-- The store of connect-pg-simple: "session" stands for the table that SESSION_TABLE and SESSION_SCHEMA name. A session is
-- read as text, because PostgreSQL's JSON operators fail a whole query for one that holds \u0000 anywhere.

-- name: load
-- Sessions that have not expired: id, content, seconds left.
SELECT s.sid, s.sess::text, (extract(epoch FROM s.expire::timestamptz) - extract(epoch FROM now()))::float8
FROM "session" s WHERE s.sid = ANY (%(sids)s::text[]) AND s.expire >= now()

-- name: changed
-- Of these sessions (by their place in the lists) those with another row version than the one last seen, and what they
-- hold now; NULLs for one that expired or was deleted.
SELECT open.place::int, now_.version, now_.content
FROM unnest(%(sids)s::text[], %(versions)s::text[]) WITH ORDINALITY AS open (sid, version, place)
LEFT JOIN LATERAL ( -- with a LIMIT, because a join would at times read the whole table
  SELECT s.xmin::text AS version, s.sess::text AS content
  FROM "session" s WHERE s.sid = open.sid AND s.expire >= now() LIMIT 1
) now_ ON true
WHERE now_.version IS DISTINCT FROM open.version

-- name: touch
-- Prolongs a session as the store's own touch does, unless that was done a moment ago or somebody is at it.
UPDATE "session" SET expire = to_timestamp(ceil(extract(epoch FROM now())::float8 + %(lifetime_s)s::float8))
WHERE sid IN (SELECT s.sid FROM "session" s
              WHERE s.sid = %(sid)s AND s.expire >= now()
                AND s.expire < now() + make_interval(secs => %(lifetime_s)s::float8 - %(pause_s)s::float8)
              FOR UPDATE SKIP LOCKED)
