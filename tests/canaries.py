"""A net below the whole suite: what is logged, at DEBUG and as the server writes it, is searched for what no log may
hold.

The canaries are what the tests send all the time: the secrets that sign, tokens, cookies, what people are called, and
what they write.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator

from notify_server.logs import handler

# What a process logs, in either format: a line, or a traceback below it. Other output is for people: `token` prints a
# token.
_LOGGED = re.compile(
    r'^(?:\{"time":.*|\d\d:\d\d:\d\d (?:debug|info|warning|error) .*|Traceback .*(?:\n[ \t].*)*\n.*)', re.MULTILINE
)

CANARIES = {
    "a secret": re.compile(r"a secret of 32 bytes, for the tests alone|keyboard cat|\bold cat\b"),
    "a token": re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}"),
    "a credential": re.compile(r"\b(Bearer|Basic|User) [\w.~+/=-]+|\bauthorization\b\W{0,4}[:=]", re.IGNORECASE),
    "a cookie": re.compile(r"connect\.sid=|\b(token|session|cookie)=|s%3A|\bs:[\w-]{20,}\.", re.IGNORECASE),
    "a name": re.compile(r"\b(Ada|Grace|Linus)\b"),
    "what somebody wrote": re.compile(r"\bHello\b|What a machine|from elsewhere|\bcanary"),
    "a password": re.compile(r"://[^/:@\s]+:(?!\*\*\*@)[^@/\s]+@"),
}


class Net(io.StringIO):
    """`caught` has what was found since the last look: (what, an excerpt). `lines` counts what was searched."""

    def __init__(self) -> None:
        super().__init__()
        self.caught: list[tuple[str, str]] = []
        self.lines = 0

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.lines += 1
            for what, pattern in CANARIES.items():
                if (found := pattern.search(line)) is not None:
                    self.caught.append((what, line[max(0, found.start() - 200) : found.end() + 60]))
        return len(text)

    def search_output(self, text: str) -> None:
        """Of a process: what is of its log."""
        for logged in _LOGGED.findall(text):
            self.write(logged)

    def emptied(self) -> list[tuple[str, str]]:
        caught, self.caught = self.caught, []
        return caught


net = Net()


@contextlib.contextmanager
def spread() -> Iterator[None]:
    """Below everything that this process logs meanwhile."""
    root, below = logging.getLogger(), handler(net, "json")
    level = root.level
    root.addHandler(below)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(below)
        root.setLevel(level)
