"""What an old server does on its sockets that will not carry over by itself: read from its source, by its calls.

It is a reader of lines, no parser of JavaScript: what it finds is worth a look, and what it does not find may exist.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from notify_server.findings import Finding, note

_SUFFIXES = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
_SKIPPED = {"node_modules", "dist", "build", "coverage", "public", "vendor"}
_MAX_FILE_BYTES = 1_000_000
_MAX_FILES = 5000
_SERVER = re.compile(r"""['"]socket\.io['"]|\bsocket\b|\bio\b""")
_CARRIED = {"connection", "connect", "disconnect", "disconnecting", "error", "connect_error"}

_NAME = r"""\(\s*(['"`])(?P<name>[^'"`\n]{1,100})\1"""
_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[str, str] | None]]


def _event(match: re.Match[str]) -> tuple[str, str] | None:
    if match["name"] in _CARRIED:
        return None
    return (
        f"clients send the event {match['name']}",
        'ignored, and logged once; a handler in Python takes it ("Your own Socket.IO events" in the README)',
    )


def _emit(match: re.Match[str]) -> tuple[str, str] | None:
    if match["name"] == "notification":
        return "the event notification is emitted here", "notify-server does that from now on: it may stay, to nobody"
    return (
        f"the event {match['name']} is emitted",
        "to whom? notify.send puts it into an inbox; for all who are connected, a handler in Python",
    )


def _namespace(match: re.Match[str]) -> tuple[str, str] | None:
    if match["name"] == "/":
        return None
    return f"the namespace {match['name']}", "sio.on(…, namespace=…) in Python; notifications are in / alone"


def _always(text: str, advice: str) -> Callable[[re.Match[str]], tuple[str, str] | None]:
    return lambda _match: (text, advice)


def _path(match: re.Match[str]) -> tuple[str, str] | None:
    path = match["name"]
    return None if path.strip("/") == "socket.io" else (f"Socket.IO at the path {path}", f"SOCKET_PATH={path}")


_RULES: tuple[_Rule, ...] = (
    (re.compile(rf"\b(?:socket|client|sock|s)\.(?:on|once){_NAME}"), _event),
    (re.compile(rf"\b(?:socket|client|sock|s)\.broadcast(?:\.\w+\([^)]*\))*\.emit{_NAME}"), _emit),
    (re.compile(rf"\b(?:socket|client|sock|s)(?:\.(?:to|in|except)\([^)]*\))*\.emit{_NAME}"), _emit),
    (re.compile(rf"\bio(?:\(\))?(?:\.\w+\([^)]*\)|\.\w+)*\.emit{_NAME}"), _emit),
    (re.compile(r"\b(?:io|socket)(?:\.\w+\([^)]*\)|\.\w+)*\.emit\(\s*[A-Za-z_$]"), _always(
        "an event is emitted whose name is in a variable", "look which: only notification is notify-server's")),
    (re.compile(rf"\bio(?:\(\))?\.of{_NAME}"), _namespace),
    (re.compile(r"\b(?:socket|client|sock|s)\.join\("), _always(
        "sockets join rooms", "each user's sockets are in the room user:<id>; others need a handler in Python")),
    (re.compile(r"\bhandshake\.query\b"), _always(
        "who somebody is comes from the handshake's query",
        "?userId= is read, and must agree with a credential; a token in the query is not: pass auth: { token }")),
    (re.compile(r"""\bnew\s+(?:\w+\.)?Server(?:<[^;(]*>)?\([^;]*?\bpath\s*:\s*(['"`])(?P<name>[^'"`\n]+)\1""",
                re.DOTALL), _path),
    (re.compile(r"\b(?:io|server)\.adapter\(|createAdapter\("), _always(
        "an adapter joins several servers", "not needed: servers hear of each other through PostgreSQL")),
    (re.compile(r"\ballowEIO3\s*:\s*true"), _always(
        "clients of Socket.IO 2 are let in", "they are not here: socket.io-client 4 is needed")),
    (re.compile(r"\bmaxHttpBufferSize\s*:"), _always("a size of messages is set", "MAX_PAYLOAD_BYTES")),
    (re.compile(r"\bio\.use\(|\bio\.engine\.use\("), _always(
        "a middleware looks at handshakes", 'see "Logging in" in the README; AUTH_URL asks your app')),
)  # fmt: skip

_COMMENT = re.compile(r"""//[^\n]*|/\*.*?\*/|('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)""", re.DOTALL)


def read_old_server(folder: Path) -> list[Finding]:
    """Findings in order of files and lines, each once a line."""
    found: list[Finding] = []
    for path in _sources(folder):
        place = path.relative_to(folder).as_posix()
        try:
            text = _without_comments(path.read_text("utf-8", errors="replace"))
        except OSError as error:
            found.append(note(place, f"cannot be read: {error.strerror}"))
            continue
        if _SERVER.search(text):
            lines = {(line, said) for line, said in _matches(text)}
            found += [note(f"{place}:{line}", *said) for line, said in sorted(lines)]
    return found


def _sources(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix not in _SUFFIXES:
                continue
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_FILE_BYTES:
                count += 1
                if count > _MAX_FILES:
                    return
                yield path


def _without_comments(text: str) -> str:
    """Lines stay where they are."""

    def kept(match: re.Match[str]) -> str:
        return match[1] if match[1] is not None else "\n" * match[0].count("\n")

    return _COMMENT.sub(kept, text)


def _matches(text: str) -> Iterator[tuple[int, tuple[str, str]]]:
    for pattern, say in _RULES:
        for match in pattern.finditer(text):
            if (said := say(match)) is not None:
                yield text.count("\n", 0, match.start()) + 1, said
