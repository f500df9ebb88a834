"""What is in inboxes, as another program sees it."""

from __future__ import annotations

from typing import Any

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


def deliver(
    other: Sql, rows: int = 1, *, user: int = ADA, type: str = "note", topic: str | None = None  # noqa: A002
) -> None:  # fmt: skip
    """Notifications of an app's own, in one commit, without the outbox."""
    other.run(
        "SELECT notify.deliver_v2(ARRAY(SELECT (%s, %s, jsonb_build_object('n', n), %s, NULL, NULL, NULL)::notify.draft"
        " FROM generate_series(1, %s) n))",
        str(user), type, topic, rows,
    )  # fmt: skip


def seqs(other: Sql, condition: str = "true", user: int = ADA) -> list[int]:
    """Of the notifications for which the SQL condition holds."""
    found: list[int] = other.run(
        f"SELECT seq FROM notify.notification WHERE user_id = %s AND ({condition}) ORDER BY seq", str(user)
    )
    return found


def prune(other: Sql, days: int = 90) -> bool:
    """False where it did nothing, because a server that has just started is at it."""
    busy = other.value(
        "SELECT (notify.prune_v1(now() - make_interval(days => %s), NULL, 100, 100) ->> 'busy')::bool", days
    )
    return not busy


def everything(other: Sql, user: int) -> list[Any]:
    """All that is kept of a user, to be compared."""
    return [
        other.run(f"SELECT t::text FROM notify.{table} t WHERE t.user_id = %s ORDER BY 1", str(user))
        for table in ("inbox", "notification", "mute", "request_key")
    ]


def counts_agree(other: Sql) -> bool:
    """Also: what is read is seen, and so is everything up to `seen_upto`; nothing lies beyond the inbox's end."""
    return bool(
        other.value("""
        SELECT coalesce(bool_and(i.unread = n.unread AND i.unseen = n.unseen AND i.last_seq >= n.last_seq
                                 AND n.read_unseen = 0 AND n.missed = 0 AND i.altered <= i.version
                                 AND greatest(i.seen_upto, i.pruned_upto) <= i.last_seq), true)
        FROM notify.inbox i CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, count(*) FILTER (WHERE seen_at IS NULL) AS unseen,
                   count(*) FILTER (WHERE seen_at IS NULL AND read_at IS NOT NULL) AS read_unseen,
                   count(*) FILTER (WHERE seen_at IS NULL AND seq <= i.seen_upto) AS missed,
                   coalesce(max(seq), 0) AS last_seq
            FROM notify.notification n WHERE n.user_id = i.user_id) n""")
    )
