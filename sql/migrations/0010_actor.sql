-- Entries name the topic of whoever acted, so that a client can offer to mute that person. The function before stays for
-- servers of the version before, while they still run.

-- An entry as clients see it. It takes columns, not a row: taking a row apart costs more than all the rest.
CREATE FUNCTION notify.entry_json_v2(seq bigint, type text, topic text, actor_id text, payload jsonb,
                                     created_at timestamptz, seen_at timestamptz, read_at timestamptz)
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('seq', seq, 'type', type, 'topic', topic, 'actor', 'user:' || actor_id,
        'payload', payload, 'createdAt', notify.json_time_v1(created_at), 'seenAt', notify.json_time_v1(seen_at),
        'readAt', notify.json_time_v1(read_at))
$$;

-- Stores drafts in their users' inboxes, but for what is muted; returns the changes.
CREATE OR REPLACE FUNCTION notify.deliver_v2(drafts notify.draft[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    changes jsonb;
BEGIN
    IF cardinality(drafts) = 0 THEN
        RETURN '[]';
    END IF;
    PERFORM notify.lock_inboxes_v1(ARRAY(SELECT d.user_id FROM unnest(drafts) d));

    WITH numbered AS (
        SELECT d.*, i.last_seq + row_number() OVER (PARTITION BY i.user_id ORDER BY d.n) AS seq
        FROM unnest(drafts) WITH ORDINALITY
             AS d (user_id, type, payload, topic, actor_id, post_id, comment_id, n)
        JOIN notify.inbox i ON i.user_id = d.user_id
        WHERE NOT EXISTS (SELECT FROM notify.mute m WHERE m.user_id = d.user_id
                          AND m.topic IN (d.topic, 'user:' || d.actor_id))
    ), counted AS (
        UPDATE notify.inbox i
        SET last_seq = i.last_seq + n.new, version = i.version + 1,
            unread = i.unread + n.new, unseen = i.unseen + n.new
        FROM (SELECT user_id, count(*) AS new FROM numbered GROUP BY user_id) n
        WHERE i.user_id = n.user_id
        RETURNING i AS inbox
    ), stored AS (
        INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id)
        SELECT d.user_id, d.seq, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id
        FROM numbered d ORDER BY d.n
        RETURNING notification.*
    ), entries AS (
        SELECT s.user_id, jsonb_agg(notify.entry_json_v2(s.seq, s.type, s.topic, s.actor_id, s.payload, s.created_at, NULL, NULL)
                                    ORDER BY s.seq) AS added
        FROM stored s GROUP BY s.user_id
    )
    SELECT jsonb_agg(notify.change_json_v1(c.inbox, jsonb_build_object('added', e.added))) INTO changes
    FROM counted c JOIN entries e ON e.user_id = (c.inbox).user_id;
    RETURN coalesce(changes, '[]');
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
