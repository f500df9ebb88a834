-- name: notify
-- Tells the other servers.
SELECT pg_notify(%(channel)s, %(payload)s)
