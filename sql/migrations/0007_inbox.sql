-- The inbox as people use it: every change has a version and is told in one form; marks, mutes, arrivals, retention.
--
-- Invariants, beside those of 0001:
--   * a change raises `version` by one; `altered` is the version of the last change that was no delivery, so that who
--     knows the inbox as of `altered` or later can tell by the rows alone what came since;
--   * what is read is seen: unseen rows are unread ones; all rows up to `seen_upto` are seen;
--   * whoever locks several inboxes does so in one statement, in order of users.

ALTER TABLE notify.inbox
    ADD COLUMN altered   bigint NOT NULL DEFAULT 0,
    ADD COLUMN seen_upto bigint NOT NULL DEFAULT 0;

CREATE INDEX notification_unread ON notify.notification (user_id, seq) WHERE read_at IS NULL;

-- Up to which seq a user's clients are known to have received everything. A table of its own: it is written often, and
-- must neither wait for an inbox nor make one wait.
CREATE TABLE notify.arrival (
    user_id text COLLATE "C" PRIMARY KEY,
    seq     bigint NOT NULL
) WITH (fillfactor = 50);

-- What a user does not want to hear of: `post:<id>` or `user:<id>`.
CREATE TABLE notify.mute (
    user_id text COLLATE "C" NOT NULL,
    topic   text COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, topic)
);

-- An entry as clients see it. It takes columns, not a row: taking a row apart costs more than all the rest.
CREATE FUNCTION notify.entry_json_v1(seq bigint, type text, topic text, payload jsonb, created_at timestamptz,
                                     seen_at timestamptz, read_at timestamptz)
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('seq', seq, 'type', type, 'topic', topic, 'payload', payload,
        'createdAt', notify.json_time_v1(created_at), 'seenAt', notify.json_time_v1(seen_at),
        'readAt', notify.json_time_v1(read_at))
$$;

-- One change of one inbox, as the server's feeds take it: {"user", "change": {"from", "to", "unread", "unseen", …what}}
CREATE FUNCTION notify.change_json_v1(i notify.inbox, what jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('user', i.user_id, 'change', what || jsonb_build_object(
        'from', i.version - 1, 'to', i.version, 'unread', i.unread, 'unseen', i.unseen))
$$;

-- Locks inboxes, making those that do not exist.
CREATE FUNCTION notify.lock_inboxes_v1(user_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notify.inbox (user_id)
    SELECT DISTINCT u COLLATE "C" FROM unnest(user_ids) u
    WHERE NOT EXISTS (SELECT FROM notify.inbox i WHERE i.user_id = u) ORDER BY 1
    ON CONFLICT DO NOTHING;
    PERFORM FROM notify.inbox i WHERE i.user_id = ANY (user_ids) ORDER BY i.user_id FOR UPDATE;
END $$;

-- Stores drafts in their users' inboxes, but for what is muted; returns the changes.
CREATE FUNCTION notify.deliver_v2(drafts notify.draft[]) RETURNS jsonb LANGUAGE plpgsql AS $$
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
        SELECT s.user_id, jsonb_agg(notify.entry_json_v1(s.seq, s.type, s.topic, s.payload, s.created_at, NULL, NULL)
                                    ORDER BY s.seq) AS added
        FROM stored s GROUP BY s.user_id
    )
    SELECT jsonb_agg(notify.change_json_v1(c.inbox, jsonb_build_object('added', e.added))) INTO changes
    FROM counted c JOIN entries e ON e.user_id = (c.inbox).user_id;
    RETURN coalesce(changes, '[]');
END $$;

-- Takes notifications out of their inboxes: user_ids[i] with seqs[i], where they are there. Returns the changes.
CREATE FUNCTION notify.remove_notifications_v1(user_ids text[], seqs bigint[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    changes jsonb;
BEGIN
    IF coalesce(cardinality(user_ids), 0) = 0 THEN
        RETURN '[]';
    END IF;
    PERFORM FROM notify.inbox i WHERE i.user_id = ANY (user_ids) ORDER BY i.user_id FOR UPDATE;

    WITH gone AS (
        DELETE FROM notify.notification n
        USING unnest(user_ids, seqs) AS t (user_id, seq)
        WHERE n.user_id = t.user_id AND n.seq = t.seq
        RETURNING n.user_id, n.seq, n.read_at, n.seen_at
    ), counted AS (
        UPDATE notify.inbox i
        SET version = i.version + 1, altered = i.version + 1, unread = i.unread - g.unread, unseen = i.unseen - g.unseen
        FROM (SELECT user_id, count(*) FILTER (WHERE read_at IS NULL) AS unread,
                     count(*) FILTER (WHERE seen_at IS NULL) AS unseen
              FROM gone GROUP BY user_id) g
        WHERE i.user_id = g.user_id
        RETURNING i AS inbox
    ), removed AS (
        SELECT user_id, jsonb_agg(seq ORDER BY seq) AS seqs FROM gone GROUP BY user_id
    )
    SELECT jsonb_agg(notify.change_json_v1(c.inbox, jsonb_build_object('removed', r.seqs))) INTO changes
    FROM counted c JOIN removed r ON r.user_id = (c.inbox).user_id;
    RETURN coalesce(changes, '[]');
END $$;

-- Counts a change of one's own inbox, which the caller has locked, and gives it; an array, empty where nothing changed.
CREATE FUNCTION notify.count_change_v1(inbox_of text, fewer_unread bigint, fewer_unseen bigint, what jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    changed notify.inbox;
BEGIN
    UPDATE notify.inbox i
    SET version = i.version + 1, altered = i.version + 1,
        unread = i.unread - fewer_unread, unseen = i.unseen - fewer_unseen
    WHERE i.user_id = inbox_of RETURNING * INTO changed;
    RETURN jsonb_build_array(notify.change_json_v1(changed, what));
END $$;

-- {"changes": […], "unread", "unseen", "version", "upto": the seq up to which a mark goes, null where it is done}
CREATE FUNCTION notify.marked_json_v1(inbox_of text, changes jsonb, upto bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('changes', coalesce(changes, '[]'), 'unread', coalesce(i.unread, 0),
        'unseen', coalesce(i.unseen, 0), 'version', coalesce(i.version, 0), 'upto', upto)
    FROM (SELECT) one LEFT JOIN notify.inbox i ON i.user_id = inbox_of
$$;

-- Marks as seen what is at or below `upto`, at most max_rows at once; to be called with the `upto` it answers until that
-- is null.
CREATE FUNCTION notify.mark_seen_v1(inbox_of text, upto bigint, max_rows int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    inbox   notify.inbox;
    reached bigint;
    n_seen  bigint;
    moment  timestamptz := clock_timestamp();
    changes jsonb;
BEGIN
    SELECT * INTO inbox FROM notify.inbox i WHERE i.user_id = inbox_of FOR UPDATE;
    upto := least(upto, inbox.last_seq);
    IF inbox.user_id IS NULL OR upto <= inbox.seen_upto THEN
        RETURN notify.marked_json_v1(inbox_of, NULL, NULL);
    END IF;
    SELECT CASE WHEN count(*) = max_rows THEN max(n.seq) ELSE upto END INTO reached
    FROM (SELECT n.seq FROM notify.notification n
          WHERE n.user_id = inbox_of AND n.seq > inbox.seen_upto AND n.seq <= upto ORDER BY n.seq LIMIT max_rows) n;
    WITH seen AS (
        UPDATE notify.notification n SET seen_at = moment
        WHERE n.user_id = inbox_of AND n.seq > inbox.seen_upto AND n.seq <= reached AND n.seen_at IS NULL RETURNING 1
    ) SELECT count(*) INTO n_seen FROM seen;
    UPDATE notify.inbox i SET seen_upto = reached WHERE i.user_id = inbox_of;
    IF n_seen > 0 THEN
        changes := notify.count_change_v1(inbox_of, 0, n_seen, jsonb_build_object('markedSeen',
            jsonb_build_object('upTo', reached, 'at', notify.json_time_v1(moment))));
    END IF;
    RETURN notify.marked_json_v1(inbox_of, changes, CASE WHEN reached < upto THEN upto END);
END $$;

-- Marks as read, and so as seen: these seqs, or what is at or below `upto`, of one topic where that is named. Without
-- `upto` a topic is read up to what it has now. Steps as in mark_seen_v1.
CREATE FUNCTION notify.mark_read_v1(inbox_of text, seqs bigint[], of_topic text, upto bigint, max_rows int)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    inbox    notify.inbox;
    marked   bigint[];
    n_unseen bigint;
    moment   timestamptz := clock_timestamp();
    changes  jsonb;
BEGIN
    SELECT * INTO inbox FROM notify.inbox i WHERE i.user_id = inbox_of FOR UPDATE;
    upto := least(upto, inbox.last_seq);
    IF inbox.user_id IS NULL THEN
        RETURN notify.marked_json_v1(inbox_of, NULL, NULL);
    ELSIF seqs IS NOT NULL THEN
        marked := ARRAY(SELECT n.seq FROM notify.notification n
                        WHERE n.user_id = inbox_of AND n.seq = ANY (seqs) AND n.read_at IS NULL ORDER BY n.seq);
    ELSE
        marked := ARRAY(SELECT n.seq FROM notify.notification n
                        WHERE n.user_id = inbox_of AND n.seq <= upto AND n.read_at IS NULL
                          AND (of_topic IS NULL OR n.topic = of_topic) ORDER BY n.seq LIMIT max_rows);
    END IF;
    IF cardinality(marked) > 0 THEN
        SELECT count(*) INTO n_unseen FROM notify.notification n
        WHERE n.user_id = inbox_of AND n.seq = ANY (marked) AND n.seen_at IS NULL;
        UPDATE notify.notification n SET read_at = moment, seen_at = coalesce(n.seen_at, moment)
        WHERE n.user_id = inbox_of AND n.seq = ANY (marked);
        changes := notify.count_change_v1(inbox_of, cardinality(marked), n_unseen, jsonb_build_object('markedRead',
            jsonb_build_object('seqs', marked, 'at', notify.json_time_v1(moment))));
    END IF;
    RETURN notify.marked_json_v1(inbox_of, changes,
        CASE WHEN seqs IS NULL AND cardinality(marked) = max_rows THEN upto END);
END $$;

-- Takes the mark of having been read back.
CREATE FUNCTION notify.mark_unread_v1(inbox_of text, seqs bigint[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    marked  bigint[];
    changes jsonb;
BEGIN
    PERFORM FROM notify.inbox i WHERE i.user_id = inbox_of FOR UPDATE;
    WITH unmarked AS (
        UPDATE notify.notification n SET read_at = NULL
        WHERE n.user_id = inbox_of AND n.seq = ANY (seqs) AND n.read_at IS NOT NULL RETURNING n.seq
    ) SELECT array_agg(u.seq ORDER BY u.seq) INTO marked FROM unmarked u;
    IF marked IS NOT NULL THEN
        changes := notify.count_change_v1(inbox_of, -cardinality(marked), 0,
            jsonb_build_object('markedUnread', jsonb_build_object('seqs', marked)));
    END IF;
    RETURN notify.marked_json_v1(inbox_of, changes, NULL);
END $$;

-- One's own deletion. A comment whose notification was deleted stays considered: it notifies nobody again.
CREATE FUNCTION notify.delete_notifications_v1(inbox_of text, seqs bigint[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    changes jsonb := notify.remove_notifications_v1(
        array_fill(inbox_of, ARRAY[cardinality(seqs)]), seqs);
BEGIN
    RETURN notify.marked_json_v1(inbox_of, changes, NULL);
END $$;

-- Mutes or unmutes a topic; from the commit on nothing of it is delivered, because delivering waits for the same lock.
-- False where the user has max_mutes already.
CREATE FUNCTION notify.mute_v1(of_user text, muted_topic text, max_mutes int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM notify.lock_inboxes_v1(ARRAY[of_user]);
    IF (SELECT count(*) FROM notify.mute m WHERE m.user_id = of_user AND m.topic <> muted_topic) >= max_mutes THEN
        RETURN false;
    END IF;
    INSERT INTO notify.mute (user_id, topic) VALUES (of_user, muted_topic) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- Deletes what was created before `cutoff` from the inboxes behind the user `after`: at most max_users inboxes, and
-- max_rows of each, oldest first. An inbox that somebody holds at the moment is left for another time.
-- {"busy": another server prunes, "pruned": rows, "last": where to go on, null at the end}
CREATE FUNCTION notify.prune_v1(cutoff timestamptz, after text, max_users int, max_rows int) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    max_total CONSTANT int := 5000; -- all of their inboxes are held until the last of them is deleted
    users  text[];
    due    text[];
    n_rows bigint;
    most   bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7237404) THEN
        RETURN jsonb_build_object('busy', true);
    END IF;
    users := ARRAY(SELECT i.user_id FROM notify.inbox i WHERE i.user_id > coalesce(after, '')
                   ORDER BY i.user_id LIMIT max_users);
    due := ARRAY(
        SELECT i.user_id FROM notify.inbox i
        WHERE i.user_id = ANY (users) AND cutoff > (
            SELECT n.created_at FROM notify.notification n WHERE n.user_id = i.user_id ORDER BY n.seq LIMIT 1)
        ORDER BY i.user_id FOR UPDATE SKIP LOCKED);

    WITH gone AS (
        DELETE FROM notify.notification n USING (
            SELECT o.user_id, o.seq FROM unnest(due) d CROSS JOIN LATERAL (
                SELECT o.user_id, o.seq, o.created_at FROM notify.notification o
                WHERE o.user_id = d ORDER BY o.seq LIMIT max_rows) o
            WHERE o.created_at < cutoff LIMIT max_total) old
        WHERE n.user_id = old.user_id AND n.seq = old.seq
        RETURNING n.user_id, n.seq, n.read_at, n.seen_at
    ), summed AS (
        SELECT user_id, max(seq) AS upto, count(*) AS n, count(*) FILTER (WHERE read_at IS NULL) AS unread,
               count(*) FILTER (WHERE seen_at IS NULL) AS unseen
        FROM gone GROUP BY user_id
    ), counted AS (
        UPDATE notify.inbox i
        SET version = i.version + 1, altered = i.version + 1, unread = i.unread - g.unread,
            unseen = i.unseen - g.unseen, pruned_upto = greatest(i.pruned_upto, g.upto)
        FROM summed g WHERE i.user_id = g.user_id
    )
    SELECT coalesce(sum(n), 0), max(n) INTO n_rows, most FROM summed;
    RETURN jsonb_build_object('busy', false, 'pruned', n_rows, 'last', CASE
        WHEN most = max_rows OR n_rows = max_total THEN coalesce(after, '')
        WHEN cardinality(users) = max_users THEN users[max_users] END);
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
