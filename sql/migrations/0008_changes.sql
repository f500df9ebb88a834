-- Everything that changes inboxes tells its changes, in order; and the POST route's key against doing things twice.
-- As before (0003, 0005) but for that.

DROP FUNCTION notify.drain_v1, notify.settle_v1, notify.settle_truncate_v1, notify.settle_person_v1,
    notify.settle_post_v1, notify.settle_comments_v1, notify.retract_all_v1, notify.retract_v1, notify.deliver_v1,
    notify.post_comments_v1, notify.events_json_v1, notify.event_json_v1;

CREATE FUNCTION notify.remove_all_v1(taken notify.notification[]) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT notify.remove_notifications_v1(array_agg(t.user_id), array_agg(t.seq)) FROM unnest(taken) t
$$;

-- Comments that were written, deleted or (`moved`) given another post or author. Gives the changes, as all of these do.
CREATE FUNCTION notify.settle_comments_v2(keys text[], moved boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    present text[] := ARRAY(SELECT c.id::text FROM notify.comments c
                            WHERE c.id IN (SELECT notify.to_comment_id(k) FROM unnest(keys) k));
    dropped text[] := ARRAY(SELECT unnest(keys) EXCEPT SELECT unnest(present));
    fresh   text[];
    drafts  notify.draft[];
    taken   notify.notification[] := '{}';
BEGIN
    IF moved THEN -- those about which others are to be told now, or other things of it, begin anew
        dropped := dropped || ARRAY(
            SELECT p FROM unnest(present) p
            WHERE (SELECT array_agg((d.user_id, d.post_id, d.actor_id)::text ORDER BY d.user_id)
                   FROM notify.drafts d WHERE d.comment_id = notify.to_comment_id(p))
               IS DISTINCT FROM
                  (SELECT array_agg((n.user_id, n.post_id, n.actor_id)::text ORDER BY n.user_id)
                   FROM notify.notification n WHERE n.comment_id = p));
    END IF;
    IF cardinality(dropped) > 0 THEN
        taken := ARRAY(SELECT n FROM notify.notification n WHERE n.comment_id = ANY (dropped));
        DELETE FROM notify.considered k WHERE k.comment_id = ANY (dropped);
    END IF;

    WITH marked AS (
        INSERT INTO notify.considered AS k (comment_id)
        SELECT DISTINCT p COLLATE "C" FROM unnest(present) p ORDER BY 1
        ON CONFLICT (comment_id) DO UPDATE SET retracted = false, at = clock_timestamp() WHERE k.retracted
        RETURNING k.comment_id
    )
    SELECT array_agg(comment_id) INTO fresh FROM marked;

    drafts := ARRAY(
        SELECT (d.user_id, d.type, d.payload, d.topic, d.actor_id, d.post_id, f.id)::notify.draft
        FROM (SELECT k AS id, min(n) AS n FROM unnest(keys) WITH ORDINALITY AS u (k, n)
              WHERE k = ANY (fresh) GROUP BY k) f
        JOIN notify.drafts d ON d.comment_id = notify.to_comment_id(f.id)
        ORDER BY f.n);
    IF cardinality(taken) > 0 THEN -- all inboxes at once, so that they are locked in order
        PERFORM notify.lock_inboxes_v1(ARRAY(SELECT t.user_id FROM unnest(taken) t
                                             UNION SELECT d.user_id FROM unnest(drafts) d));
    END IF;
    RETURN notify.remove_all_v1(taken) || notify.deliver_v2(drafts);
END $$;

-- A post that was deleted, came back, or has another author. At most max_rows are taken back; `done` tells whether
-- that was all.
CREATE FUNCTION notify.settle_post_v2(key text, max_rows int, OUT done boolean, OUT changes jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    taken notify.notification[];
BEGIN
    done := true;
    IF EXISTS (SELECT FROM notify.posts p WHERE p.id = notify.to_post_id(key)) THEN
        changes := notify.settle_comments_v2(ARRAY(
            SELECT c.id::text FROM notify.comments c JOIN notify.considered k ON k.comment_id = c.id::text
            WHERE c.post_id = notify.to_post_id(key) AND k.retracted ORDER BY c.id), false);
    ELSE
        taken := ARRAY(SELECT n FROM notify.notification n WHERE n.post_id = key LIMIT max_rows);
        changes := notify.remove_all_v1(taken);
        UPDATE notify.considered k SET retracted = true
        WHERE k.comment_id IN (SELECT t.comment_id FROM unnest(taken) t);
        done := cardinality(taken) < max_rows;
    END IF;
END $$;

-- A person who was deleted, what he caused and his own inbox; or who came back, with what he caused.
CREATE FUNCTION notify.settle_person_v2(key text, max_rows int, OUT done boolean, OUT changes jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    taken notify.notification[];
BEGIN
    done := true;
    IF EXISTS (SELECT FROM notify.people p WHERE p.id = notify.to_person_id(key)) THEN
        changes := notify.settle_comments_v2(ARRAY(
            SELECT c.id::text FROM notify.comments c JOIN notify.considered k ON k.comment_id = c.id::text
            WHERE c.author_id = notify.to_person_id(key) AND k.retracted ORDER BY c.id), false);
    ELSE
        taken := ARRAY(SELECT x.n FROM (
            (SELECT n FROM notify.notification n WHERE n.actor_id = key LIMIT max_rows) UNION ALL
            (SELECT n FROM notify.notification n
             WHERE n.user_id = key AND n.actor_id IS DISTINCT FROM key LIMIT max_rows)) x LIMIT max_rows);
        changes := notify.remove_all_v1(taken);
        UPDATE notify.considered k SET retracted = true
        WHERE k.comment_id IN (SELECT t.comment_id FROM unnest(taken) t);
        done := cardinality(taken) < max_rows;
    END IF;
END $$;

-- A table that was truncated at that moment: what was delivered before it goes. Ids may start anew, hence the time.
CREATE FUNCTION notify.settle_truncate_v2(tab text, moment timestamptz, max_rows int, OUT done boolean, OUT changes jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    taken     notify.notification[];
    forgotten int;
BEGIN
    taken := ARRAY(
        SELECT n FROM notify.notification n WHERE n.created_at < moment
           AND CASE tab WHEN 'comments' THEN n.comment_id IS NOT NULL
                        WHEN 'posts'    THEN n.post_id IS NOT NULL
                        ELSE true END
        LIMIT max_rows);
    changes := notify.remove_all_v1(taken);
    IF cardinality(taken) = max_rows THEN
        done := false;
        RETURN;
    END IF;
    DELETE FROM notify.considered k WHERE k.comment_id IN (
        SELECT o.comment_id FROM notify.considered o WHERE o.at < moment
           AND NOT EXISTS (SELECT FROM notify.comments c WHERE tab <> 'comments'
                           AND c.id = notify.to_comment_id(o.comment_id))
        LIMIT max_rows);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    done := forgotten < max_rows;
END $$;

-- Settles outbox rows of one kind that follow each other. `done` is false where a part of the work is left, which only
-- happens to a row that stands alone.
CREATE FUNCTION notify.settle_v2(rows notify.outbox[], OUT done boolean, OUT changes jsonb) LANGUAGE plpgsql AS $$
DECLARE
    max_rows CONSTANT int := 1000;
BEGIN
    done := true;
    CASE rows[1].kind
        WHEN 'comment', 'moved' THEN
            changes := notify.settle_comments_v2(ARRAY(SELECT r.key FROM unnest(rows) r), rows[1].kind = 'moved');
        WHEN 'send' THEN
            changes := notify.deliver_v2(ARRAY(
                SELECT jsonb_populate_record(NULL::notify.draft, r.draft) FROM unnest(rows) r));
        WHEN 'post' THEN
            SELECT * INTO done, changes FROM notify.settle_post_v2(rows[1].key, max_rows);
        WHEN 'person' THEN
            SELECT * INTO done, changes FROM notify.settle_person_v2(rows[1].key, max_rows);
        WHEN 'truncate' THEN
            SELECT * INTO done, changes FROM notify.settle_truncate_v2(rows[1].key, rows[1].at, max_rows);
    END CASE;
END $$;

-- Sets one row aside. Where a definition is broken (class 42: the drafts' view, a function of ours), a comment is left to
-- the reconciling scan, which finds it when that is mended; anything else waits for the repair where it is.
CREATE OR REPLACE FUNCTION notify.set_aside_v1(o notify.outbox, state text, reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF o.kind IN ('comment', 'moved') AND left(state, 2) = '42' THEN
        PERFORM nextval('notify.missed');
        RETURN;
    ELSIF left(state, 2) = '42' THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = reason;
    END IF;
    INSERT INTO notify.poison (id, kind, key, draft, reason)
    VALUES (o.id, o.kind, o.key, o.draft, state || ': ' || reason) ON CONFLICT DO NOTHING;
    IF o.kind IN ('comment', 'moved') THEN -- also one that came back: the scan is not to find it again and again
        INSERT INTO notify.considered (comment_id) VALUES (o.key)
        ON CONFLICT (comment_id) DO UPDATE SET retracted = false;
    END IF;
END $$;

-- Whose inboxes an outbox row is about, where that can be told.
CREATE FUNCTION notify.row_users_v1(o notify.outbox) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN o.kind = 'send' THEN ARRAY[o.draft ->> 'user_id']
        WHEN o.kind IN ('comment', 'moved') THEN ARRAY(
            SELECT d.user_id FROM notify.drafts d WHERE d.comment_id = notify.to_comment_id(o.key)
            UNION SELECT n.user_id FROM notify.notification n WHERE n.comment_id = o.key)
        ELSE '{}' END
$$;

-- One step of the drain: at most max_rows outbox rows behind the id `after`, in order of id. Rows of an inbox that
-- somebody holds are passed over, and wait for the next time round, so that they make no other wait.
-- {"busy": another server drains, "more": go on at once, "after": … behind this id, "poisoned": rows set aside,
--  "changes": [change_json_v1, …]}
CREATE FUNCTION notify.drain_v2(max_rows int, after bigint) RETURNS jsonb LANGUAGE plpgsql
SET row_security = off AS $$ -- an error where a policy would hide rows: what it hides must not pass for deleted
DECLARE
    taken    notify.outbox[];
    run      record;
    settled  record;
    o        notify.outbox;
    gone     notify.outbox[];
    held     text[] := '{}';
    users    text[];
    changes  jsonb := '[]';
    n_done   int := 0;
    poisoned int := 0;
    passed   boolean := false;
    upto     bigint;
BEGIN
    IF NOT notify.try_drain_lock_v1() THEN
        RETURN jsonb_build_object('busy', true);
    END IF;
    taken := ARRAY(SELECT x FROM notify.outbox x WHERE x.id > coalesce(after, 0) ORDER BY x.id LIMIT max_rows);

    <<runs>>
    FOR run IN
        SELECT array_agg(r.x ORDER BY r.id) AS rows
        FROM (SELECT c.x, c.id, sum(c.turn) OVER (ORDER BY c.id) AS run
              FROM (SELECT t AS x, t.id,
                           CASE WHEN t.kind IN ('comment', 'moved', 'send')
                                 AND t.kind = lag(t.kind) OVER (ORDER BY t.id) THEN 0 ELSE 1 END AS turn
                    FROM unnest(taken) t) c) r
        GROUP BY r.run ORDER BY r.run
    LOOP
        gone := run.rows;
        BEGIN
            IF n_done > 0 THEN
                -- Inboxes are held by us by now: to wait for another could close a circle. The next step begins here.
                SET LOCAL lock_timeout = '1ms';
            ELSE
                SET LOCAL lock_timeout = '200ms';
            END IF;
            SELECT * INTO settled FROM notify.settle_v2(run.rows);
            changes := changes || settled.changes;
            EXIT runs WHEN NOT settled.done;
        EXCEPTION WHEN OTHERS THEN
            EXIT runs WHEN SQLSTATE = '55P03' AND n_done > 0;
            IF SQLSTATE <> '55P03' AND notify.passing_v1(SQLSTATE) THEN
                RAISE;
            END IF;
            gone := '{}';
            FOREACH o IN ARRAY run.rows LOOP -- one of them is to blame: each alone
                BEGIN
                    SET LOCAL lock_timeout = '20ms';
                    users := notify.row_users_v1(o);
                    IF users && held THEN
                        passed := true;
                        CONTINUE;
                    END IF;
                    SELECT * INTO settled FROM notify.settle_v2(ARRAY[o]);
                    changes := changes || settled.changes;
                    EXIT runs WHEN NOT settled.done;
                EXCEPTION WHEN OTHERS THEN
                    IF SQLSTATE = '55P03' THEN
                        held := held || users;
                        passed := true;
                        CONTINUE;
                    ELSIF notify.passing_v1(SQLSTATE) THEN
                        RAISE;
                    END IF;
                    PERFORM notify.set_aside_v1(o, SQLSTATE, SQLERRM);
                    poisoned := poisoned + 1;
                END;
                gone := gone || o;
            END LOOP;
        END;
        PERFORM notify.remove_v1(gone);
        n_done := n_done + cardinality(run.rows);
        upto := run.rows[cardinality(run.rows)].id;
    END LOOP;

    RETURN jsonb_build_object('busy', false, 'poisoned', poisoned, 'changes', changes,
        'more', cardinality(taken) = max_rows OR n_done < cardinality(taken),
        'after', CASE WHEN passed THEN upto ELSE after END);
END $$;

-- Puts comments into the outbox that nothing told us of (a trigger's guard swallowed an error, or the trigger was away),
-- and those whose post or author came back, which no trigger tells,
-- upwards from the id `after`, or the newest where `newest` is set; the drain does the rest.
-- {"busy": another server scans, "last": where to go on, null at the end, "found": how many}
CREATE OR REPLACE FUNCTION notify.reconcile_v1(after text, newest boolean, max_rows int) RETURNS jsonb LANGUAGE plpgsql
SET row_security = off AS $$
DECLARE
    ids     text[];
    unknown text[];
BEGIN
    IF NOT notify.try_scan_lock_v1() THEN
        RETURN jsonb_build_object('busy', true);
    END IF;
    IF newest THEN
        ids := ARRAY(SELECT c.id::text FROM notify.comments c ORDER BY c.id DESC LIMIT max_rows);
    ELSIF after IS NULL THEN
        ids := ARRAY(SELECT c.id::text FROM notify.comments c ORDER BY c.id LIMIT max_rows);
    ELSE
        ids := ARRAY(SELECT c.id::text FROM notify.comments c WHERE c.id > notify.to_comment_id(after)
                     ORDER BY c.id LIMIT max_rows);
    END IF;
    unknown := ARRAY(SELECT i FROM unnest(ids) WITH ORDINALITY AS u (i, n)
                     WHERE NOT EXISTS (SELECT FROM notify.considered k WHERE k.comment_id = i
                                       AND NOT (k.retracted AND EXISTS (
                                           SELECT FROM notify.drafts d WHERE d.comment_id = notify.to_comment_id(i))))
                       AND i NOT IN (SELECT o.key FROM notify.outbox o WHERE o.kind IN ('comment', 'moved'))
                     ORDER BY CASE WHEN newest THEN -n ELSE n END);
    PERFORM notify.append_v1('comment', unknown);
    RETURN jsonb_build_object('busy', false, 'found', cardinality(unknown),
        'last', CASE WHEN NOT newest AND cardinality(ids) = max_rows THEN ids[max_rows] END);
END $$;

-- As before (0001), but for the depth: deeper ones could be stored, and be told to nobody.
CREATE OR REPLACE FUNCTION notify.send(user_id text, type text, payload jsonb DEFAULT '{}', topic text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(user_id, '') = '' OR length(user_id) > 255 THEN
        RAISE EXCEPTION 'notify.send: user_id must have 1 to 255 characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF coalesce(type, '') = '' OR length(type) > 64 THEN
        RAISE EXCEPTION 'notify.send: type must have 1 to 64 characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF jsonb_typeof(payload) IS DISTINCT FROM 'object' OR payload ? 'type' OR length(payload::text) > 65536
          OR jsonb_path_exists(payload, '$.**{101}') THEN
        RAISE EXCEPTION 'notify.send: payload must be a JSON object of at most 65536 characters and 100 levels, without'
            ' the key "type"' USING ERRCODE = 'invalid_parameter_value';
    ELSIF length(topic) > 255 THEN
        RAISE EXCEPTION 'notify.send: topic must have at most 255 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM notify.append_v1('send', ARRAY[NULL::text],
        jsonb_build_object('user_id', user_id, 'type', type, 'payload', payload, 'topic', topic));
END $$;

-- What a request that came with a key was answered, so that the same request again gets the same answer.
CREATE TABLE notify.request_key (
    user_id     text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    answer      jsonb NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);

-- A key's lock, held to the end of the transaction; false while another request has it.
CREATE FUNCTION notify.try_key_lock_v1(user_id text, key text) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock(hashtextextended(user_id || chr(31) || key, 7237405))
$$;

-- Writes a post, once for a key. {"status": created, unknown_user, in_flight or key_reused, "post"?}
CREATE FUNCTION notify.create_post_v1(author_id text, title text, body text, with_key text, fingerprint_of text)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    earlier notify.request_key;
    post    jsonb;
BEGIN
    IF with_key IS NOT NULL THEN
        IF NOT notify.try_key_lock_v1(author_id, with_key) THEN
            RETURN jsonb_build_object('status', 'in_flight');
        END IF;
        SELECT * INTO earlier FROM notify.request_key k WHERE k.user_id = author_id AND k.key = with_key;
        IF earlier.fingerprint = fingerprint_of THEN
            RETURN jsonb_build_object('status', 'created', 'post', earlier.answer);
        ELSIF earlier.key IS NOT NULL THEN
            RETURN jsonb_build_object('status', 'key_reused');
        END IF;
    END IF;
    INSERT INTO notify.posts AS p (author_id, title, body)
    SELECT u.id, create_post_v1.title, create_post_v1.body
    FROM notify.people u WHERE u.id = notify.to_person_id(create_post_v1.author_id)
    RETURNING jsonb_build_object('id', notify.json_id_v1(p.id), 'authorId', notify.json_id_v1(p.author_id),
                                 'title', p.title, 'body', p.body) INTO post;
    IF post IS NULL THEN
        RETURN jsonb_build_object('status', 'unknown_user');
    END IF;
    IF with_key IS NOT NULL THEN
        INSERT INTO notify.request_key (user_id, key, fingerprint, answer)
        VALUES (create_post_v1.author_id, with_key, fingerprint_of, post);
    END IF;
    RETURN jsonb_build_object('status', 'created', 'post', post);
END $$;

-- batch: [{"n", "post_id", "author_id", "body", "key"?, "fingerprint"?}, …]; ids are valid for their columns, and no key
-- comes twice. Every row gets an outcome:
--   created       the comment is written, or was written by an earlier request with this key; "comment" is its JSON
--   no_post       there is no such post
--   unknown_user  the table of users lacks the author
--   blocked       somebody holds the post's row; written only by a call with `patient`, which waits for it
--   refused       one of the app's triggers swallowed the row
--   in_flight     a request with this key is under way in another transaction
--   key_reused    the key came earlier, with another fingerprint
-- {"outcomes": [{"n", "status", "comment"?}, …], "changes": [change_json_v1, …]}
-- An error of the app's own (a constraint, a trigger) fails the whole batch; nothing of it is written then.
CREATE FUNCTION notify.post_comments_v2(batch jsonb, batch_id uuid, patient boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    keyed    boolean := jsonb_path_exists(batch, '$[*].key');
    answered jsonb := '[]';
    outcomes jsonb;
    ids      text[];
    changes  jsonb := '[]';
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
    SELECT answered || coalesce(jsonb_agg(jsonb_build_object('n', j.n, 'comment', w.json, 'status',
                         CASE WHEN j.status = 'created' AND w.id IS NULL THEN 'refused' ELSE j.status END)), '[]'),
           -- by the batch's numbers: what was not written now is NULL
           CASE WHEN NOT keyed THEN array_agg(w.id::text ORDER BY j.n) ELSE (
               SELECT array_agg(x.id ORDER BY n) FROM generate_series(0, jsonb_array_length(batch) - 1) n
               LEFT JOIN (SELECT i.n, v.id::text AS id FROM numbered i JOIN written v ON v.id = i.id) x USING (n)) END
    INTO outcomes, ids
    FROM judged j LEFT JOIN numbered i ON i.n = j.n LEFT JOIN written w ON w.id = i.id;

    PERFORM set_config('lock_timeout', CASE WHEN patient THEN '2s' ELSE '500ms' END, true),
            set_config('notify.aside', 'off', true);

    IF keyed THEN
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
            FROM notify.drafts d WHERE d.comment_id IN (SELECT notify.to_comment_id(i) FROM unnest(ids) i)
            ORDER BY d.comment_id));
    EXCEPTION WHEN OTHERS THEN
        IF notify.passing_v1(SQLSTATE) THEN
            RAISE;
        END IF;
        -- The comments stand, whatever is wrong with the drafts; the drain finds out which.
        PERFORM notify.append_v1('comment', array_remove(ids, NULL));
    END;
    RETURN jsonb_build_object('outcomes', outcomes, 'changes', changes);
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
