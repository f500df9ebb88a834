-- name: heads
-- The last seq of each of these users; no row for one who never got anything.
SELECT i.user_id, i.last_seq FROM notify.inbox i WHERE i.user_id = ANY (%(user_ids)s::text[])

-- name: after
-- A user's notifications after a seq, and the last seq, in one snapshot. [seq or NULL, event JSON, last seq]
SELECT n.seq, n.event::text, i.last_seq
FROM notify.inbox i LEFT JOIN LATERAL (
    SELECT n.seq, notify.event_json_v1(n) -> 'event' AS event FROM notify.notification n
    WHERE n.user_id = i.user_id AND n.seq > %(seq)s ORDER BY n.seq LIMIT %(max_rows)s
) n ON true
WHERE i.user_id = %(user_id)s::text ORDER BY n.seq
