-- name: is_installed
-- Whether this database has our schema.
SELECT to_regclass('notify.migration') IS NOT NULL

-- name: versions
-- The migrations that this database has.
SELECT version FROM notify.migration ORDER BY version
