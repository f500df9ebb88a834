-- And all that was ever delivered.
DROP SCHEMA IF EXISTS notify CASCADE;
