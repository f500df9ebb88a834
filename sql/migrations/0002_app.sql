-- The app's tables: made where they do not exist, and connected at one place. notify.people, notify.posts,
-- notify.comments and notify.drafts are all that anything else knows of them.

CREATE TABLE notify.attachment (
    spec jsonb NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);

-- The type of a column as SQL writes it, or an error that names the table and the column.
CREATE FUNCTION notify.column_type_v1(tab regclass, col text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_type text := (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
                        WHERE a.attrelid = tab AND a.attname = col AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    IF found_type IS NULL THEN
        RAISE EXCEPTION 'table % has no column "%"', tab, col USING ERRCODE = 'undefined_column';
    END IF;
    RETURN found_type;
END $$;

-- The expression that gives a new row its id, or an error where the table has none.
CREATE FUNCTION notify.id_default_v1(tab regclass, col text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    expression text := (
        SELECT CASE WHEN a.attidentity <> ''
                    THEN format('nextval(%L::regclass)', pg_get_serial_sequence(tab::text, col))
                    ELSE pg_get_expr(d.adbin, d.adrelid) END
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = tab AND a.attname = col);
BEGIN
    IF expression IS NULL THEN
        RAISE EXCEPTION 'column "%" of table % has no default: the database cannot give a new row its id', col, tab
            USING ERRCODE = 'invalid_column_definition';
    END IF;
    RETURN expression;
END $$;

-- A trigger function that appends to the outbox and lets no error of ours reach the app's statement.
CREATE FUNCTION notify.make_trigger_function_v1(name text, append text) RETURNS void LANGUAGE plpgsql AS $outer$
BEGIN
    EXECUTE format($f$
        CREATE FUNCTION notify.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET lock_timeout = '1ms' AS $body$
        BEGIN
            -- our own batch delivers what it inserts; what the app's triggers insert meanwhile is deeper
            IF pg_trigger_depth() = 1 AND current_setting('notify.aside', true) = 'on' THEN
                RETURN NULL;
            END IF;
            %s
            RETURN NULL;
        EXCEPTION WHEN OTHERS THEN
            BEGIN
                PERFORM nextval('notify.missed');
            EXCEPTION WHEN OTHERS THEN
                NULL; -- the newest comments are scanned all the same
            END;
            RETURN NULL;
        END $body$ $f$, name, append);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION notify.%I() FROM PUBLIC', name);
END $outer$;

-- Connects the app's tables: {"people": {"table", "id", "name"}, "posts": {"table", "id", "author_id", "title",
-- "body"}, "comments": {"table", "id", "post_id", "author_id", "body", "created_at"}}. All or nothing.
CREATE FUNCTION notify.attach_v1(spec jsonb) RETURNS void LANGUAGE plpgsql AS $outer$
DECLARE
    people   jsonb := spec -> 'people';
    posts    jsonb := spec -> 'posts';
    comments jsonb := spec -> 'comments';
    people_table   regclass := (people ->> 'table')::regclass;
    posts_table    regclass := (posts ->> 'table')::regclass;
    comments_table regclass := (comments ->> 'table')::regclass;
    part           record;
BEGIN
    -- In the order in which apps lock them, parents first; waiting is bounded by the caller's lock_timeout.
    EXECUTE format('LOCK TABLE %s, %s, %s IN SHARE ROW EXCLUSIVE MODE', people_table, posts_table, comments_table);

    FOR part IN SELECT s.value ->> 'table' AS tab, c.value AS col
                FROM jsonb_each(spec) s, jsonb_each_text(s.value - 'table') c LOOP
        PERFORM notify.column_type_v1(part.tab::regclass, part.col);
    END LOOP;

    EXECUTE format('CREATE VIEW notify.people AS SELECT t.%I AS id, t.%I::text AS name FROM %s t',
        people ->> 'id', people ->> 'name', people_table);
    EXECUTE format('CREATE VIEW notify.posts AS SELECT t.%I AS id, t.%I AS author_id, t.%I AS title, t.%I AS body FROM %s t',
        posts ->> 'id', posts ->> 'author_id', posts ->> 'title', posts ->> 'body', posts_table);
    EXECUTE format('CREATE VIEW notify.comments AS SELECT t.%I AS id, t.%I AS post_id, t.%I AS author_id, t.%I AS body,'
                   ' t.%I AS created_at FROM %s t',
        comments ->> 'id', comments ->> 'post_id', comments ->> 'author_id', comments ->> 'body',
        comments ->> 'created_at', comments_table);

    -- Who hears of a comment, and in which words. Yours to replace; the columns stay.
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

    EXECUTE format('CREATE FUNCTION notify.to_person_id(id text) RETURNS %s LANGUAGE sql IMMUTABLE AS $f$ SELECT $1::%1$s $f$',
        notify.column_type_v1(people_table, people ->> 'id'));
    EXECUTE format('CREATE FUNCTION notify.to_post_id(id text) RETURNS %s LANGUAGE sql IMMUTABLE AS $f$ SELECT $1::%1$s $f$',
        notify.column_type_v1(posts_table, posts ->> 'id'));
    EXECUTE format('CREATE FUNCTION notify.to_comment_id(id text) RETURNS %s LANGUAGE sql IMMUTABLE AS $f$ SELECT $1::%1$s $f$',
        notify.column_type_v1(comments_table, comments ->> 'id'));
    EXECUTE format('CREATE FUNCTION notify.next_comment_id() RETURNS %s LANGUAGE sql VOLATILE AS $f$ SELECT %s $f$',
        notify.column_type_v1(comments_table, comments ->> 'id'),
        notify.id_default_v1(comments_table, comments ->> 'id'));

    PERFORM notify.make_trigger_function_v1('on_comments_insert', format(
        $$PERFORM notify.append_v1('comment', ARRAY(SELECT r.%I::text FROM new_rows r));$$, comments ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_comments_delete', format(
        $$PERFORM notify.append_v1('comment', ARRAY(SELECT r.%I::text FROM old_rows r));$$, comments ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_comment_move', format(
        $$PERFORM notify.append_v1('moved', CASE WHEN OLD.%1$I = NEW.%1$I THEN ARRAY[NEW.%1$I::text]
                                                 ELSE ARRAY[OLD.%1$I::text, NEW.%1$I::text] END);$$, comments ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_posts_delete', format(
        $$PERFORM notify.append_v1('post', ARRAY(SELECT r.%I::text FROM old_rows r));$$, posts ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_post_move', format(
        $$PERFORM notify.append_v1('post', CASE WHEN OLD.%1$I = NEW.%1$I THEN ARRAY[NEW.%1$I::text]
                                                ELSE ARRAY[OLD.%1$I::text, NEW.%1$I::text] END);$$, posts ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_people_delete', format(
        $$PERFORM notify.append_v1('person', ARRAY(SELECT r.%I::text FROM old_rows r));$$, people ->> 'id'));
    PERFORM notify.make_trigger_function_v1('on_truncate',
        $$PERFORM notify.append_v1('truncate', ARRAY[TG_ARGV[0]]);$$);

    EXECUTE format('CREATE TRIGGER notify_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION notify.on_comments_insert()', comments_table);
    EXECUTE format('CREATE TRIGGER notify_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION notify.on_comments_delete()', comments_table);
    EXECUTE format('CREATE TRIGGER notify_move AFTER UPDATE ON %s FOR EACH ROW WHEN (OLD.%2$I IS DISTINCT FROM NEW.%2$I'
                   ' OR OLD.%3$I IS DISTINCT FROM NEW.%3$I OR OLD.%4$I IS DISTINCT FROM NEW.%4$I)'
                   ' EXECUTE FUNCTION notify.on_comment_move()',
        comments_table, comments ->> 'id', comments ->> 'post_id', comments ->> 'author_id');
    EXECUTE format('CREATE TRIGGER notify_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION notify.on_truncate(''comments'')', comments_table);
    EXECUTE format('CREATE TRIGGER notify_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION notify.on_posts_delete()', posts_table);
    EXECUTE format('CREATE TRIGGER notify_move AFTER UPDATE ON %s FOR EACH ROW WHEN (OLD.%2$I IS DISTINCT FROM NEW.%2$I'
                   ' OR OLD.%3$I IS DISTINCT FROM NEW.%3$I) EXECUTE FUNCTION notify.on_post_move()',
        posts_table, posts ->> 'id', posts ->> 'author_id');
    EXECUTE format('CREATE TRIGGER notify_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION notify.on_truncate(''posts'')', posts_table);
    EXECUTE format('CREATE TRIGGER notify_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION notify.on_people_delete()', people_table);
    EXECUTE format('CREATE TRIGGER notify_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION notify.on_truncate(''people'')', people_table);

    INSERT INTO notify.attachment (spec) VALUES (attach_v1.spec);
END $outer$;

DO $$
BEGIN
    IF to_regclass('users') IS NULL THEN
        CREATE TABLE users (
            id   integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
            name text NOT NULL
        );
    END IF;
    IF to_regclass('posts') IS NULL THEN
        EXECUTE format('CREATE TABLE posts (
            id        integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
            author_id %s NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            title     text NOT NULL,
            body      text NOT NULL
        )', notify.column_type_v1('users', 'id'));
        CREATE INDEX ON posts (author_id);
    END IF;
    IF to_regclass('comments') IS NULL THEN
        EXECUTE format('CREATE TABLE comments (
            id         integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
            post_id    %s NOT NULL REFERENCES posts (id) ON DELETE CASCADE,
            author_id  %s NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            body       text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )', notify.column_type_v1('posts', 'id'), notify.column_type_v1('users', 'id'));
        CREATE INDEX ON comments (post_id, created_at, id);
        CREATE INDEX ON comments (author_id);
    END IF;
    PERFORM notify.attach_v1(jsonb_build_object(
        'people', jsonb_build_object('table', to_regclass('users')::text, 'id', 'id', 'name', 'name'),
        'posts', jsonb_build_object('table', to_regclass('posts')::text, 'id', 'id', 'author_id', 'author_id',
                                    'title', 'title', 'body', 'body'),
        'comments', jsonb_build_object('table', to_regclass('comments')::text, 'id', 'id', 'post_id', 'post_id',
                                       'author_id', 'author_id', 'body', 'body', 'created_at', 'created_at')));
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
