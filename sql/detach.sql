-- Takes back what sql/attach.sql did. Inboxes stay as they are.
SET LOCAL search_path = '';
DO $$
DECLARE
    ours record;
BEGIN
    FOR ours IN SELECT t.tgname, t.tgrelid::regclass AS tab FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                WHERE p.pronamespace = 'notify'::regnamespace AND NOT t.tgisinternal ORDER BY t.tgrelid, t.tgname
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', ours.tgname, ours.tab);
    END LOOP;
END $$;
DROP VIEW IF EXISTS notify.answers, notify.drafts, notify.comments, notify.posts, notify.people;
DROP FUNCTION IF EXISTS notify.to_person_id, notify.to_post_id, notify.to_comment_id, notify.next_comment_id,
    notify.remove_comment, notify.comment_answers, notify.on_people_delete, notify.on_person_move, notify.on_posts_delete, notify.on_post_move,
    notify.on_comments_insert, notify.on_comments_delete, notify.on_comment_move, notify.on_truncate;
TRUNCATE notify.considered, notify.history;
UPDATE notify.attachment SET former = spec -> 'options', spec = NULL, baselined = false, drafts = NULL;
