-- The POST route's batch: comments of many requests, and their notifications, in one round trip and one commit.

-- batch: [{"n", "post_id", "author_id", "body"}, …]; ids are valid for their columns. Every row gets an outcome:
--   created       the comment is written; "comment" is its JSON
--   no_post       there is no such post
--   unknown_user  the table of users lacks the author
--   blocked       somebody holds the post's row; written only by a call with `patient`, which waits for it
--   refused       one of the app's triggers swallowed the row
-- {"outcomes": [{"n", "status", "comment"?}, …], "notifications": [event_json_v1, …]}
-- An error of the app's own (a constraint, a trigger) fails the whole batch; nothing of it is written then.
CREATE FUNCTION notify.post_comments_v1(batch jsonb, batch_id uuid, patient boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    outcomes  jsonb;
    ids       text[];
    delivered notify.notification[] := '{}';
BEGIN
    -- Short, so that a row which somebody holds delays its own request alone; the slow lane waits longer.
    PERFORM set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '100ms' END, true),
            set_config('notify.aside', 'on', true);

    -- Sorted by post, so that two batches, and an app's counter trigger on posts, lock in the same order.
    WITH asked AS MATERIALIZED (
        SELECT r.n, notify.to_post_id(r.post_id) AS post_id, notify.to_person_id(r.author_id) AS author_id, r.body
        FROM jsonb_to_recordset(batch) AS r (n int, post_id text, author_id text, body text)
    ), held AS MATERIALIZED (
        SELECT p.id FROM notify.posts p
        WHERE NOT patient AND p.id IN (SELECT a.post_id FROM asked a) ORDER BY p.id FOR KEY SHARE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT a.*, CASE
            WHEN NOT EXISTS (SELECT FROM notify.posts p WHERE p.id = a.post_id) THEN 'no_post'
            WHEN NOT EXISTS (SELECT FROM notify.people u WHERE u.id = a.author_id) THEN 'unknown_user'
            WHEN NOT patient AND a.post_id NOT IN (SELECT h.id FROM held h) THEN 'blocked'
            ELSE 'created' END AS status
        FROM asked a
    ), numbered AS MATERIALIZED (
        SELECT s.*, notify.next_comment_id() AS id
        FROM (SELECT j.* FROM judged j WHERE j.status = 'created' ORDER BY j.post_id, j.n) s
    ), written AS (
        INSERT INTO notify.comments (id, post_id, author_id, body) OVERRIDING SYSTEM VALUE
        SELECT w.id, w.post_id, w.author_id, w.body FROM numbered w ORDER BY w.post_id, w.n
        RETURNING id, notify.comment_json_v1(notify.json_id_v1(id), notify.json_id_v1(post_id),
                                             notify.json_id_v1(author_id), body, created_at) AS json
    )
    SELECT jsonb_agg(jsonb_build_object('n', j.n, 'comment', w.json, 'status',
                         CASE WHEN j.status = 'created' AND w.id IS NULL THEN 'refused' ELSE j.status END)),
           array_agg(w.id::text ORDER BY j.n)
    INTO outcomes, ids
    FROM judged j LEFT JOIN numbered i ON i.n = j.n LEFT JOIN written w ON w.id = i.id;

    PERFORM set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '500ms' END, true),
            set_config('notify.aside', 'off', true);

    INSERT INTO notify.batch (id, comment_ids) VALUES (batch_id, ids);
    BEGIN
        INSERT INTO notify.considered (comment_id)
        SELECT i COLLATE "C" FROM unnest(ids) i WHERE i IS NOT NULL ORDER BY 1;
        delivered := ARRAY(SELECT n FROM notify.deliver_v1(ARRAY(
            SELECT (d.user_id, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id::text)::notify.draft
            FROM notify.drafts d WHERE d.comment_id IN (SELECT notify.to_comment_id(i) FROM unnest(ids) i)
            ORDER BY d.comment_id)) n);
    EXCEPTION WHEN OTHERS THEN
        IF notify.passing_v1(SQLSTATE) THEN
            RAISE;
        END IF;
        -- The comments stand, whatever is wrong with the drafts; the drain finds out which.
        PERFORM notify.append_v1('comment', array_remove(ids, NULL));
    END;
    RETURN jsonb_build_object('outcomes', outcomes, 'notifications', notify.events_json_v1(delivered));
END $$;

-- What became of a batch whose answer was lost. Waits for one still under way; one that has not committed by then
-- never will, because its id is taken. {"committed", "outcomes": as post_comments_v1 gave those that it created}
CREATE FUNCTION notify.learn_batch_v1(batch_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
BEGIN
    INSERT INTO notify.batch (id) VALUES (batch_id) ON CONFLICT DO NOTHING;
    SELECT b.comment_ids INTO ids FROM notify.batch b WHERE b.id = batch_id;
    IF ids IS NULL THEN
        RETURN jsonb_build_object('committed', false, 'outcomes', '[]'::jsonb);
    END IF;
    RETURN jsonb_build_object('committed', true, 'outcomes', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('n', u.n - 1, 'status', 'created', 'comment',
            notify.comment_json_v1(notify.json_id_v1(c.id), notify.json_id_v1(c.post_id),
                                   notify.json_id_v1(c.author_id), c.body, c.created_at))), '[]')
        FROM unnest(ids) WITH ORDINALITY AS u (id, n)
        JOIN notify.comments c ON c.id = notify.to_comment_id(u.id)));
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
