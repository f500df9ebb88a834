"""The inbox at size: what the same kind of user does, beside ten thousand notifications and ten million."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.load.poller import Poller
from benchmarks.load.sockets import Session, Sockets
from benchmarks.postgres import Postgres, Sql, sql
from benchmarks.processes import OURS, Server, running, token
from benchmarks.world import Measured, Measures, expect, quantile
from notify_server.recovery import Recovery

OWN = 100  # a user's, of which the newer half is unread
SIZES = {"small": 10_000, "large": 10_000_000}
LARGER = (1_000, 10_000, 100_000)  # three users of the large one have as many
OPERATIONS = 1_000
MISSED = 50

_FILL = """
INSERT INTO notify.inbox (user_id, last_seq, version, unread, unseen, seen_upto)
SELECT u, %(own)s, %(own)s, %(own)s / 2, %(own)s / 2, %(own)s / 2 FROM generate_series(%(first)s, %(last)s) u;
INSERT INTO notify.arrival (user_id, seq) SELECT u, %(own)s FROM generate_series(%(first)s, %(last)s) u;
INSERT INTO notify.notification (user_id, seq, type, payload, topic, actor_id, post_id, comment_id, created_at, seen_at, read_at)
SELECT u, n, 'comment',
       jsonb_build_object('postId', u, 'commentId', u * %(own)s + n, 'fromUser', 'User 7',
                          'message', 'User 7 commented on your post'),
       'post:' || u, '7', u, NULL, now() - make_interval(mins => %(own)s - n),
       CASE WHEN n <= %(own)s / 2 THEN now() END, CASE WHEN n <= %(own)s / 2 THEN now() END
FROM generate_series(%(first)s, %(last)s) u CROSS JOIN generate_series(1, %(own)s) n;
"""  # noqa: E501


@dataclass(frozen=True)
class Size:
    """One of the databases, with a server on it."""

    name: str
    users: int
    server: Server
    recovery: Recovery


@contextlib.contextmanager
def sizes(postgres: Postgres) -> Iterator[list[Size]]:
    with contextlib.ExitStack() as stack:
        made = []
        for name, total in SIZES.items():
            url = stack.enter_context(postgres.database(attached=True))
            admin = stack.enter_context(sql(url))
            _fill(admin, total // OWN, LARGER if name == "large" else ())
            recovery = Recovery(
                admin.value("SELECT secret FROM notify.recovery"), admin.value("SELECT notify.epoch_v1()")
            )
            made.append(Size(name, total // OWN, stack.enter_context(running(OURS, url)), recovery))
        yield made


def _fill(admin: Sql, users: int, larger: tuple[int, ...]) -> None:
    indexes = admin.run(
        "SELECT indexdef, indexname FROM pg_indexes WHERE schemaname = 'notify' AND tablename = 'notification'"
        " AND indexname NOT LIKE '%%_pkey'"
    )
    with admin.connection.cursor() as cursor:
        for _, name in indexes:
            cursor.execute(f"DROP INDEX notify.{name}")
        cursor.execute(_FILL, {"own": OWN, "first": 1, "last": users})
        for n, own in enumerate(larger):
            cursor.execute(_FILL, {"own": own, "first": users + 1 + n, "last": users + 1 + n})
        for definition, _ in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE notify.notification")
        cursor.execute("VACUUM ANALYZE notify.inbox")
        cursor.execute("CHECKPOINT")


class Requests:
    """One after the other over one connection. Raises Stuck where an answer is not 200."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = port

    def close(self) -> None:
        self._socket.close()

    def __call__(self, user: int, method: str, path: str, sent: dict[str, Any] | None = None) -> float:
        """Seconds."""
        body = b"" if sent is None else json.dumps(sent).encode()
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {token(user)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        begun = time.perf_counter()
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, rest = data.partition(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]) - len(rest)
        while left > 0:
            left -= len(self._socket.recv(65536))
        took_s = time.perf_counter() - begun
        expect(head[9:12] == b"200", f"200, not {data[:300]!r}")
        return took_s


Operation = Callable[[Requests, int, int], float]


def _mark(ask: Requests, user: int, own: int) -> float:
    """Unread and read again: both change the inbox, and leave it as it was."""
    seqs = {"seqs": [own // 2]}
    return ask(user, "POST", "/notifications/unread", seqs) + ask(user, "POST", "/notifications/read", seqs)


# by a user who has `own`
BY_NAME: dict[str, Operation] = {
    "list": lambda ask, user, _own: ask(user, "GET", "/notifications"),
    "list-unread": lambda ask, user, _own: ask(user, "GET", "/notifications?status=unread"),
    "list-old": lambda ask, user, own: ask(user, "GET", f"/notifications?before={own // 10 + 2}&limit=10"),
    "counts": lambda ask, user, _own: ask(user, "GET", "/notifications/counts"),
    "mark": _mark,
}


def operations(size: Size, seed: int) -> Measures:
    """The p99 of each, in ms."""
    random = Random(seed)
    ask = Requests(size.server.port)
    for name, operation in BY_NAME.items():
        users = [random.randrange(size.users) + 1 for _ in range(OPERATIONS)]
        for user in users[:50]:
            operation(ask, user, OWN)
        took_s = [operation(ask, user, OWN) for user in users]
        yield Measured(f"inbox-{name}", quantile(took_s, 0.99) * 1000)
    ask.close()
    took_s = [_replay(size, random.randrange(size.users) + 1, OWN) for _ in range(OPERATIONS // 5)]
    yield Measured("inbox-replay", quantile(took_s, 0.99) * 1000)


def by_own(size: Size) -> Iterator[tuple[str, int, float]]:
    """(operation, how many are the user's own, median ms), in the large one."""
    ask = Requests(size.server.port)
    for n, own in enumerate((OWN, *LARGER)):
        user = size.users + n  # the last of the usual ones, and those after it
        for name, operation in BY_NAME.items():
            yield name, own, quantile([operation(ask, user, own) for _ in range(20)], 0.5) * 1000
        yield "replay", own, quantile([_replay(size, user, own) for _ in range(5)], 0.5) * 1000
    ask.close()


def _replay(size: Size, user: int, own: int) -> float:
    """Seconds from the connect of a client that has missed the newest so many, until it has those."""
    pid = size.recovery.new_pid(str(user), own - MISSED)
    with Poller() as poller:
        sockets = Sockets(poller, size.server.port)
        begun = time.perf_counter()
        sockets.open([user], {user: Session(pid, None)})
        poller.until(lambda: sockets.arrived >= MISSED, 30, f"{MISSED} events")
        took_s = time.perf_counter() - begun
        sockets.close()
    return took_s
