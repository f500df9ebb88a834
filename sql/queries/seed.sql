-- name: seed
-- Fills an empty database with people, posts and comments; does nothing where there are people.
WITH people AS (
    INSERT INTO users (name)
    SELECT name FROM (VALUES ('Ada Lovelace'), ('Grace Hopper'), ('Linus Torvalds'), ('Margaret Hamilton'),
                             ('Dennis Ritchie')) AS v (name)
    WHERE NOT EXISTS (SELECT FROM users)
    RETURNING id, name
), written AS (
    INSERT INTO posts (author_id, title, body)
    SELECT p.id, v.title, v.body
    FROM (VALUES
        ('Ada Lovelace', 'Notes on the Analytical Engine',
         'It weaves algebraic patterns just as the loom weaves flowers and leaves. What would you have it weave?'),
        ('Grace Hopper', 'A moth in relay 70',
         'Found it this afternoon, taped it into the log book. Has anybody else had an actual bug?'),
        ('Margaret Hamilton', 'Priority displays saved the landing',
         'Alarm 1202, and the computer dropped what could wait. Plan for the overload you are sure will never come.'),
        ('Linus Torvalds', 'Just a hobby',
         'Won''t be big and professional. Which features would most people want?')) AS v (author, title, body)
    JOIN people p ON p.name = v.author
    RETURNING id, title
)
INSERT INTO comments (post_id, author_id, body)
SELECT w.id, p.id, v.body
FROM (VALUES
    (1, 'Notes on the Analytical Engine', 'Grace Hopper', 'Subroutines, please. I am tired of copying them by hand.'),
    (2, 'A moth in relay 70', 'Ada Lovelace', 'Only a butterfly, and it was in the garden.'),
    (3, 'A moth in relay 70', 'Dennis Ritchie', 'Ours are all pointers.'),
    (4, 'Just a hobby', 'Dennis Ritchie', 'A shell, a compiler and a good editor. The rest will follow.')
) AS v (n, title, author, body)
JOIN written w ON w.title = v.title JOIN people p ON p.name = v.author
ORDER BY v.n
RETURNING id
