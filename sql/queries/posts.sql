-- name: column_types
-- The types of the app's ids, as SQL writes them.
SELECT c.relname, format_type(a.atttypid, NULL)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'notify'::regnamespace AND c.relname IN ('people', 'posts', 'comments') AND a.attname = 'id'

-- name: person
-- One person's name and id.
SELECT jsonb_build_object('id', notify.json_id_v1(u.id), 'name', u.name)::text
FROM notify.people u WHERE u.id = notify.to_person_id(%(id)s)

-- name: list_people
-- The people whom the demo offers to be.
SELECT jsonb_build_object('id', notify.json_id_v1(u.id), 'name', u.name)::text
FROM notify.people u ORDER BY u.id LIMIT 50

-- name: list_posts
-- Posts, newest first, below an id.
SELECT p.id::text, jsonb_build_object('id', notify.json_id_v1(p.id), 'authorId', notify.json_id_v1(p.author_id),
                                      'title', p.title, 'body', p.body)::text
FROM notify.posts p
WHERE %(before)s::text IS NULL OR p.id < notify.to_post_id(%(before)s)
ORDER BY p.id DESC LIMIT %(max_rows)s

-- name: get_post
-- One post.
SELECT jsonb_build_object('id', notify.json_id_v1(p.id), 'authorId', notify.json_id_v1(p.author_id),
                          'title', p.title, 'body', p.body)::text
FROM notify.posts p WHERE p.id = notify.to_post_id(%(id)s)

-- name: hidden_tables
-- Tables of the app whose rows a policy would hide from us: what we do not see would pass for deleted.
SELECT c.relname::text FROM notify.attachment a
JOIN pg_class c ON c.oid IN (a.people, a.posts, a.comments)
WHERE row_security_active(c.oid)

-- name: create_post
-- Writes a post, once for a key.
SELECT notify.create_post_v1(%(author_id)s::text, %(title)s::text, %(body)s::text, %(key)s::text, %(fingerprint)s::text)::text

-- name: list_comments
-- A post's comments, oldest first, behind a moment and an id; one row of NULLs where the post has none left, none at
-- all where there is no such post.
SELECT c.created_at || '~' || c.id, c.json::text
FROM notify.posts p LEFT JOIN LATERAL (
    SELECT c.id, c.created_at, notify.comment_json_v1(notify.json_id_v1(c.id), notify.json_id_v1(c.post_id),
                                                      notify.json_id_v1(c.author_id), c.body, c.created_at) AS json
    FROM notify.comments c
    WHERE c.post_id = p.id AND (%(after_id)s::text IS NULL
          OR (c.created_at, c.id) > (%(after_time)s::timestamptz, notify.to_comment_id(%(after_id)s)))
    ORDER BY c.created_at, c.id LIMIT %(max_rows)s
) c ON true
WHERE p.id = notify.to_post_id(%(post_id)s)
ORDER BY c.created_at, c.id
