-- How the statements of the hot path are planned: once, and by index.
--
-- A plan is kept by its connection, often from a time when the tables were small. With a plan of its own for each call,
-- one comment cost 1 ms to plan; with one that reads whole tables, 5 ms beside 10,000 posts and 15,000 users, each time.
-- `jit` is off since the cost that disabled scans are given (before PostgreSQL 18) would have them compiled.

ALTER FUNCTION notify.deliver_v2(notify.draft[])
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off;
ALTER FUNCTION notify.settle_comments_v2(text[], boolean)
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off;

-- What calls something STABLE is not IMMUTABLE, and was executed as a query of its own instead of being inlined.
ALTER FUNCTION notify.json_id_v1(anyelement) STABLE;

-- As before, but for its plans: LATERAL … OFFSET 0 and (SELECT …) IS NULL look up each row by itself, whatever the
-- planner believes of the tables.
CREATE OR REPLACE FUNCTION notify.post_comments_v3(batch jsonb, batch_id uuid, patient boolean) RETURNS jsonb
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    keyed    boolean := jsonb_path_exists(batch, '$[*].key');
    answered jsonb := '[]';
    outcomes jsonb;
    numbers  int[];
    ids      text[];
    changes  jsonb := '[]';
    failed   text;
BEGIN
    -- Short, so that a row which somebody holds delays its own request alone; the slow lane waits longer.
    PERFORM set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '100ms' END, true),
            set_config('notify.aside', 'on', true);

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

    PERFORM set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '500ms' END, true),
            set_config('notify.aside', 'off', true);

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
