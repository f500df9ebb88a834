-- name: drain
-- One step of the drain.
SELECT notify.drain_v3(%(max_rows)s, %(after)s::bigint, %(shadow)s::boolean)::text

-- name: rotate
-- Keeps the outbox small; gives its bytes.
SELECT notify.rotate_v1(%(max_bytes)s)

-- name: reconcile
-- Puts comments into the outbox that nothing told us of.
SELECT notify.reconcile_v1(%(after)s::text, %(newest)s::boolean, %(max_rows)s)::text

-- name: reconcile_gone
-- Puts comments into the outbox whose deletion nothing told us of.
SELECT notify.reconcile_gone_v1(%(after)s::text, %(max_rows)s)::text

-- name: watch
-- Whether a full scan is due.
SELECT notify.watch_v2()::text
