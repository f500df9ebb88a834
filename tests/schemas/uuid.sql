-- As TypeORM makes them: quoted camelCase, uuid, soft deletion by @DeleteDateColumn.
CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS $$ SELECT gen_random_uuid() $$; -- uuid-ossp's
CREATE TABLE "user" (
    "id" uuid NOT NULL DEFAULT uuid_generate_v4(), "displayName" character varying NOT NULL,
    CONSTRAINT "PK_cace4a159ff9f2512dd42373760" PRIMARY KEY ("id")
);
CREATE TABLE "post" (
    "id" uuid NOT NULL DEFAULT uuid_generate_v4(), "title" character varying NOT NULL, "authorId" uuid NOT NULL,
    "deletedAt" TIMESTAMP, CONSTRAINT "PK_be5fda3aac270b134ff9c21cdee" PRIMARY KEY ("id"),
    CONSTRAINT "FK_c6fb082a3114f35d0cc27c518e0" FOREIGN KEY ("authorId") REFERENCES "user"("id")
);
CREATE TABLE "comment" (
    "id" uuid NOT NULL DEFAULT uuid_generate_v4(), "text" character varying NOT NULL, "postId" uuid NOT NULL,
    "userId" uuid NOT NULL, "createdAt" TIMESTAMP NOT NULL DEFAULT now(), "deletedAt" TIMESTAMP,
    CONSTRAINT "PK_0b0e4bbc8415ec426f87f3a88e2" PRIMARY KEY ("id"),
    CONSTRAINT "FK_94a85bb16d24033a2afdd5df060" FOREIGN KEY ("postId") REFERENCES "post"("id"),
    CONSTRAINT "FK_c0354a9a009d3bb45a08655ce3b" FOREIGN KEY ("userId") REFERENCES "user"("id")
);
INSERT INTO "user" ("displayName") VALUES ('Ada'), ('Grace');
INSERT INTO "post" ("title", "authorId") SELECT 'One', "id" FROM "user" WHERE "displayName" = 'Ada';
INSERT INTO "comment" ("text", "postId", "userId", "createdAt")
SELECT 'Before', p."id", u."id", now() - interval '1 day' FROM "post" p, "user" u WHERE u."displayName" = 'Grace';
