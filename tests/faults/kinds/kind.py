"""What a kind of fault is, and the list that the modules beside this one fill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.world import World

Inject = Callable[[World], Awaitable[None]]

POSTGRES, SERVER, CLIENT = "PostgreSQL", "server", "client"


class NotHere(Exception):
    """This machine, or this server, cannot have the fault; says why."""


class NotNow(Exception):
    """Another fault was in the way; says how."""


@dataclass(frozen=True)
class Kind:
    """`inject` returns when the fault is over; clients may still be on their way back. Faults of one lane come one
    after the other, those of several at once, but for one that is `alone`. `weight` is how often a kind is drawn."""

    name: str
    lane: str
    inject: Inject
    weight: float = 1
    alone: bool = False


KINDS: dict[str, Kind] = {}


def kind(lane: str, *, weight: float = 1, alone: bool = False) -> Callable[[Inject], Inject]:
    """The function's name, spelt with spaces, is the kind's."""

    def register(inject: Inject) -> Inject:
        name = getattr(inject, "__name__", "").replace("_", " ")
        KINDS[name] = Kind(name, lane, inject, weight, alone)
        return inject

    return register
