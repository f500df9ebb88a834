-- name: clock
-- The database's clock, as Unix time.
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: drafts
-- A few drafts, cast as the drain casts them: [user_id, type, payload, topic, actor_id, post_id, comment_id]
SELECT d.user_id::text, d.type::text, d.payload::jsonb::text, d.topic::text, d.actor_id::text, d.post_id::text,
       d.comment_id::text
FROM notify.drafts d
WHERE d.comment_id IN (SELECT c.id FROM notify.comments c ORDER BY c.id DESC LIMIT 20)

-- name: answers
-- A few of the app's own answers.
SELECT notify.with_answers_v1((
    SELECT coalesce(jsonb_agg(jsonb_build_object('status', 'created', 'comment', jsonb_build_object('id', c.id::text))), '[]')
    FROM (SELECT c.id FROM notify.comments c ORDER BY c.id DESC LIMIT 20) c))::text

-- name: has_answers
-- Whether the app has answers of its own.
SELECT to_regproc('notify.comment_answers') IS NOT NULL
