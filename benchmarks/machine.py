"""The machine: its two cores, what processes take of them, and what it is."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))  # before this process is pinned
_TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """The server's; and that of the load and PostgreSQL."""
    if len(_CORES) < 2:
        raise SystemExit("two cores are needed: one for the server, one for PostgreSQL and the load")
    return _CORES[0], _CORES[1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Whatever is started here stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pids: Iterable[int]) -> float:
    """CPU time of these processes so far, of all their threads and of the children that they have waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def rss_bytes(pid: int | str = "self") -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def idle_s(core: int) -> float:
    """How long a core has had nothing to do since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return (int(ticks[3]) + int(ticks[4])) / _TICKS
    raise LookupError(f"cpu{core}")


def raise_file_limit(sockets: int) -> None:
    """Of this process and of the servers that it starts."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < sockets + 1000:
        raise SystemExit(f"no more than {hard} files can be open here (ulimit -Hn), and {sockets + 1000} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def facts() -> dict[str, str]:
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
