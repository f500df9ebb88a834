"""`python -m tests.node` installs the clients that the tests drive, and the reference server."""

from __future__ import annotations

from pathlib import Path

from web.node import install

CLIENT = Path(__file__).parent / "client"
PEER = Path(__file__).parent / "transport"


def install_clients() -> None:
    install(CLIENT)


if __name__ == "__main__":
    install_clients()
    install(PEER)
