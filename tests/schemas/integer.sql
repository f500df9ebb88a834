-- By hand, as a tutorial has it: snake_case, serial ids, another table that refers to posts and people as well.
CREATE TABLE users (
    id serial PRIMARY KEY, username varchar(50) NOT NULL UNIQUE, password_hash text NOT NULL, created_at timestamptz DEFAULT now()
);
CREATE TABLE posts (
    id serial PRIMARY KEY, user_id integer NOT NULL REFERENCES users ON DELETE CASCADE, title varchar(200) NOT NULL,
    content text NOT NULL, comment_count integer NOT NULL DEFAULT 0, created_at timestamptz DEFAULT now()
);
CREATE TABLE comments (
    id serial PRIMARY KEY, post_id integer NOT NULL REFERENCES posts ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE, content text NOT NULL CHECK (content <> 'spam'),
    created_at timestamptz DEFAULT now()
);
CREATE TABLE likes (
    id serial PRIMARY KEY, post_id integer NOT NULL REFERENCES posts, user_id integer NOT NULL REFERENCES users
);
CREATE FUNCTION count_comments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE posts SET comment_count = comment_count + 1 WHERE id = NEW.post_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_comments AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION count_comments();
INSERT INTO users (username, password_hash) VALUES ('Ada', 'x'), ('Grace', 'x');
INSERT INTO posts (user_id, title, content) VALUES (1, 'One', '…');
INSERT INTO comments (post_id, user_id, content, created_at) VALUES (1, 2, 'Before', now() - interval '1 day');
