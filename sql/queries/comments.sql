-- name: post_comments
-- Writes a batch of comments with their notifications, in one round trip and one commit.
SELECT notify.post_comments_v3(%(batch)s::jsonb, %(batch_id)s::uuid, %(patient)s::boolean)::text

-- name: learn_batch
-- What became of a batch whose answer was lost; one that has not committed by now never will.
SELECT notify.learn_batch_v2(%(batch_id)s::uuid)::text

-- name: forget_batches
-- Forgets batches whose callers have long been answered.
DELETE FROM notify.batch WHERE id IN (
    SELECT b.id FROM notify.batch b WHERE b.at < now() - interval '1 hour' LIMIT 10000)

-- name: delete_comment
-- Deletes one's own comment; the trigger sees to its notification.
SELECT notify.remove_comment(%(id)s::text, %(author_id)s::text)

-- name: forget_request_keys
-- Forgets the keys of requests that nobody sends again; how many, 10,000 at most.
WITH gone AS (
    DELETE FROM notify.request_key WHERE (user_id, key) IN (
        SELECT k.user_id, k.key FROM notify.request_key k WHERE k.at < now() - interval '1 day' LIMIT 10000)
    RETURNING 1
) SELECT count(*) FROM gone
