-- What was there before the triggers is nobody's news. In a transaction of its own, behind theirs, so that copying many
-- ids holds no lock that the app waits for; what came since is in the outbox, and stays news.
INSERT INTO notify.considered (comment_id)
SELECT c.id::text FROM notify.comments c
WHERE c.id::text NOT IN (SELECT o.key FROM notify.outbox o WHERE o.kind IN ('comment', 'moved'))
ON CONFLICT DO NOTHING;
