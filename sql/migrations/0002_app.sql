-- The app's tables are connected by a script, not by a migration (sql/attach.sql), because they differ from app to app.
-- Its views notify.people, notify.posts, notify.comments and notify.drafts are all that anything else knows of them.

CREATE TABLE notify.attachment (
    spec jsonb NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
