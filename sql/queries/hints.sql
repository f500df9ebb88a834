-- name: notify
-- Tells the other servers.
SELECT pg_notify(%(channel)s, %(payload)s)

-- name: backend_pid
-- Which server process answers: another than libpq was told of where a pooler stands in between.
SELECT pg_backend_pid()
