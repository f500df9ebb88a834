-- Another schema, bigint identities, a name in two columns, no foreign key from comments to their author.
CREATE SCHEMA app;
CREATE TABLE app.members (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, first_name text NOT NULL, last_name text,
    email text NOT NULL DEFAULT ''
);
CREATE TABLE app.articles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner_id bigint NOT NULL REFERENCES app.members, headline text
);
CREATE TABLE app.replies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, article_id bigint NOT NULL REFERENCES app.articles,
    member_id bigint NOT NULL, message text NOT NULL, is_deleted boolean NOT NULL DEFAULT false,
    posted_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO app.members (first_name, last_name) VALUES ('Ada', 'Lovelace'), ('Grace', 'Hopper');
INSERT INTO app.articles (owner_id, headline) VALUES (1, 'One');
INSERT INTO app.replies (article_id, member_id, message, posted_at) VALUES (1, 2, 'Before', now() - interval '1 day');
