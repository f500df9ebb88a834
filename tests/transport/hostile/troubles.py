"""Whatever goes wrong in the server without anybody being told: logged errors, the loop's and the interpreter's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

# What is no HTTP, or a body that cannot be unpacked and is skipped after the answer. aiohttp logs it as an error,
# whatever the application is; neither reaches it.
_OF_AIOHTTP = (HttpProcessingError, web.RequestPayloadError)


class Troubles(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.name != "aiohttp.server" or not isinstance(error, _OF_AIOHTTP):
            self.found.append(f"{record.name}: {record.getMessage()}: {error!r}")

    def of_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.found.append(f"loop: {context}")

    def of_interpreter(self, unraisable: Any) -> None:
        self.found.append(f"unraisable: {unraisable.exc_value!r} in {unraisable.object!r}")
