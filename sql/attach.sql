-- Connects an app's tables. `notify-server attach` fills in the names between braces and runs all of it in one
-- transaction; run once more it replaces what it made before. Nothing of the tables is changed but that they get
-- triggers, all named notify_…; whatever else it makes is in the schema notify.

SET LOCAL search_path = '';

-- How we see the tables.
DROP VIEW IF EXISTS notify.answers, notify.drafts, notify.comments, notify.posts, notify.people;

CREATE VIEW notify.people AS
SELECT t.{{person_id}} AS id, {{person_name}} AS name
FROM {{people}} t WHERE {{person_is_there}};

CREATE VIEW notify.posts AS
SELECT t.{{post_id}} AS id, t.{{post_author}} AS author_id, {{post_title}} AS title, {{post_body}} AS body
FROM {{posts}} t WHERE {{post_is_there}};

CREATE VIEW notify.comments AS
SELECT t.{{comment_id}} AS id, t.{{comment_post}} AS post_id, t.{{comment_author}} AS author_id,
       t.{{comment_body}} AS body, {{comment_created}} AS created_at{{filled_columns}}
FROM {{comments}} t WHERE {{comment_is_there}};
{{filled_defaults}}
-- Who hears of a comment, and in which words. Yours to replace (CREATE OR REPLACE VIEW); the columns stay.
CREATE VIEW notify.drafts AS
SELECT c.id AS comment_id, p.author_id::text AS user_id, 'comment' AS type,
       jsonb_build_object('postId', notify.json_id_v1(p.id), 'commentId', notify.json_id_v1(c.id),
                          'fromUser', coalesce(u.name, 'Somebody'),
                          'message', coalesce(u.name, 'Somebody') || ' commented on your post') AS payload,
       'post:' || p.id AS topic, c.author_id::text AS actor_id, p.id::text AS post_id
FROM notify.comments c
JOIN notify.posts p ON p.id = c.post_id
JOIN notify.people u ON u.id = c.author_id
WHERE p.author_id <> c.author_id;

-- Ids as text, and as the tables have them.
DROP FUNCTION IF EXISTS notify.to_person_id, notify.to_post_id, notify.to_comment_id, notify.next_comment_id,
    notify.remove_comment, notify.comment_answers;
CREATE FUNCTION notify.to_person_id(id text) RETURNS {{person_id_type}} LANGUAGE sql IMMUTABLE AS
$notify$ SELECT id::{{person_id_type}} $notify$;
CREATE FUNCTION notify.to_post_id(id text) RETURNS {{post_id_type}} LANGUAGE sql IMMUTABLE AS
$notify$ SELECT id::{{post_id_type}} $notify$;
CREATE FUNCTION notify.to_comment_id(id text) RETURNS {{comment_id_type}} LANGUAGE sql IMMUTABLE AS
$notify$ SELECT id::{{comment_id_type}} $notify$;
CREATE FUNCTION notify.next_comment_id() RETURNS {{comment_id_type}} LANGUAGE sql VOLATILE AS
$notify$ SELECT ({{new_comment_id}})::{{comment_id_type}} $notify$;

-- Deletes one's own comment; false where there is none.
CREATE FUNCTION notify.remove_comment(of_id text, of_author text) RETURNS boolean LANGUAGE sql VOLATILE AS $notify$
    WITH gone AS ({{remove_comment}} RETURNING 1) SELECT EXISTS (SELECT FROM gone)
$notify$;

-- What the triggers do: each appends what happened, and the ids that it concerns, to the outbox.
SELECT
    notify.make_trigger_function_v2('on_people_delete', $notify$'person', ARRAY(SELECT r.{{person_id}}::text FROM old_rows r)$notify$),
    notify.make_trigger_function_v2('on_person_move',
        $notify$'person', CASE WHEN OLD.{{person_id}} = NEW.{{person_id}} THEN ARRAY[NEW.{{person_id}}::text]
                         ELSE ARRAY[OLD.{{person_id}}::text, NEW.{{person_id}}::text] END$notify$),
    notify.make_trigger_function_v2('on_posts_delete', $notify$'post', ARRAY(SELECT r.{{post_id}}::text FROM old_rows r)$notify$),
    notify.make_trigger_function_v2('on_post_move',
        $notify$'post', CASE WHEN OLD.{{post_id}} = NEW.{{post_id}} THEN ARRAY[NEW.{{post_id}}::text]
                       ELSE ARRAY[OLD.{{post_id}}::text, NEW.{{post_id}}::text] END$notify$),
    notify.make_trigger_function_v2('on_comments_insert', $notify$'comment', ARRAY(SELECT r.{{comment_id}}::text FROM new_rows r)$notify$),
    notify.make_trigger_function_v2('on_comments_delete', $notify$'comment', ARRAY(SELECT r.{{comment_id}}::text FROM old_rows r)$notify$),
    notify.make_trigger_function_v2('on_comment_move',
        $notify$'moved', CASE WHEN OLD.{{comment_id}} = NEW.{{comment_id}} THEN ARRAY[NEW.{{comment_id}}::text]
                        ELSE ARRAY[OLD.{{comment_id}}::text, NEW.{{comment_id}}::text] END$notify$),
    notify.make_trigger_function_v2('on_truncate', $notify$'truncate', ARRAY[TG_ARGV[0]]$notify$);

-- Tables that were connected before, and are no longer, lose theirs.
DO $notify$
DECLARE
    ours record;
BEGIN
    FOR ours IN SELECT t.tgname, t.tgrelid::regclass AS tab FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                WHERE p.pronamespace = 'notify'::regnamespace AND NOT t.tgisinternal
                  AND t.tgrelid NOT IN ({{people_name}}::regclass, {{posts_name}}::regclass, {{comments_name}}::regclass)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', ours.tgname, ours.tab);
    END LOOP;
END $notify$;

-- In the order in which apps lock their tables, parents first; how long each may be waited for is bounded.
CREATE OR REPLACE TRIGGER notify_delete AFTER DELETE ON {{people}} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_people_delete();
CREATE OR REPLACE TRIGGER notify_move AFTER UPDATE ON {{people}} FOR EACH ROW
    WHEN ((OLD.{{person_id}}, {{person_was_there}}) IS DISTINCT FROM (NEW.{{person_id}}, {{person_stays}}))
    EXECUTE FUNCTION notify.on_person_move();
CREATE OR REPLACE TRIGGER notify_truncate AFTER TRUNCATE ON {{people}}
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_truncate('people');

CREATE OR REPLACE TRIGGER notify_delete AFTER DELETE ON {{posts}} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_posts_delete();
CREATE OR REPLACE TRIGGER notify_move AFTER UPDATE ON {{posts}} FOR EACH ROW
    WHEN ((OLD.{{post_id}}, OLD.{{post_author}}, {{post_was_there}})
          IS DISTINCT FROM (NEW.{{post_id}}, NEW.{{post_author}}, {{post_stays}}))
    EXECUTE FUNCTION notify.on_post_move();
CREATE OR REPLACE TRIGGER notify_truncate AFTER TRUNCATE ON {{posts}}
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_truncate('posts');

CREATE OR REPLACE TRIGGER notify_insert AFTER INSERT ON {{comments}} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_comments_insert();
CREATE OR REPLACE TRIGGER notify_delete AFTER DELETE ON {{comments}} REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_comments_delete();
CREATE OR REPLACE TRIGGER notify_move AFTER UPDATE ON {{comments}} FOR EACH ROW
    WHEN ((OLD.{{comment_id}}, OLD.{{comment_post}}, OLD.{{comment_author}}, {{comment_was_there}})
          IS DISTINCT FROM (NEW.{{comment_id}}, NEW.{{comment_post}}, NEW.{{comment_author}}, {{comment_stays}}))
    EXECUTE FUNCTION notify.on_comment_move();
CREATE OR REPLACE TRIGGER notify_truncate AFTER TRUNCATE ON {{comments}}
    FOR EACH STATEMENT EXECUTE FUNCTION notify.on_truncate('comments');

-- A table in the place of one that was dropped: ids begin anew, so what was told of the old ones goes, as by TRUNCATE.
DO $notify$
DECLARE
    gone text;
BEGIN
    FOR gone IN SELECT w.name FROM notify.attachment a
                CROSS JOIN LATERAL (VALUES ('people', a.people), ('posts', a.posts), ('comments', a.comments)) w (name, tab)
                WHERE w.tab IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.tab)
    LOOP
        PERFORM notify.append_v1('truncate', ARRAY[gone]);
        IF gone = 'comments' THEN
            TRUNCATE notify.considered, notify.history;
            UPDATE notify.attachment SET baselined = false;
        END IF;
    END LOOP;
END $notify$;

-- What is connected, and how the drafts look that come with it.
WITH gone AS (DELETE FROM notify.attachment RETURNING baselined, at, backfilled)
INSERT INTO notify.attachment (spec, people, posts, comments, drafts, baselined, at, backfilled)
SELECT {{spec}}::jsonb, {{people_name}}::regclass, {{posts_name}}::regclass, {{comments_name}}::regclass,
       pg_get_viewdef('notify.drafts'::regclass), coalesce(g.baselined, false), coalesce(g.at, now()), g.backfilled
FROM (SELECT) one LEFT JOIN gone g ON true;
{{own_drafts}}{{own_answers}}
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
