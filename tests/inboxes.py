"""What is in inboxes, as another program sees it."""

from __future__ import annotations

from tests.postgres import Sql

ADA, GRACE, LINUS = 1, 2, 3
INSERT = "INSERT INTO comments (post_id, author_id, body) VALUES (1, 2, 'from elsewhere')"


def inbox(other: Sql, user: int = ADA) -> list[int]:
    found: list[int] = other.run(
        "SELECT (payload ->> 'commentId')::int FROM notify.notification WHERE user_id = %s ORDER BY seq", str(user)
    )
    return found


def settled(other: Sql) -> bool:
    return bool(other.value("SELECT count(*) = 0 FROM notify.outbox"))


def counts_agree(other: Sql) -> bool:
    return bool(
        other.value("""
        SELECT bool_and(i.unread = n.unread AND i.unseen = n.unseen AND i.last_seq >= n.last_seq)
        FROM notify.inbox i CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, count(*) FILTER (WHERE seen_at IS NULL) AS unseen,
                   coalesce(max(seq), 0) AS last_seq
            FROM notify.notification n WHERE n.user_id = i.user_id) n""")
    )
