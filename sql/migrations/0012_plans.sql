-- The statements of the hot path: planned once, and by index; small ones where there is one row.
--
-- A plan is kept by its connection, often from a time when the tables were small. With a plan of its own for each call,
-- one comment cost 1 ms to plan; with one that reads whole tables, 5 ms beside 10,000 posts and 15,000 users, each time.
-- `jit` is off since the cost that disabled scans are given (before PostgreSQL 18) would have them compiled.

ALTER FUNCTION notify.settle_comments_v2(text[], boolean)
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off;

-- What calls something STABLE is not IMMUTABLE, and was executed as a query of its own instead of being inlined.
ALTER FUNCTION notify.json_id_v1(anyelement) STABLE;

-- Stores drafts in their users' inboxes, but for what is muted; returns the changes. As before, but for its plans, and
-- for a draft alone: what is most often, in statements that cost half of what the large one does.
CREATE OR REPLACE FUNCTION notify.deliver_v2(drafts notify.draft[]) RETURNS jsonb LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    shadow  boolean := current_setting('notify.shadow', true) = 'on';
    moment  timestamptz := CASE WHEN shadow THEN clock_timestamp() END;
    alone   notify.draft := drafts[1];
    news    int := CASE WHEN shadow THEN 0 ELSE 1 END;
    inbox   notify.inbox;
    entry   jsonb;
    changes jsonb;
BEGIN
    IF cardinality(drafts) = 0 THEN
        RETURN '[]';
    ELSIF cardinality(drafts) = 1 THEN
        LOOP
            UPDATE notify.inbox i
            SET last_seq = i.last_seq + 1, version = i.version + 1, unread = i.unread + news, unseen = i.unseen + news
            WHERE i.user_id = alone.user_id RETURNING i.* INTO inbox;
            EXIT WHEN FOUND;
            PERFORM notify.lock_inboxes_v1(ARRAY[alone.user_id]);
        END LOOP;
        -- a statement of its own: whoever muted this had the inbox locked
        INSERT INTO notify.notification AS s
            (user_id, seq, type, payload, topic, actor_id, post_id, comment_id, seen_at, read_at)
        SELECT alone.user_id, inbox.last_seq, alone.type, alone.payload, alone.topic, alone.actor_id, alone.post_id,
               alone.comment_id, moment, moment
        WHERE NOT EXISTS (SELECT FROM notify.mute m WHERE m.user_id = alone.user_id
                          AND m.topic IN (alone.topic, 'user:' || alone.actor_id))
        RETURNING notify.entry_json_v2(s.seq, s.type, s.topic, s.actor_id, s.payload, s.created_at,
                                       s.seen_at, s.read_at) INTO entry;
        IF FOUND THEN
            changes := jsonb_build_object('added', jsonb_build_array(entry));
            RETURN jsonb_build_array(notify.change_json_v1(inbox, changes));
        END IF;
        UPDATE notify.inbox i
        SET last_seq = i.last_seq - 1, version = i.version - 1, unread = i.unread - news, unseen = i.unseen - news
        WHERE i.user_id = alone.user_id;
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
            unread = i.unread + n.news, unseen = i.unseen + n.news
        FROM (SELECT user_id, count(*) AS new, count(*) FILTER (WHERE shadow IS NOT TRUE) AS news
              FROM numbered GROUP BY user_id) n
        WHERE i.user_id = n.user_id
        RETURNING i AS inbox
    ), stored AS (
        INSERT INTO notify.notification
            (user_id, seq, type, payload, topic, actor_id, post_id, comment_id, seen_at, read_at)
        SELECT d.user_id, d.seq, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id, moment, moment
        FROM numbered d ORDER BY d.n
        RETURNING notification.*
    ), entries AS (
        SELECT s.user_id, jsonb_agg(notify.entry_json_v2(s.seq, s.type, s.topic, s.actor_id, s.payload, s.created_at,
                                                         s.seen_at, s.read_at) ORDER BY s.seq) AS added
        FROM stored s GROUP BY s.user_id
    )
    SELECT jsonb_agg(notify.change_json_v1(c.inbox, jsonb_build_object('added', e.added))) INTO changes
    FROM counted c JOIN entries e ON e.user_id = (c.inbox).user_id;
    RETURN coalesce(changes, '[]');
END $$;

-- As before, but for its plans (LATERAL … OFFSET 0 and (SELECT …) IS NULL look up each row by itself, whatever the
-- planner believes of the tables), and for a comment alone.
CREATE OR REPLACE FUNCTION notify.post_comments_v3(batch jsonb, batch_id uuid, patient boolean) RETURNS jsonb
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    keyed      boolean := jsonb_path_exists(batch, '$[*].key');
    setting    text;
    answered   jsonb := '[]';
    outcomes   jsonb;
    numbers    int[];
    ids        text[];
    status     text;
    written_id text;
    comment    jsonb;
    changes    jsonb := '[]';
    failed     text;
BEGIN
    -- Short, so that a row which somebody holds delays its own request alone; the slow lane waits longer.
    setting := set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '100ms' END, true);
    setting := set_config('notify.aside', 'on', true);

    IF keyed THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object('n', r.n, 'status', 'in_flight')), '[]') INTO answered
        FROM jsonb_to_recordset(batch) AS r (n int, author_id text, key text)
        WHERE r.key IS NOT NULL
          AND NOT notify.try_key_lock_v1(r.author_id, r.key);
        -- a statement of its own: what the lock's last holder wrote is to be seen
        SELECT answered || coalesce(jsonb_agg(CASE WHEN k.fingerprint = r.fingerprint
                   THEN jsonb_build_object('n', r.n, 'status', 'created', 'comment', k.answer)
                   ELSE jsonb_build_object('n', r.n, 'status', 'key_reused') END), '[]') INTO answered
        FROM jsonb_to_recordset(batch) AS r (n int, author_id text, key text, fingerprint text)
        JOIN notify.request_key k ON k.user_id = r.author_id AND k.key = r.key;
    END IF;

    IF jsonb_array_length(batch) = 1 AND NOT keyed THEN
        -- what is most often: in small statements, which cost half of what the large one does
        IF patient THEN
            PERFORM FROM notify.posts p WHERE p.id = notify.to_post_id(batch -> 0 ->> 'post_id');
        ELSE
            PERFORM FROM notify.posts p WHERE p.id = notify.to_post_id(batch -> 0 ->> 'post_id')
            FOR KEY SHARE SKIP LOCKED;
        END IF;
        IF FOUND THEN
            INSERT INTO notify.comments (id, post_id, author_id, body) OVERRIDING SYSTEM VALUE
            SELECT notify.next_comment_id(), notify.to_post_id(batch -> 0 ->> 'post_id'), u.id, batch -> 0 ->> 'body'
            FROM notify.people u WHERE u.id = notify.to_person_id(batch -> 0 ->> 'author_id')
            RETURNING id, notify.comment_json_v1(notify.json_id_v1(id), notify.json_id_v1(post_id),
                                                 notify.json_id_v1(author_id), body, created_at)
            INTO written_id, comment;
            status := CASE WHEN FOUND THEN 'created' ELSE 'refused' END;
        ELSE
            status := 'blocked';
        END IF;
        IF written_id IS NULL THEN
            SELECT CASE
                WHEN NOT EXISTS (SELECT FROM notify.posts p
                                 WHERE p.id = notify.to_post_id(batch -> 0 ->> 'post_id')) THEN 'no_post'
                WHEN NOT EXISTS (SELECT FROM notify.people u
                                 WHERE u.id = notify.to_person_id(batch -> 0 ->> 'author_id')) THEN 'unknown_user'
                ELSE status END INTO status;
        END IF;
        ids := ARRAY[written_id];
        outcomes := jsonb_build_array(jsonb_build_object('n', batch -> 0 -> 'n', 'comment', comment, 'status', status));
    ELSE
        -- Sorted by post, so that two batches, and an app's counter trigger on posts, lock in the same order.
        WITH asked AS MATERIALIZED (
            SELECT r.n, notify.to_post_id(r.post_id) AS post_id, notify.to_person_id(r.author_id) AS author_id, r.body
            FROM jsonb_to_recordset(batch) AS r (n int, post_id text, author_id text, body text)
            WHERE r.n NOT IN (SELECT (a ->> 'n')::int FROM jsonb_array_elements(answered) a)
        ), held AS MATERIALIZED (
            SELECT p.id FROM (SELECT DISTINCT a.post_id FROM asked a WHERE NOT patient ORDER BY 1) w
            CROSS JOIN LATERAL (
                SELECT p.id FROM notify.posts p WHERE p.id = w.post_id OFFSET 0 FOR KEY SHARE SKIP LOCKED) p
        ), judged AS MATERIALIZED (
            SELECT s.*, s.status = 'created' AS created
            FROM (SELECT a.*, CASE
                      WHEN (SELECT true FROM notify.posts p WHERE p.id = a.post_id) IS NULL THEN 'no_post'
                      WHEN (SELECT true FROM notify.people u WHERE u.id = a.author_id) IS NULL THEN 'unknown_user'
                      WHEN NOT patient AND a.post_id NOT IN (SELECT h.id FROM held h) THEN 'blocked'
                      ELSE 'created' END AS status
                  FROM asked a) s
        ), numbered AS MATERIALIZED (
            SELECT s.*, notify.next_comment_id() AS id
            FROM (SELECT j.* FROM judged j WHERE j.created ORDER BY j.post_id, j.n) s
        ), written AS (
            INSERT INTO notify.comments (id, post_id, author_id, body) OVERRIDING SYSTEM VALUE
            SELECT w.id, w.post_id, w.author_id, w.body FROM numbered w ORDER BY w.post_id, w.n
            RETURNING id, notify.comment_json_v1(notify.json_id_v1(id), notify.json_id_v1(post_id),
                                                 notify.json_id_v1(author_id), body, created_at) AS json
        )
        SELECT answered || coalesce(jsonb_agg(jsonb_build_object('n', j.n, 'comment', w.json, 'status',
                             CASE WHEN j.created AND w.id IS NULL THEN 'refused' ELSE j.status END)), '[]'),
               array_agg(j.n ORDER BY j.n), array_agg(w.id::text ORDER BY j.n)
        INTO outcomes, numbers, ids
        FROM judged j LEFT JOIN numbered i ON i.n = j.n LEFT JOIN written w ON w.id = i.id;
    END IF;

    setting := set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '500ms' END, true);
    setting := set_config('notify.aside', 'off', true);

    IF to_regproc('notify.comment_answers') IS NOT NULL THEN
        BEGIN
            outcomes := notify.with_answers_v1(outcomes);
        EXCEPTION WHEN OTHERS THEN
            IF notify.passing_v1(SQLSTATE) THEN
                RAISE;
            END IF;
            failed := SQLSTATE; -- the comment stands, and is answered as usual; the error's text may quote it
        END;
    END IF;

    IF keyed THEN
        -- by the batch's numbers: what was not written now is NULL
        ids := ARRAY(SELECT ids[array_position(numbers, n)] FROM generate_series(0, jsonb_array_length(batch) - 1) n
                     ORDER BY n);
        INSERT INTO notify.request_key (user_id, key, fingerprint, answer)
        SELECT r.author_id, r.key, r.fingerprint, o -> 'comment'
        FROM jsonb_to_recordset(batch) AS r (n int, author_id text, key text, fingerprint text)
        JOIN jsonb_array_elements(outcomes) o ON (o ->> 'n')::int = r.n AND o ->> 'status' = 'created'
        WHERE r.key IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;

    INSERT INTO notify.batch (id, comment_ids) VALUES (batch_id, ids);
    BEGIN
        INSERT INTO notify.considered (comment_id)
        SELECT i COLLATE "C" FROM unnest(ids) i WHERE i IS NOT NULL ORDER BY 1;
        changes := notify.deliver_v2(ARRAY(
            SELECT (d.user_id, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id::text)::notify.draft
            FROM unnest(ids) i
            CROSS JOIN LATERAL (SELECT * FROM notify.drafts d WHERE d.comment_id = notify.to_comment_id(i) OFFSET 0) d
            ORDER BY d.comment_id));
    EXCEPTION WHEN OTHERS THEN
        IF notify.passing_v1(SQLSTATE) THEN
            RAISE;
        END IF;
        -- The comments stand, whatever is wrong with the drafts; the drain finds out which.
        PERFORM notify.append_v1('comment', array_remove(ids, NULL));
    END;
    RETURN jsonb_build_object('outcomes', outcomes, 'changes', changes, 'answers_failed', failed);
END $$;
