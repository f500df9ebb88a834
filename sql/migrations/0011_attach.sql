-- An app's own tables, by any names: what sql/attach.sql needs; and a history for those who switch.

ALTER TABLE notify.attachment
    ALTER COLUMN spec DROP NOT NULL,                       -- NULL: taken back by `notify-server detach`
    ADD COLUMN people     regclass,                        -- the tables, under whatever names they have by now
    ADD COLUMN posts      regclass,
    ADD COLUMN comments   regclass,                        -- whose ids the inboxes hold
    ADD COLUMN former     jsonb,                           -- the options of what was connected before it was taken back
    ADD COLUMN baselined  boolean NOT NULL DEFAULT false,  -- whether what was there before counts as considered
    ADD COLUMN drafts     text,                            -- the view as it was made, to tell it from a replaced one
    ADD COLUMN backfilled timestamptz;
UPDATE notify.attachment SET baselined = true;

DROP FUNCTION IF EXISTS notify.attach_v1, notify.column_type_v1, notify.id_default_v1, notify.make_trigger_function_v1;

-- A trigger function that appends to the outbox (`appended` are append_v1's arguments) and lets no error of ours reach
-- the app's statement.
CREATE FUNCTION notify.make_trigger_function_v2(name text, appended text) RETURNS void LANGUAGE plpgsql AS $outer$
BEGIN
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION notify.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms' AS $body$
        BEGIN
            -- our own batch delivers what it inserts; what the app's triggers insert meanwhile is deeper
            IF pg_trigger_depth() = 1 AND current_setting('notify.aside', true) = 'on' THEN
                RETURN NULL;
            END IF;
            PERFORM notify.append_v1(%s);
            RETURN NULL;
        EXCEPTION WHEN OTHERS THEN
            BEGIN
                PERFORM nextval('notify.missed');
            EXCEPTION WHEN OTHERS THEN
                NULL; -- the newest comments are scanned all the same
            END;
            RETURN NULL;
        END $body$ $f$, name, appended);
END $outer$;

-- An id as the library cuid makes them: a letter, the time in milliseconds, and what makes it unique.
CREATE FUNCTION notify.new_cuid_v1() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    digits CONSTANT text := '0123456789abcdefghijklmnopqrstuvwxyz';
    rest   bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    id     text := '';
    random bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
BEGIN
    WHILE rest > 0 LOOP
        id := substr(digits, (rest % 36)::int + 1, 1) || id;
        rest := rest / 36;
    END LOOP;
    -- bytes 6 and 8 of a UUID are not all random
    RETURN 'c' || id || (SELECT string_agg(substr(digits, get_byte(random, n) % 36 + 1, 1), '')
                         FROM generate_series(10, 27) n WHERE n NOT IN (22, 24));
END $$;

-- Whether there are tables to look at, and their past counts as considered.
CREATE FUNCTION notify.is_baselined_v1() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM notify.attachment a WHERE a.spec IS NOT NULL AND a.baselined)
$$;

-- What was there before the triggers is nobody's news; what came since is in the outbox, and stays news. Apart from the
-- attaching, so that copying many ids holds no lock that the app waits for. False where that was done before.
CREATE FUNCTION notify.baseline_v1() RETURNS boolean LANGUAGE plpgsql SET row_security = off AS $$
BEGIN
    PERFORM FROM notify.attachment a WHERE a.spec IS NOT NULL AND NOT a.baselined FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO notify.considered (comment_id)
    SELECT c.id::text FROM notify.comments c
    WHERE c.id::text NOT IN (SELECT o.key FROM notify.outbox o WHERE o.kind IN ('comment', 'moved'))
    ON CONFLICT DO NOTHING;
    UPDATE notify.attachment SET baselined = true, at = now();
    RETURN true;
END $$;

-- Which of our triggers are not there, or are disabled: [[schema, table, trigger], …]
CREATE FUNCTION notify.missing_triggers_v1() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(
               coalesce(s.nspname, w.schema), coalesce(c.relname, w.name), w.trigger) ORDER BY w.number), '[]')
    FROM notify.attachment a
    CROSS JOIN LATERAL (
        SELECT e.value ->> 'schema' AS schema, e.value ->> 'name' AS name, e.value ->> 'trigger' AS trigger, number,
               CASE e.value ->> 'of' WHEN 'people' THEN a.people WHEN 'posts' THEN a.posts ELSE a.comments END AS tab
        FROM jsonb_array_elements(a.spec -> 'triggers') WITH ORDINALITY e (value, number)
    ) w
    LEFT JOIN pg_class c ON c.oid = w.tab
    LEFT JOIN pg_namespace s ON s.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                      WHERE p.pronamespace = 'notify'::regnamespace AND t.tgenabled IN ('O', 'A')
                        AND t.tgrelid = w.tab AND t.tgname = w.trigger)
$$;

-- What tells the server that a full scan is due: {"missed": how often a guard swallowed something, "triggers": how
-- many of ours are in place and enabled, "missing": those that should be}
CREATE FUNCTION notify.watch_v2() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT notify.watch_v1() || jsonb_build_object('missing', notify.missing_triggers_v1())
$$;

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
    IF NOT notify.is_baselined_v1() OR NOT notify.try_scan_lock_v1() THEN
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

-- The other way round: comments once considered that are gone. Same answer as reconcile_v1, by the considered id.
CREATE OR REPLACE FUNCTION notify.reconcile_gone_v1(after text, max_rows int) RETURNS jsonb LANGUAGE plpgsql
SET row_security = off AS $$
DECLARE
    ids  text[];
    gone text[];
BEGIN
    IF NOT notify.is_baselined_v1() OR NOT notify.try_scan_lock_v1() THEN
        RETURN jsonb_build_object('busy', true);
    END IF;
    ids := ARRAY(SELECT k.comment_id FROM notify.considered k WHERE k.comment_id > coalesce(after, '')
                 ORDER BY k.comment_id LIMIT max_rows);
    gone := ARRAY(SELECT i FROM unnest(ids) i
                  WHERE NOT EXISTS (SELECT FROM notify.comments c WHERE c.id = notify.to_comment_id(i))
                    AND i NOT IN (SELECT o.key FROM notify.outbox o WHERE o.kind IN ('comment', 'moved')));
    PERFORM notify.append_v1('comment', gone);
    RETURN jsonb_build_object('busy', false, 'found', cardinality(gone),
        'last', CASE WHEN cardinality(ids) = max_rows THEN ids[max_rows] END);
END $$;

-- Stores drafts in their users' inboxes, but for what is muted; returns the changes. In the shadow of an old server,
-- which has shown them already, as read.
CREATE OR REPLACE FUNCTION notify.deliver_v2(drafts notify.draft[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    shadow  boolean := current_setting('notify.shadow', true) = 'on';
    moment  timestamptz := CASE WHEN shadow THEN clock_timestamp() END;
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
            unread = i.unread + n.news, unseen = i.unseen + n.news
        FROM (SELECT user_id, count(*) AS new, count(*) FILTER (WHERE shadow IS NOT TRUE) AS news
              FROM numbered GROUP BY user_id) n
        WHERE i.user_id = n.user_id
        RETURNING i AS inbox
    ), stored AS (
        INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id, seen_at, read_at)
        SELECT d.user_id, d.seq, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id, moment, moment
        FROM numbered d ORDER BY d.n
        RETURNING notification.*
    ), entries AS (
        SELECT s.user_id, jsonb_agg(notify.entry_json_v2(s.seq, s.type, s.topic, s.actor_id, s.payload, s.created_at, s.seen_at, s.read_at)
                                    ORDER BY s.seq) AS added
        FROM stored s GROUP BY s.user_id
    )
    SELECT jsonb_agg(notify.change_json_v1(c.inbox, jsonb_build_object('added', e.added))) INTO changes
    FROM counted c JOIN entries e ON e.user_id = (c.inbox).user_id;
    RETURN coalesce(changes, '[]');
END $$;

-- One step of the drain, as drain_v2; in the shadow of an old server what it delivers is read.
CREATE FUNCTION notify.drain_v3(max_rows int, after bigint, shadow boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('notify.shadow', CASE WHEN shadow THEN 'on' ELSE 'off' END, true);
    RETURN notify.drain_v2(max_rows, after);
END $$;

-- A value as Express's `pg` gives it to JSON: bigint and numeric as text, times in ISO 8601.
CREATE FUNCTION notify.as_json_sql_v1(expression text, of_type regtype) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN of_type IN ('bigint'::regtype, 'numeric'::regtype, 'money'::regtype) THEN expression || '::text'
        WHEN of_type = 'timestamptz'::regtype THEN format('notify.json_time_v1(%s)', expression)
        WHEN of_type = 'timestamp'::regtype THEN format('notify.json_time_v1(%s AT TIME ZONE ''UTC'')', expression)
        ELSE expression END
$$;

-- From the view notify.answers, which the app wrote, the function that gives its rows as JSON.
CREATE FUNCTION notify.make_comment_answers_v1() RETURNS void LANGUAGE plpgsql AS $outer$
DECLARE
    pairs text := (SELECT string_agg(format('%L, %s', a.attname,
                       notify.as_json_sql_v1(format('v.%I', a.attname), a.atttypid::regtype)), ', ' ORDER BY a.attnum)
                   FROM pg_attribute a WHERE a.attrelid = 'notify.answers'::regclass AND a.attnum > 0);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'notify.answers'::regclass AND a.attname = 'id') THEN
        RAISE EXCEPTION 'the query for the answer has no column "id", the comment''s' USING ERRCODE = 'undefined_column';
    END IF;
    EXECUTE format($f$
        CREATE FUNCTION notify.comment_answers(ids text[]) RETURNS TABLE (id text, answer jsonb) LANGUAGE sql STABLE AS
        $body$ SELECT v.id::text, jsonb_build_object(%s) FROM notify.answers v
               WHERE v.id IN (SELECT notify.to_comment_id(i) FROM unnest(ids) i) $body$ $f$, pairs);
END $outer$;

-- Outcomes of post_comments, each created comment as the app wants it answered.
CREATE FUNCTION notify.with_answers_v1(outcomes jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(CASE WHEN a.answer IS NULL THEN o.value
                                       ELSE o.value || jsonb_build_object('comment', a.answer) END), '[]')
        FROM jsonb_array_elements(outcomes) o
        LEFT JOIN notify.comment_answers(ARRAY(
            SELECT c.value -> 'comment' ->> 'id' FROM jsonb_array_elements(outcomes) c
            WHERE c.value ->> 'status' = 'created')) a ON a.id = o.value -> 'comment' ->> 'id');
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
-- {"outcomes": [{"n", "status", "comment"?}, …], "changes": [change_json_v1, …], "answers_failed": the SQLSTATE with
--  which the app's own answers (notify.comment_answers) failed, null where they were given}
-- An error of the app's own (a constraint, a trigger) fails the whole batch; nothing of it is written then.
CREATE FUNCTION notify.post_comments_v3(batch jsonb, batch_id uuid, patient boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    keyed    boolean := jsonb_path_exists(batch, '$[*].key');
    answered jsonb := '[]';
    outcomes jsonb;
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
    RETURN jsonb_build_object('outcomes', outcomes, 'changes', changes, 'answers_failed', failed);
END $$;

-- As learn_batch_v1, with the app's own answers.
CREATE FUNCTION notify.learn_batch_v2(batch_id uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    learnt jsonb := notify.learn_batch_v1(batch_id);
BEGIN
    IF to_regproc('notify.comment_answers') IS NULL THEN
        RETURN learnt;
    END IF;
    RETURN learnt || jsonb_build_object('outcomes', notify.with_answers_v1(learnt -> 'outcomes'));
EXCEPTION WHEN OTHERS THEN
    IF notify.passing_v1(SQLSTATE) OR learnt IS NULL THEN
        RAISE;
    END IF;
    RETURN learnt;
END $$;

-- Comments from before the attaching that are yet to be written into inboxes as history.
CREATE TABLE notify.history (
    created_at timestamptz NOT NULL,
    comment_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (created_at, comment_id)
);

-- Begins a history of what was created after `since`. Gives how many comments are ahead, where one was begun before
-- those that are left of it.
CREATE FUNCTION notify.begin_history_v1(since timestamptz) RETURNS bigint LANGUAGE plpgsql SET row_security = off AS $$
BEGIN
    LOCK TABLE notify.history IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM notify.history) THEN
        INSERT INTO notify.history (created_at, comment_id)
        SELECT c.created_at, c.id::text FROM notify.comments c, notify.attachment a
        WHERE c.created_at >= since AND c.created_at < a.at
          AND EXISTS (SELECT FROM notify.considered k WHERE k.comment_id = c.id::text);
    END IF;
    RETURN (SELECT count(*) FROM notify.history);
END $$;

-- Writes the newest max_rows comments that are ahead into inboxes, as read. Below 1 and downwards: what was delivered
-- stays above its past, and nothing of it is ever replayed. {"done": comments, "written": notifications}
CREATE FUNCTION notify.write_history_v1(max_rows int) RETURNS jsonb LANGUAGE plpgsql SET row_security = off AS $$
DECLARE
    moment    timestamptz := clock_timestamp();
    taken     text[];
    drafts    notify.draft[];
    moments   timestamptz[];
    n_written bigint;
BEGIN
    WITH gone AS (
        DELETE FROM notify.history h WHERE h.ctid IN (
            SELECT t.ctid FROM notify.history t ORDER BY t.created_at DESC, t.comment_id DESC LIMIT max_rows FOR UPDATE)
        RETURNING h.created_at, h.comment_id
    ), drafted AS (
        SELECT g.created_at, g.comment_id,
               (d.user_id, d.type, d.payload, d.topic, d.actor_id, d.post_id, g.comment_id)::notify.draft AS draft
        FROM gone g LEFT JOIN notify.drafts d ON d.comment_id = notify.to_comment_id(g.comment_id)
           AND NOT EXISTS (SELECT FROM notify.notification n
                           WHERE n.comment_id = g.comment_id AND n.user_id = d.user_id)
           AND NOT EXISTS (SELECT FROM notify.mute m WHERE m.user_id = d.user_id
                           AND m.topic IN (d.topic, 'user:' || d.actor_id))
    )
    SELECT array_agg(DISTINCT f.comment_id),
           array_agg(f.draft ORDER BY f.created_at DESC, f.comment_id DESC) FILTER (WHERE (f.draft).user_id IS NOT NULL),
           array_agg(f.created_at ORDER BY f.created_at DESC, f.comment_id DESC) FILTER (WHERE (f.draft).user_id IS NOT NULL)
    INTO taken, drafts, moments FROM drafted f;

    IF drafts IS NOT NULL THEN
        PERFORM notify.lock_inboxes_v1(ARRAY(SELECT DISTINCT d.user_id FROM unnest(drafts) d));
        WITH lowest AS (
            SELECT u.user_id, least(1, (SELECT n.seq FROM notify.notification n WHERE n.user_id = u.user_id
                                        ORDER BY n.seq LIMIT 1)) AS seq
            FROM (SELECT DISTINCT d.user_id FROM unnest(drafts) d) u
        ), written AS (
            INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id,
                                             created_at, seen_at, read_at)
            SELECT d.user_id, l.seq - row_number() OVER (PARTITION BY d.user_id ORDER BY d.n), d.type, d.payload,
                   d.topic, d.actor_id, d.post_id, d.comment_id, moments[d.n], moment, moment
            FROM unnest(drafts) WITH ORDINALITY
                 AS d (user_id, type, payload, topic, actor_id, post_id, comment_id, n)
            JOIN lowest l ON l.user_id = d.user_id
            RETURNING user_id
        ), counted AS (
            UPDATE notify.inbox i SET version = i.version + 1, altered = i.version + 1
            WHERE i.user_id IN (SELECT w.user_id FROM written w)
        )
        SELECT count(*) INTO n_written FROM written;
    END IF;
    IF taken IS NULL THEN
        UPDATE notify.attachment SET backfilled = now();
    END IF;
    RETURN jsonb_build_object('done', coalesce(cardinality(taken), 0), 'written', coalesce(n_written, 0));
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
