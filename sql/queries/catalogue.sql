-- name: relations
-- The app's tables and views: [oid, schema, name, kind, may_read, may_trigger, may_insert, may_lock_rows, is_owned,
-- hides_rows, has_children]. Names are told as the catalogue has them. An extension's are left out.
SELECT c.oid::bigint, s.nspname::text, c.relname::text, c.relkind::text,
       has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'TRIGGER'),
       has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'),
       pg_has_role(c.relowner, 'USAGE'), row_security_active(c.oid),
       EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND s.nspname NOT IN ('notify', 'information_schema')
  AND s.nspname NOT LIKE 'pg\_%%' AND has_schema_privilege(s.oid, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY s.nspname, c.relname

-- name: columns
-- Their columns, types and defaults written so that they mean the same under any search_path:
-- [oid, name, type, is_required, default or NULL, is_generated]
SELECT c.oid::bigint, a.attname::text,
       CASE WHEN base.oid = 'bpchar'::regtype THEN 'bpchar' ELSE format_type(base.oid, NULL) END, a.attnotnull,
       CASE WHEN a.attidentity <> ''
            THEN format('nextval(%%L::regclass)', pg_get_serial_sequence(c.oid::regclass::text, a.attname))
            WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       a.attgenerated <> ''
FROM (SELECT set_config('search_path', '', true) AS path) fixed
JOIN pg_class c ON fixed.path = ''
JOIN pg_namespace s ON s.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.typbasetype
    ) SELECT b.oid FROM below b WHERE b.typtype <> 'd'
) base
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND s.nspname NOT IN ('notify', 'information_schema') AND s.nspname NOT LIKE 'pg\_%%'
ORDER BY c.oid, a.attnum

-- name: keys
-- Their primary keys, and their foreign keys of one column: [oid, kind, columns, referenced oid, referenced column]
SELECT k.conrelid::bigint, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (num, n)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.n),
       k.confrelid::bigint,
       (SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = k.confkey[1])
FROM pg_constraint k
WHERE k.contype = 'p' OR (k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.conparentid = 0)
ORDER BY k.conrelid, k.conname

-- name: triggers
-- Triggers that tables have: [oid, name, is_ours, is_enabled]
SELECT t.tgrelid::bigint, t.tgname::text, s.nspname = 'notify', t.tgenabled IN ('O', 'A')
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace
WHERE NOT t.tgisinternal
ORDER BY t.tgrelid, t.tgname

-- name: may_create
-- [whether a schema may be made in this database, the names of the current role, of the database, of the first schema
-- where tables are looked for]
SELECT has_database_privilege(current_database(), 'CREATE') OR to_regnamespace('notify') IS NOT NULL,
       current_user::text, current_database()::text, coalesce(current_schema(), 'public')::text

-- name: server_version
-- [number, as people write it]
SELECT current_setting('server_version_num')::int, current_setting('server_version')
