"""Work that runs behind the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

_RETRY_S = 1.0


@contextlib.asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs all of it while the block runs, then cancels it: again and again, where a cancellation is swallowed."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=1)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("background_task_failed", exc_info=error)


async def kept_running(work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled: what nobody foresaw is logged, and the work begun again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background_work_failed", extra={"work": work.__qualname__})
        await asyncio.sleep(_RETRY_S)
