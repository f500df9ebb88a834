-- As Sequelize's `sync` makes them: plural, PascalCase, createdAt and updatedAt from the client; paranoid comments.
CREATE TABLE IF NOT EXISTS "Users" (
    "id" SERIAL, "firstName" VARCHAR(255), "lastName" VARCHAR(255), "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    "updatedAt" TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY ("id")
);
CREATE TABLE IF NOT EXISTS "Posts" (
    "id" SERIAL, "title" VARCHAR(255) NOT NULL, "body" TEXT,
    "UserId" INTEGER REFERENCES "Users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL, "updatedAt" TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY ("id")
);
CREATE TABLE IF NOT EXISTS "Comments" (
    "id" SERIAL, "content" TEXT NOT NULL,
    "PostId" INTEGER REFERENCES "Posts" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "UserId" INTEGER REFERENCES "Users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "createdAt" TIMESTAMP WITH TIME ZONE NOT NULL, "updatedAt" TIMESTAMP WITH TIME ZONE NOT NULL,
    "deletedAt" TIMESTAMP WITH TIME ZONE, PRIMARY KEY ("id")
);
INSERT INTO "Users" ("firstName", "lastName", "createdAt", "updatedAt")
VALUES ('Ada', 'Lovelace', now(), now()), ('Grace', 'Hopper', now(), now());
INSERT INTO "Posts" ("title", "UserId", "createdAt", "updatedAt") VALUES ('One', 1, now(), now());
INSERT INTO "Comments" ("content", "PostId", "UserId", "createdAt", "updatedAt")
VALUES ('Before', 1, 2, now() - interval '1 day', now());
