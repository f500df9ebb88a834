-- name: spec
-- What is connected, as JSON; NULL where it was taken back, no row where nothing ever was.
SELECT a.spec::text FROM notify.attachment a

-- name: options
-- What is connected, or was before it was taken back, as JSON.
SELECT coalesce(a.spec -> 'options', to_jsonb(a) -> 'former')::text -- an older schema has no such column
FROM notify.attachment a

-- name: has_views
-- Whether our views are there: an app that drops its tables with CASCADE drops them as well.
SELECT count(to_regclass('notify.' || v.name)) = 4 FROM (VALUES ('people'), ('posts'), ('comments'), ('drafts')) v (name)

-- name: own_drafts
-- The drafts' definition where it is no longer the one that came with the attaching.
SELECT pg_get_viewdef(to_regclass('notify.drafts'))
FROM (SELECT set_config('search_path', '', true) AS path) fixed
JOIN notify.attachment a ON fixed.path = ''
WHERE a.drafts IS DISTINCT FROM pg_get_viewdef(to_regclass('notify.drafts'))

-- name: own_answers
-- The query for answers that the app has put there, NULL where it has none.
SELECT pg_get_viewdef(to_regclass('notify.answers'))
FROM (SELECT set_config('search_path', '', true) AS path) fixed WHERE fixed.path = ''

-- name: comments
-- The table whose ids the inboxes hold: [oid, name]; no row where they hold none, or it was dropped.
SELECT c.oid::bigint, a.comments::text FROM notify.attachment a JOIN pg_class c ON c.oid = a.comments
WHERE EXISTS (SELECT FROM notify.notification n WHERE n.comment_id IS NOT NULL)

-- name: baseline
-- What was there before the attaching is nobody's news.
SELECT notify.baseline_v1()

-- name: missing_triggers
-- Which triggers should be there and are not.
SELECT notify.missing_triggers_v1()::text

-- name: begin_history
-- How many comments are ahead.
SELECT notify.begin_history_v1(now() - make_interval(days => %(days)s))

-- name: write_history
-- One step of a history.
SELECT notify.write_history_v1(%(max_rows)s)::text

-- name: backfilled
-- When a history was written.
SELECT a.backfilled::text FROM notify.attachment a WHERE a.backfilled IS NOT NULL
