-- The inbox, the outbox, and the functions that alone may change them. Nothing here knows the app's tables;
-- 0002_app.sql connects those.
--
-- Invariants:
--   * whoever changes an inbox (deliver, retract) first locks its row in notify.inbox, users in order, in a
--     statement of its own, so that the next statement reads what the lock protects;
--   * seq numbers a user's notifications in commit order; version counts everything that happens to an inbox;
--   * unread and unseen equal the rows they count, at every commit.

-- What a comment, or notify.send, wants somebody to be told.
CREATE TYPE notify.draft AS (
    user_id text, type text, payload jsonb, topic text, actor_id text, post_id text, comment_id text
);

CREATE TABLE notify.inbox (
    user_id     text COLLATE "C" PRIMARY KEY,
    last_seq    bigint NOT NULL DEFAULT 0,
    version     bigint NOT NULL DEFAULT 0,
    unread      bigint NOT NULL DEFAULT 0,
    unseen      bigint NOT NULL DEFAULT 0,
    pruned_upto bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE notify.notification (
    user_id    text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,
    type       text NOT NULL,
    payload    jsonb NOT NULL,
    topic      text,
    actor_id   text,
    post_id    text,
    comment_id text,
    -- clock_timestamp(), not now(): a truncation tells what came before it from what came after (settle_truncate_v1)
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz,
    read_at    timestamptz,
    PRIMARY KEY (user_id, seq)
);
CREATE INDEX notification_comment ON notify.notification (comment_id) WHERE comment_id IS NOT NULL;
CREATE INDEX notification_post ON notify.notification (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX notification_actor ON notify.notification (actor_id) WHERE actor_id IS NOT NULL;

-- Every comment that was looked at, whether or not anybody was told of it. What is missing here is found by
-- reconcile_v1; `retracted` marks one whose notification was taken back with its post, and may return with it.
CREATE TABLE notify.considered (
    comment_id text COLLATE "C" PRIMARY KEY,
    retracted  boolean NOT NULL DEFAULT false,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A batch of the POST route that committed, so that a COMMIT whose reply was lost can be looked up.
-- comment_ids[n + 1] is the id given to row n, NULL for one that was not written.
CREATE TABLE notify.batch (
    id          uuid PRIMARY KEY,
    comment_ids text[],
    at          timestamptz NOT NULL DEFAULT now()
);

-- The outbox: three tables in turn, because a table that is deleted from while somebody's transaction stays open
-- only grows. One is written to; the others are truncated as soon as they are empty and nobody holds them.
CREATE SEQUENCE notify.outbox_id;
CREATE TABLE notify.outbox_0 (
    id    bigint NOT NULL DEFAULT nextval('notify.outbox_id'),
    kind  text NOT NULL,
    key   text,
    draft jsonb,
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE notify.outbox_1 (LIKE notify.outbox_0 INCLUDING DEFAULTS);
CREATE TABLE notify.outbox_2 (LIKE notify.outbox_0 INCLUDING DEFAULTS);

CREATE TABLE notify.outbox_current (
    slot int NOT NULL CHECK (slot BETWEEN 0 AND 2)
);
INSERT INTO notify.outbox_current VALUES (0);

CREATE VIEW notify.outbox AS
          SELECT 0 AS slot, ctid AS place, id, kind, key, draft, at FROM notify.outbox_0
UNION ALL SELECT 1, ctid, id, kind, key, draft, at FROM notify.outbox_1
UNION ALL SELECT 2, ctid, id, kind, key, draft, at FROM notify.outbox_2;

-- An outbox row that cannot be settled, and why.
CREATE TABLE notify.poison (
    id     bigint PRIMARY KEY,
    kind   text NOT NULL,
    key    text,
    draft  jsonb,
    reason text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

-- Moves whenever a trigger's guard swallowed an error: a sequence, because it takes no lock that waits and keeps its
-- value when the transaction around it fails.
CREATE SEQUENCE notify.missed;

-- An id as Express's `pg` gives it to JSON: integers as numbers, bigint and all others as strings.
CREATE FUNCTION notify.json_id_v1(id anyelement) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN pg_typeof(id) IN ('integer'::regtype, 'smallint'::regtype)
                THEN to_jsonb(id) ELSE to_jsonb(id::text) END
$$;

-- ISO 8601, UTC, milliseconds, Z: what JavaScript's Date gives to JSON.
CREATE FUNCTION notify.json_time_v1(moment timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

CREATE FUNCTION notify.comment_json_v1(id jsonb, post_id jsonb, author_id jsonb, body text, created_at timestamptz)
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', id, 'postId', post_id, 'authorId', author_id, 'body', body,
                              'createdAt', notify.json_time_v1(created_at))
$$;

-- A stored notification as the server's feed takes it: whose, which, and the event's one argument.
CREATE FUNCTION notify.event_json_v1(n notify.notification) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('user', n.user_id, 'seq', n.seq, 'event', n.payload || jsonb_build_object('type', n.type))
$$;

-- Stores drafts in their users' inboxes; returns what was stored, in the drafts' order.
CREATE FUNCTION notify.deliver_v1(drafts notify.draft[]) RETURNS SETOF notify.notification LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(drafts) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO notify.inbox (user_id)
    SELECT DISTINCT d.user_id COLLATE "C" FROM unnest(drafts) d ORDER BY 1
    ON CONFLICT DO NOTHING;

    PERFORM FROM notify.inbox i
    WHERE i.user_id IN (SELECT d.user_id FROM unnest(drafts) d)
    ORDER BY i.user_id FOR UPDATE;

    RETURN QUERY
    WITH numbered AS (
        SELECT d.*, i.last_seq + row_number() OVER (PARTITION BY i.user_id ORDER BY d.n) AS seq
        FROM unnest(drafts) WITH ORDINALITY
             AS d (user_id, type, payload, topic, actor_id, post_id, comment_id, n)
        JOIN notify.inbox i ON i.user_id = d.user_id
    ), counted AS (
        UPDATE notify.inbox i
        SET last_seq = i.last_seq + n.new, version = i.version + 1,
            unread = i.unread + n.new, unseen = i.unseen + n.new
        FROM (SELECT user_id, count(*) AS new FROM numbered GROUP BY user_id) n
        WHERE i.user_id = n.user_id
    )
    INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id)
    SELECT d.user_id, d.seq, d.type, d.payload, d.topic, d.actor_id, d.post_id, d.comment_id
    FROM numbered d ORDER BY d.n
    RETURNING notification.*;
END $$;

-- Takes notifications back: user_ids[i] with seqs[i]. Returns those that were there.
CREATE FUNCTION notify.retract_v1(user_ids text[], seqs bigint[]) RETURNS SETOF notify.notification
LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(user_ids) = 0 THEN
        RETURN;
    END IF;
    PERFORM FROM notify.inbox i WHERE i.user_id = ANY (user_ids) ORDER BY i.user_id FOR UPDATE;

    RETURN QUERY
    WITH gone AS (
        DELETE FROM notify.notification n
        USING unnest(user_ids, seqs) AS t (user_id, seq)
        WHERE n.user_id = t.user_id AND n.seq = t.seq
        RETURNING n.*
    ), counted AS (
        UPDATE notify.inbox i
        SET version = i.version + 1, unread = i.unread - g.unread, unseen = i.unseen - g.unseen
        FROM (SELECT user_id, count(*) FILTER (WHERE read_at IS NULL) AS unread,
                     count(*) FILTER (WHERE seen_at IS NULL) AS unseen
              FROM gone GROUP BY user_id) g
        WHERE i.user_id = g.user_id
    )
    SELECT * FROM gone;
END $$;

-- Appends to the outbox, one row a key. Waits for no lock: a table that somebody holds is passed over.
CREATE FUNCTION notify.append_v1(kind text, keys text[], draft jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    current_slot int := (SELECT c.slot FROM notify.outbox_current c);
BEGIN
    FOR turn IN 0..2 LOOP
        BEGIN
            CASE (current_slot + turn) % 3
                WHEN 0 THEN
                    LOCK TABLE notify.outbox_0 IN ROW EXCLUSIVE MODE NOWAIT;
                    INSERT INTO notify.outbox_0 (kind, key, draft)
                    SELECT append_v1.kind, k, append_v1.draft FROM unnest(keys) k;
                WHEN 1 THEN
                    LOCK TABLE notify.outbox_1 IN ROW EXCLUSIVE MODE NOWAIT;
                    INSERT INTO notify.outbox_1 (kind, key, draft)
                    SELECT append_v1.kind, k, append_v1.draft FROM unnest(keys) k;
                ELSE
                    LOCK TABLE notify.outbox_2 IN ROW EXCLUSIVE MODE NOWAIT;
                    INSERT INTO notify.outbox_2 (kind, key, draft)
                    SELECT append_v1.kind, k, append_v1.draft FROM unnest(keys) k;
            END CASE;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL; -- the next table
        END;
    END LOOP;
    RAISE EXCEPTION 'every outbox table is locked' USING ERRCODE = 'lock_not_available';
END $$;

-- Notifies a user of anything, from any program: {type, ...payload} arrives as the event `notification`.
-- Part of the caller's transaction. For other roles: GRANT USAGE ON SCHEMA notify and EXECUTE on this function.
CREATE FUNCTION notify.send(user_id text, type text, payload jsonb DEFAULT '{}', topic text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(user_id, '') = '' OR length(user_id) > 255 THEN
        RAISE EXCEPTION 'notify.send: user_id must have 1 to 255 characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF coalesce(type, '') = '' OR length(type) > 64 THEN
        RAISE EXCEPTION 'notify.send: type must have 1 to 64 characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF jsonb_typeof(payload) IS DISTINCT FROM 'object' OR payload ? 'type' OR length(payload::text) > 65536 THEN
        RAISE EXCEPTION 'notify.send: payload must be a JSON object of at most 65536 characters without the key "type"'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF length(topic) > 255 THEN
        RAISE EXCEPTION 'notify.send: topic must have at most 255 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM notify.append_v1('send', ARRAY[NULL::text],
        jsonb_build_object('user_id', user_id, 'type', type, 'payload', payload, 'topic', topic));
END $$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
