-- name: state
-- Inboxes as sockets begin with them, in one snapshot: [which, last seq, version, unread, unseen, pruned_upto, floor].
-- The floor is where a client begins that does not know: behind what arrived, and behind all but the newest few unread.
SELECT a.nth, coalesce(i.last_seq, 0), coalesce(i.version, 0), coalesce(i.unread, 0), coalesce(i.unseen, 0),
       coalesce(i.pruned_upto, 0), least(greatest(r.seq, f.seq, 0), coalesce(i.last_seq, 0))
FROM unnest(%(user_ids)s::text[]) WITH ORDINALITY AS a (user_id, nth)
LEFT JOIN notify.inbox i ON i.user_id = a.user_id
LEFT JOIN notify.arrival r ON r.user_id = a.user_id
LEFT JOIN LATERAL (
    SELECT max(c.seq) FILTER (WHERE c.nth > %(max_rows)s OR c.created_at < now() - make_interval(secs => %(max_age_s)s))
           AS seq
    FROM (SELECT n.seq, n.created_at, row_number() OVER (ORDER BY n.seq DESC) AS nth FROM notify.notification n
          WHERE n.user_id = a.user_id AND n.read_at IS NULL AND n.seq > coalesce(r.seq, 0)
          ORDER BY n.seq DESC LIMIT %(max_rows)s + 1) c
) f ON true
ORDER BY a.nth

-- name: after
-- Unread notifications behind a seq, for several inboxes, in one snapshot, bounded in rows and in bytes of payloads:
-- [which, seq or NULL, entry, whether there are more behind it, last seq, version, altered, unread, unseen]
SELECT a.nth, e.seq, e.entry::text, e.more, coalesce(i.last_seq, 0), coalesce(i.version, 0), coalesce(i.altered, 0),
       coalesce(i.unread, 0), coalesce(i.unseen, 0)
FROM unnest(%(user_ids)s::text[], %(seqs)s::bigint[]) WITH ORDINALITY AS a (user_id, seq, nth)
LEFT JOIN notify.inbox i ON i.user_id = a.user_id
LEFT JOIN LATERAL (
    SELECT w.seq, w.more,
           notify.entry_json_v2(w.seq, w.type, w.topic, w.actor_id, w.payload, w.created_at, w.seen_at, w.read_at) AS entry
    FROM (SELECT n.*, lead(n.seq) OVER way IS NOT NULL AS more, row_number() OVER way AS nth,
                 sum(octet_length(n.payload::text)) OVER way AS bytes
          FROM (SELECT n.* FROM notify.notification n
                WHERE n.user_id = a.user_id AND n.seq > a.seq AND n.read_at IS NULL
                ORDER BY n.seq LIMIT %(max_rows)s + 1) n
          WINDOW way AS (ORDER BY n.seq)) w
    WHERE w.nth = 1 OR (w.nth <= %(max_rows)s AND w.bytes <= %(max_bytes)s)
) e ON true
ORDER BY a.nth, e.seq

-- name: count_after
-- How many unread notifications there are behind a seq, counted no further than max_rows.
SELECT count(*) FROM (SELECT FROM notify.notification n WHERE n.user_id = %(user_id)s AND n.seq > %(seq)s
                      AND n.read_at IS NULL ORDER BY n.seq LIMIT %(max_rows)s) c

-- name: altered
-- Of these users those whose inboxes have another version: [user, version]. One who never got anything has version 0.
SELECT a.user_id, coalesce(i.version, 0)
FROM unnest(%(user_ids)s::text[], %(versions)s::bigint[]) AS a (user_id, version)
LEFT JOIN notify.inbox i ON i.user_id = a.user_id
WHERE coalesce(i.version, 0) <> a.version

-- name: arrived
-- Notes up to which seq clients have received everything; never back, never beyond what there is.
INSERT INTO notify.arrival AS r (user_id, seq)
SELECT i.user_id, least(max(a.seq), i.last_seq)
FROM unnest(%(user_ids)s::text[], %(seqs)s::bigint[]) AS a (user_id, seq)
JOIN notify.inbox i ON i.user_id = a.user_id
GROUP BY i.user_id ORDER BY i.user_id
ON CONFLICT (user_id) DO UPDATE SET seq = excluded.seq WHERE r.seq < excluded.seq

-- name: moment
-- What tells this database's past from that of a restored one; and what differs as soon as anything was committed in the
-- cluster: what a snapshot sees depends on nothing else.
SELECT notify.epoch_v1(), concat_ws(' ', pg_postmaster_start_time(), pg_current_snapshot())

-- name: secret
-- What signs sessions where no setting does.
SELECT r.secret FROM notify.recovery r

-- name: new_epoch
-- Begins a new epoch: no client resumes what it had before.
UPDATE notify.recovery SET epoch = epoch + 1 RETURNING epoch

-- name: list
-- A page of an inbox, newest first, and its counts, in one snapshot: [seq or NULL, entry, unread, unseen, version]
SELECT e.seq, e.entry::text, coalesce(i.unread, 0), coalesce(i.unseen, 0), coalesce(i.version, 0)
FROM (SELECT %(user_id)s::text AS user_id) a
LEFT JOIN notify.inbox i ON i.user_id = a.user_id
LEFT JOIN LATERAL (
    SELECT n.seq, notify.entry_json_v2(n.seq, n.type, n.topic, n.actor_id, n.payload, n.created_at, n.seen_at, n.read_at)
           AS entry
    FROM notify.notification n
    WHERE n.user_id = a.user_id AND (%(before)s::bigint IS NULL OR n.seq < %(before)s)
      AND (NOT %(unread_only)s OR n.read_at IS NULL)
      AND (%(type)s::text IS NULL OR n.type = %(type)s) AND (%(topic)s::text IS NULL OR n.topic = %(topic)s)
    ORDER BY n.seq DESC LIMIT %(max_rows)s
) e ON true
ORDER BY e.seq DESC

-- name: counts
-- [unread, unseen, version]; no row for one who never got anything.
SELECT i.unread, i.unseen, i.version FROM notify.inbox i WHERE i.user_id = %(user_id)s

-- name: mark_seen
-- One step of marking as seen.
SELECT notify.mark_seen_v1(%(user_id)s::text, %(upto)s::bigint, %(max_rows)s)::text

-- name: mark_read
-- One step of marking as read.
SELECT notify.mark_read_v1(%(user_id)s::text, %(seqs)s::bigint[], %(topic)s::text, %(upto)s::bigint, %(max_rows)s)::text

-- name: mark_unread
-- Marks as unread.
SELECT notify.mark_unread_v1(%(user_id)s::text, %(seqs)s::bigint[])::text

-- name: delete
-- Deletes from one's own inbox.
SELECT notify.delete_notifications_v1(%(user_id)s::text, %(seqs)s::bigint[])::text

-- name: mute
-- Mutes a topic; false where there are too many.
SELECT notify.mute_v1(%(user_id)s::text, %(topic)s::text, %(max_mutes)s)

-- name: unmute
-- Unmutes a topic.
DELETE FROM notify.mute WHERE user_id = %(user_id)s AND topic = %(topic)s

-- name: mutes
-- What a user has muted, newest first.
SELECT jsonb_build_object('topic', m.topic, 'createdAt', notify.json_time_v1(m.at))::text
FROM notify.mute m WHERE m.user_id = %(user_id)s ORDER BY m.at DESC, m.topic

-- name: prune
-- One step of deleting what is older than the retention.
SELECT notify.prune_v1(now() - make_interval(days => %(days)s), %(after)s::text, %(max_users)s, %(max_rows)s)::text
