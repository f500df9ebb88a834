"""`python -m tests.node` installs the clients that the tests drive, the reference server, and the app that logs in."""

from __future__ import annotations

from pathlib import Path

from web.node import install

CLIENT = Path(__file__).parent / "client"
PEER = Path(__file__).parent / "transport"
EXPRESS = Path(__file__).parent / "express"


def install_clients() -> None:
    install(CLIENT)


if __name__ == "__main__":
    install_clients()
    install(PEER)
    install(EXPRESS)
