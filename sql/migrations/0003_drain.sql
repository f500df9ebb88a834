-- Outbox → inbox. One drainer at a time for a database; every step is one short transaction, so a crash repeats at
-- most what had not committed. A comment is settled by what is there now, not by what the outbox row said: settling
-- it once more changes nothing.

-- The drain's advisory lock, held to the end of the transaction; false while another server drains.
CREATE FUNCTION notify.try_drain_lock_v1() RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock(7237402) -- any number, but the same on every server
$$;

-- Comments that were written, deleted or (`moved`) given another post or author.
CREATE FUNCTION notify.settle_comments_v1(keys text[], moved boolean) RETURNS SETOF notify.notification
LANGUAGE plpgsql AS $$
DECLARE
    present text[] := ARRAY(SELECT c.id::text FROM notify.comments c
                            WHERE c.id IN (SELECT notify.to_comment_id(k) FROM unnest(keys) k));
    dropped text[] := ARRAY(SELECT unnest(keys) EXCEPT SELECT unnest(present));
    fresh   text[];
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
        PERFORM notify.retract_v1(array_agg(n.user_id), array_agg(n.seq))
        FROM notify.notification n WHERE n.comment_id = ANY (dropped) HAVING count(*) > 0;
        DELETE FROM notify.considered k WHERE k.comment_id = ANY (dropped);
    END IF;

    WITH marked AS (
        INSERT INTO notify.considered AS k (comment_id)
        SELECT DISTINCT p COLLATE "C" FROM unnest(present) p ORDER BY 1
        ON CONFLICT (comment_id) DO UPDATE SET retracted = false, at = clock_timestamp() WHERE k.retracted
        RETURNING k.comment_id
    )
    SELECT array_agg(comment_id) INTO fresh FROM marked;

    RETURN QUERY SELECT * FROM notify.deliver_v1(ARRAY(
        SELECT (d.user_id, d.type, d.payload, d.topic, d.actor_id, d.post_id, f.id)::notify.draft
        FROM (SELECT k AS id, min(n) AS n FROM unnest(keys) WITH ORDINALITY AS u (k, n)
              WHERE k = ANY (fresh) GROUP BY k) f
        JOIN notify.drafts d ON d.comment_id = notify.to_comment_id(f.id)
        ORDER BY f.n));
END $$;

-- A post that was deleted or given another author. At most max_rows retractions; `done` tells whether that was all.
CREATE FUNCTION notify.settle_post_v1(key text, max_rows int, OUT done boolean, OUT delivered notify.notification[])
LANGUAGE plpgsql AS $$
DECLARE
    taken notify.notification[];
BEGIN
    done := true;
    IF EXISTS (SELECT FROM notify.posts p WHERE p.id = notify.to_post_id(key)) THEN
        delivered := ARRAY(SELECT n FROM notify.settle_comments_v1(ARRAY(
            SELECT c.id::text FROM notify.comments c JOIN notify.considered k ON k.comment_id = c.id::text
            WHERE c.post_id = notify.to_post_id(key) AND k.retracted ORDER BY c.id), false) n);
    ELSE
        taken := ARRAY(SELECT n FROM notify.notification n WHERE n.post_id = key LIMIT max_rows);
        PERFORM notify.retract_all_v1(taken);
        UPDATE notify.considered k SET retracted = true
        WHERE k.comment_id IN (SELECT t.comment_id FROM unnest(taken) t);
        done := cardinality(taken) < max_rows;
    END IF;
END $$;

-- A person who was deleted: what he caused, and his own inbox.
CREATE FUNCTION notify.settle_person_v1(key text, max_rows int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    taken notify.notification[];
BEGIN
    IF EXISTS (SELECT FROM notify.people p WHERE p.id = notify.to_person_id(key)) THEN
        RETURN true;
    END IF;
    taken := ARRAY(SELECT n FROM notify.notification n WHERE n.actor_id = key OR n.user_id = key LIMIT max_rows);
    PERFORM notify.retract_all_v1(taken);
    RETURN cardinality(taken) < max_rows;
END $$;

-- A table that was truncated at that moment: what was delivered before it goes. Ids may start anew, hence the time.
CREATE FUNCTION notify.settle_truncate_v1(tab text, moment timestamptz, max_rows int) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    taken notify.notification[];
    forgotten int;
BEGIN
    taken := ARRAY(
        SELECT n FROM notify.notification n WHERE n.created_at < moment
           AND CASE tab WHEN 'comments' THEN n.comment_id IS NOT NULL
                        WHEN 'posts'    THEN n.post_id IS NOT NULL
                        ELSE true END
        LIMIT max_rows);
    PERFORM notify.retract_all_v1(taken);
    IF cardinality(taken) = max_rows THEN
        RETURN false;
    END IF;
    DELETE FROM notify.considered k WHERE k.comment_id IN (
        SELECT o.comment_id FROM notify.considered o WHERE o.at < moment
           AND NOT EXISTS (SELECT FROM notify.comments c WHERE tab <> 'comments'
                           AND c.id = notify.to_comment_id(o.comment_id))
        LIMIT max_rows);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten < max_rows;
END $$;

CREATE FUNCTION notify.retract_all_v1(taken notify.notification[]) RETURNS void LANGUAGE sql AS $$
    SELECT notify.retract_v1(array_agg(t.user_id), array_agg(t.seq)) FROM unnest(taken) t HAVING count(*) > 0
$$;

-- Settles outbox rows of one kind that follow each other. `done` is false where a part of the work is left, which only
-- happens to a row that stands alone.
CREATE FUNCTION notify.settle_v1(rows notify.outbox[], OUT done boolean, OUT delivered notify.notification[])
LANGUAGE plpgsql AS $$
DECLARE
    max_rows CONSTANT int := 1000;
BEGIN
    done := true;
    delivered := '{}';
    CASE rows[1].kind
        WHEN 'comment', 'moved' THEN
            delivered := ARRAY(SELECT n FROM notify.settle_comments_v1(
                ARRAY(SELECT r.key FROM unnest(rows) r), rows[1].kind = 'moved') n);
        WHEN 'send' THEN
            delivered := ARRAY(SELECT n FROM notify.deliver_v1(ARRAY(
                SELECT jsonb_populate_record(NULL::notify.draft, r.draft) FROM unnest(rows) r)) n);
        WHEN 'post' THEN
            SELECT s.done, s.delivered INTO done, delivered FROM notify.settle_post_v1(rows[1].key, max_rows) s;
        WHEN 'person' THEN
            done := notify.settle_person_v1(rows[1].key, max_rows);
        WHEN 'truncate' THEN
            done := notify.settle_truncate_v1(rows[1].key, rows[1].at, max_rows);
    END CASE;
END $$;

-- True where an error says something about the moment or the server, not about the row: try again, set nothing aside.
CREATE FUNCTION notify.passing_v1(state text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT left(state, 2) IN ('25', '40', '53', '55', '57', '58', 'XX')
$$;

-- Sets one row aside. Where a definition is broken (class 42: the drafts' view, a function of ours), a comment is left to
-- the reconciling scan, which finds it when that is mended; anything else waits for the repair where it is.
CREATE FUNCTION notify.set_aside_v1(o notify.outbox, state text, reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF o.kind IN ('comment', 'moved') AND left(state, 2) = '42' THEN
        PERFORM nextval('notify.missed');
        RETURN;
    ELSIF left(state, 2) = '42' THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = reason;
    END IF;
    INSERT INTO notify.poison (id, kind, key, draft, reason)
    VALUES (o.id, o.kind, o.key, o.draft, state || ': ' || reason) ON CONFLICT DO NOTHING;
    IF o.kind IN ('comment', 'moved') THEN
        INSERT INTO notify.considered (comment_id) VALUES (o.key) ON CONFLICT DO NOTHING;
    END IF;
END $$;

CREATE FUNCTION notify.remove_v1(rows notify.outbox[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notify.outbox_0 WHERE ctid = ANY (ARRAY(SELECT r.place FROM unnest(rows) r WHERE r.slot = 0));
    DELETE FROM notify.outbox_1 WHERE ctid = ANY (ARRAY(SELECT r.place FROM unnest(rows) r WHERE r.slot = 1));
    DELETE FROM notify.outbox_2 WHERE ctid = ANY (ARRAY(SELECT r.place FROM unnest(rows) r WHERE r.slot = 2));
END $$;

-- One step of the drain: at most max_rows outbox rows, in order of id.
-- {"busy": another server drains, "taken": rows, "more": go on at once, "poisoned": rows set aside,
--  "notifications": [event_json_v1, …]}
CREATE FUNCTION notify.drain_v1(max_rows int) RETURNS jsonb LANGUAGE plpgsql
SET row_security = off AS $$ -- an error where a policy would hide rows: what it hides must not pass for deleted
DECLARE
    taken     notify.outbox[];
    run       record;
    settled   record;
    o         notify.outbox;
    events    jsonb := '[]';
    n_settled int := 0;
    poisoned  int := 0;
BEGIN
    IF NOT notify.try_drain_lock_v1() THEN
        RETURN jsonb_build_object('busy', true);
    END IF;
    taken := ARRAY(SELECT x FROM notify.outbox x ORDER BY x.id LIMIT max_rows);

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
        BEGIN
            SELECT * INTO settled FROM notify.settle_v1(run.rows);
            events := events || notify.events_json_v1(settled.delivered);
            EXIT runs WHEN NOT settled.done;
        EXCEPTION WHEN OTHERS THEN
            IF notify.passing_v1(SQLSTATE) THEN
                RAISE;
            END IF;
            FOREACH o IN ARRAY run.rows LOOP -- one of them is to blame: each alone
                BEGIN
                    SELECT * INTO settled FROM notify.settle_v1(ARRAY[o]);
                    events := events || notify.events_json_v1(settled.delivered);
                EXCEPTION WHEN OTHERS THEN
                    IF notify.passing_v1(SQLSTATE) THEN
                        RAISE;
                    END IF;
                    PERFORM notify.set_aside_v1(o, SQLSTATE, SQLERRM);
                    poisoned := poisoned + 1;
                END;
            END LOOP;
        END;
        PERFORM notify.remove_v1(run.rows);
        n_settled := n_settled + cardinality(run.rows);
    END LOOP;

    RETURN jsonb_build_object('busy', false, 'taken', n_settled, 'poisoned', poisoned,
        'more', cardinality(taken) = max_rows OR n_settled < cardinality(taken), 'notifications', events);
END $$;

CREATE FUNCTION notify.events_json_v1(rows notify.notification[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(notify.event_json_v1(r)), '[]') FROM unnest(rows) r
$$;

-- Truncates the outbox tables that are empty and free, and turns writers to a clean one when theirs has grown.
-- Waits for nobody. Returns the bytes that the outbox takes.
CREATE FUNCTION notify.rotate_v1(max_bytes bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    current_slot int;
    filled       boolean;
BEGIN
    IF notify.try_drain_lock_v1() THEN
        SELECT c.slot INTO current_slot FROM notify.outbox_current c;
        FOR slot IN 0..2 LOOP
            CONTINUE WHEN slot = current_slot OR pg_relation_size('notify.outbox_' || slot) = 0;
            BEGIN
                EXECUTE format('LOCK TABLE notify.outbox_%s IN ACCESS EXCLUSIVE MODE NOWAIT', slot);
                EXECUTE format('SELECT EXISTS (SELECT FROM notify.outbox_%s)', slot) INTO filled;
                IF NOT filled THEN
                    EXECUTE format('TRUNCATE notify.outbox_%s', slot);
                END IF;
            EXCEPTION WHEN lock_not_available THEN
                NULL; -- somebody still writes to it: another time
            END;
        END LOOP;
        IF pg_relation_size('notify.outbox_' || current_slot) > max_bytes THEN
            UPDATE notify.outbox_current c SET slot = s.slot
            FROM (SELECT slot FROM generate_series(0, 2) slot
                  WHERE slot <> current_slot AND pg_relation_size('notify.outbox_' || slot) = 0 LIMIT 1) s;
        END IF;
    END IF;
    RETURN pg_relation_size('notify.outbox_0') + pg_relation_size('notify.outbox_1')
         + pg_relation_size('notify.outbox_2');
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
