-- What never reached the outbox: found by comparing the comments with what was considered.

-- One server at a time scans. Not the drain's lock: a scan makes no drain wait.
CREATE FUNCTION notify.try_scan_lock_v1() RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock(7237403)
$$;

-- Puts comments into the outbox that nothing told us of (a trigger's guard swallowed an error, or the trigger was away),
-- upwards from the id `after`, or the newest where `newest` is set; the drain does the rest.
-- {"busy": another server scans, "last": where to go on, null at the end, "found": how many}
CREATE FUNCTION notify.reconcile_v1(after text, newest boolean, max_rows int) RETURNS jsonb LANGUAGE plpgsql
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
                     WHERE NOT EXISTS (SELECT FROM notify.considered k WHERE k.comment_id = i)
                       AND i NOT IN (SELECT o.key FROM notify.outbox o WHERE o.kind IN ('comment', 'moved'))
                     ORDER BY CASE WHEN newest THEN -n ELSE n END);
    PERFORM notify.append_v1('comment', unknown);
    RETURN jsonb_build_object('busy', false, 'found', cardinality(unknown),
        'last', CASE WHEN NOT newest AND cardinality(ids) = max_rows THEN ids[max_rows] END);
END $$;

-- The other way round: comments once considered that are gone. Same answer as reconcile_v1, by the considered id.
CREATE FUNCTION notify.reconcile_gone_v1(after text, max_rows int) RETURNS jsonb LANGUAGE plpgsql
SET row_security = off AS $$
DECLARE
    ids  text[];
    gone text[];
BEGIN
    IF NOT notify.try_scan_lock_v1() THEN
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

-- What tells the server that a full scan is due: {"missed": how often a guard swallowed something, "triggers": how
-- many of ours are in place and enabled}
CREATE FUNCTION notify.watch_v1() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object(
        'missed', (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM notify.missed),
        'triggers', (SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                     WHERE p.pronamespace = 'notify'::regnamespace AND t.tgenabled IN ('O', 'A')))
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
