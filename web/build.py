"""Builds the pages into `notify_server/static/`, where their sources have changed: `python -m web.build`.

The build is put in its place when it is whole; until then, and where it fails, what was there stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from web.node import WEB, environment, installed, installing, is_installed, npm

STATIC = WEB.parent / "notify_server" / "static"
_NEW, _OLD = STATIC.with_name("static.new"), STATIC.with_name("static.old")
_SOURCES = ("package.json", "package-lock.json", "*.ts", "tsconfig.json", "index.html", "plain/**/*", "public/**/*",
            "src/**/*")  # fmt: skip
_MARK = ".sources"  # what it was built from


class BuildFailed(Exception):
    """The output of the command that failed has been shown, where there was one."""


def build() -> None:
    """Nothing where what is there was built from what the sources are now. Raises BuildFailed."""
    sources = _digest()
    mark = STATIC / _MARK
    if mark.is_file() and mark.read_text() == sources:
        return
    try:
        if not is_installed(WEB):
            _run("installing packages", installing(WEB))
            installed(WEB)
        _run("building the page", [*npm(), "run", "--silent", "build", "--", "--outDir", str(_NEW), "--emptyOutDir"])
        (_NEW / _MARK).write_text(sources)
        shutil.rmtree(_OLD, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            STATIC.rename(_OLD)
        _NEW.rename(STATIC)
    except FileNotFoundError as missing:
        raise BuildFailed(str(missing)) from missing
    finally:
        shutil.rmtree(_NEW, ignore_errors=True)
        shutil.rmtree(_OLD, ignore_errors=True)


def _files() -> Iterator[Path]:
    """Tests are none of them."""
    for pattern in _SOURCES:
        for path in WEB.glob(pattern):
            if path.is_file() and ".test." not in path.name:
                yield path


def _digest() -> str:
    """Of names and contents: a checkout of another commit and back changes times, and nothing here."""
    digest = hashlib.sha256()
    for path in sorted(_files()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(WEB).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _run(doing: str, command: list[str]) -> None:
    """Tells what is done and for how many seconds; shows what the command says only where it fails."""
    started = time.monotonic()
    shown = sys.stderr.isatty()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=WEB, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while (status := process.poll()) is None:
                if shown:
                    print(f"\r  web: {doing} … {time.monotonic() - started:.0f} s", end="", file=sys.stderr, flush=True)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        finally:
            process.terminate()
            process.wait()
        took = f"{'' if not shown else chr(13)}  web: {doing} … {time.monotonic() - started:.0f} s"
        print(f"{took}{', failed' if status else ''}", file=sys.stderr, flush=True)
        if status:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise BuildFailed(f"{doing} failed (exit status {status}): see above")


if __name__ == "__main__":
    try:
        build()
    except BuildFailed as failed:
        sys.exit(f"web: {failed}")
    except KeyboardInterrupt:
        sys.exit("web: stopped; what was built before stays")
