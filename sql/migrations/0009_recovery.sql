-- What signs a client's session, where RECOVERY_SECRET does not, and the epoch by which an inbox that went back in time
-- is told from the one that clients remember.
CREATE TABLE notify.recovery (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret text NOT NULL,
    epoch  bigint NOT NULL DEFAULT 0
);
INSERT INTO notify.recovery (secret) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

-- Another after every restore: which cluster, which timeline, which database in it; and, because a copy of a disk has
-- the same three, a number that `notify-server new-epoch` raises. What the role may not ask, or a hosted PostgreSQL
-- does not know, is left out.
CREATE FUNCTION notify.epoch_v1() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    cluster  text := '';
    timeline text := '';
BEGIN
    BEGIN
        cluster := (SELECT c.system_identifier::text FROM pg_control_system() c);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    BEGIN
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN concat_ws('.', cluster, timeline, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
                     (SELECT r.epoch FROM notify.recovery r));
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA notify FROM PUBLIC;
