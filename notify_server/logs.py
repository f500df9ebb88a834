"""Logs are events: a constant name, facts beside it. Never a body, a token, a query string or a sid."""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any, Literal, TextIO

import orjson
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from notify_server.request_ids import request_id

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = {key: value for key, value in vars(record).items() if key not in _OWN}
    own = request_id.get()
    return facts if own is None else {"request": own, **facts}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, event, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """For a terminal. Values are quoted, so that none of them can begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        facts = "".join(f" {key}={value!r}" for key, value in _facts(record).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}{facts}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _NoTracebackOfStrangers(logging.Filter):
    """aiohttp logs what is no HTTP, or a body that cannot be unpacked, as an error with its traceback, whoever sent
    it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | RequestPayloadError):
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args, record.error = "bad_request", (), type(error).__name__
        return True


def handler(stream: TextIO, style: Literal["text", "json"]) -> logging.Handler:
    """Writes each record to `stream` as a line (of text with a traceback: as several)."""
    made = logging.StreamHandler(stream)
    made.setFormatter(TextFormatter() if style == "text" else JsonFormatter())
    made.addFilter(_NoTracebackOfStrangers())
    return made


def configure(level: str, style: Literal["text", "json"] | None) -> None:
    """None as `style` is text on a terminal, else json."""
    if style is None:
        style = "text" if sys.stderr.isatty() else "json"
    logging.basicConfig(level=level.upper(), handlers=[handler(sys.stderr, style)], force=True)
