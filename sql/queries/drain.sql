-- name: drain
-- One step of the drain; and for how long what it took waited at most, as far as few rows tell.
SELECT (jsonb_build_object('waited_s', coalesce(
            (SELECT extract(epoch FROM clock_timestamp() - min(o.at)) FROM (SELECT o.at FROM notify.outbox o LIMIT 500) o),
            0))
        || notify.drain_v3(%(max_rows)s, %(after)s::bigint, %(shadow)s::boolean))::text

-- name: backlog
-- What waits in the outbox, counted no further than max_rows: [rows, seconds that the oldest has waited, rows set aside]
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(o.at)), 0)::float8,
       (SELECT count(*) FROM (SELECT FROM notify.poison LIMIT %(max_rows)s) p)
FROM (SELECT o.at FROM notify.outbox o LIMIT %(max_rows)s) o

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
