-- As `prisma migrate` makes them: cuid ids and updatedAt come from the client, not from the database.
CREATE TABLE "User" (
    "id" TEXT NOT NULL, "email" TEXT NOT NULL, "name" TEXT, "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Post" (
    "id" TEXT NOT NULL, "title" TEXT NOT NULL, "content" TEXT, "published" BOOLEAN NOT NULL DEFAULT false,
    "authorId" TEXT NOT NULL, "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL, CONSTRAINT "Post_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Comment" (
    "id" TEXT NOT NULL, "body" TEXT NOT NULL, "postId" TEXT NOT NULL, "authorId" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Comment_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
ALTER TABLE "Post" ADD CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User"("id")
    ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Comment" ADD CONSTRAINT "Comment_postId_fkey" FOREIGN KEY ("postId") REFERENCES "Post"("id")
    ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Comment" ADD CONSTRAINT "Comment_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User"("id")
    ON DELETE RESTRICT ON UPDATE CASCADE;
INSERT INTO "User" ("id", "email", "name") VALUES
    ('clh3a1x2k0000qz8g5b6c7d8e', 'ada@example.com', 'Ada'), ('clh3a1x2k0001qz8g5b6c7d8e', 'grace@example.com', 'Grace');
INSERT INTO "Post" ("id", "title", "authorId", "updatedAt")
VALUES ('clh3a1x2k0002qz8g5b6c7d8e', 'One', 'clh3a1x2k0000qz8g5b6c7d8e', now());
INSERT INTO "Comment" ("id", "body", "postId", "authorId", "createdAt", "updatedAt")
VALUES ('clh3a1x2k0003qz8g5b6c7d8e', 'Before', 'clh3a1x2k0002qz8g5b6c7d8e', 'clh3a1x2k0001qz8g5b6c7d8e',
        now() - interval '1 day', now());
