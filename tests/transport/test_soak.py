"""A few seconds of `make soak`."""

from __future__ import annotations

from benchmarks.soak.__main__ import soak


async def test_after_a_crowd_of_clients_everything_is_as_before() -> None:
    soaked = await soak(rounds=1, round_s=2, warm_up_s=0, seed=1, places=40)
    assert soaked.lives > 50
    assert soaked.failures() == []
