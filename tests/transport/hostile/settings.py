"""How hypothesis draws hostile cases: the same ones each time, as many as asked for, made smaller where one fails."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def hostile_settings() -> settings:
    return settings(
        derandomize=True, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
