-- The store of connect-pg-simple: "session" stands for the table that SESSION_TABLE and SESSION_SCHEMA name. What is taken
-- out of a session stays JSON (#>, never #>>): one with \u0000 anywhere in it would fail the query for all.

-- name: load
-- Sessions that have not expired: id, the user as JSON, the cookie's maxAge in ms as JSON, seconds left.
SELECT s.sid, (s.sess::json #> %(user_path)s::text[])::text, (s.sess::json #> '{cookie,originalMaxAge}')::text,
       extract(epoch FROM s.expire - now())::float8
FROM "session" s WHERE s.sid = ANY (%(sids)s::text[]) AND s.expire >= now()

-- name: ended
-- Which of these sessions (by their place in the lists) expired, were deleted, or are not that user's any more.
SELECT open.place::int
FROM unnest(%(sids)s::text[], %(users)s::text[]) WITH ORDINALITY AS open (sid, user_json, place)
WHERE NOT EXISTS (SELECT FROM "session" s WHERE s.sid = open.sid AND s.expire >= now()
                                            AND (s.sess::json #> %(user_path)s::text[])::text = open.user_json)

-- name: touch
-- Prolongs a session as the store's own touch does, unless that was done a moment ago or somebody is at it.
UPDATE "session" SET expire = to_timestamp(ceil(extract(epoch FROM now())::float8 + %(lifetime_s)s::float8))
WHERE sid IN (SELECT s.sid FROM "session" s
              WHERE s.sid = %(sid)s AND s.expire >= now()
                AND s.expire < now() + make_interval(secs => %(lifetime_s)s::float8 - %(pause_s)s::float8)
              FOR UPDATE SKIP LOCKED)
