"""What `check --server` finds in the source of an old server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from notify_server.old_server import read_old_server

PERN = Path(__file__).parent.parent / "examples" / "pern"


def found(folder: Path, text: str) -> list[str]:
    (folder / "index.js").write_text('import { Server } from "socket.io";\n' + text)
    return [f"{finding.subject} {finding.text}" for finding in read_old_server(folder)]


def test_the_example_s_own_events_are_found_where_they_are() -> None:
    told = [f"{finding.subject} {finding.text}" for finding in read_old_server(PERN / "server")]
    assert [line.split(" ", 1)[1] for line in told] == [
        "clients send the event typing",
        "the event typing is emitted",
        "the event notification is emitted here",
        "an event is emitted whose name is in a variable",
    ]
    assert all(line.startswith("src/sockets.js:") for line in told)
    assert all(finding.advice for finding in read_old_server(PERN / "server"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("socket.on('typing', f)", "clients send the event typing"),
        ('socket\n  .once("a")', None),
        ('client.on("join room", f)', "clients send the event join room"),
        ('socket.on("disconnect", f); io.on("connection", f)', None),
        ('io.emit("liked", x)', "the event liked is emitted"),
        ("io.to(room).emit(`liked`, x)", "the event liked is emitted"),
        ('io.to(`user:${id}`).except("a").emit("x")', "the event x is emitted"),
        ('io.sockets.emit("x")', "the event x is emitted"),
        ("io.emit(event, payload)", "an event is emitted whose name is in a variable"),
        ('getIo(); io().of("/admin")', "the namespace /admin"),
        ('io.of("/").on("connection", f)', None),
        ('socket.broadcast.to("r").emit("y")', "the event y is emitted"),
        ('io.to(id).emit("notification", p)', "the event notification is emitted here"),
        ("const id = socket.handshake.query.userId", "who somebody is comes from the handshake's query"),
        ("const { userId } = socket.handshake.auth", None),
        ('new Server(http, { cors: {},\n  path: "/ws" })', "Socket.IO at the path /ws"),
        ('new Server<ToServer, ToClient>(http, { path: "/ws" })', "Socket.IO at the path /ws"),
        ('new Server(http, { path: "/socket.io/" })', None),
        ("socket.join(`user:${id}`)", "sockets join rooms"),
        ("io.adapter(createAdapter(a, b))", "an adapter joins several servers"),
        ("io.use((socket, next) => next())", "a middleware looks at handshakes"),
        ("new Server(http, { allowEIO3: true })", "clients of Socket.IO 2 are let in"),
        ('// socket.on("old", f)', None),
        ('/* io.emit("old")\n io.emit("older") */', None),
        ('const url = "http://x"; io.emit("after")', "the event after is emitted"),
        ("const text = \"// io.emit('no')\"", "the event no is emitted"),  # text that looks like it: worth a look
    ],
)
def test_what_is_worth_a_look(tmp_path: Path, text: str, told: str | None) -> None:
    assert found(tmp_path, text) == ([f"index.js:2 {told}"] if told else [])


def test_lines_are_right_behind_comments(tmp_path: Path) -> None:
    assert found(tmp_path, '/* a\n b\n c */\n\nio.emit("x")') == ["index.js:6 the event x is emitted"]


def test_what_is_not_the_server_s_own_source_is_passed_over(tmp_path: Path) -> None:
    for name in ("node_modules/socket.io/index.js", "dist/a.js", ".cache/b.js", "notes.md", "c.min.css"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('io.emit("x") // socket.io')
    (tmp_path / "huge.js").write_text('io.emit("x")' + " " * 1_000_001)
    (tmp_path / "link.js").symlink_to(tmp_path / "huge.js")
    (tmp_path / "binary.js").write_bytes(b"\xff\xfe\x00io")
    os.mkfifo(tmp_path / "pipe.js")  # to read it would be to wait for ever
    assert read_old_server(tmp_path) == []
