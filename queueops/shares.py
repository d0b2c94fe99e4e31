"""The lower lanes' minimum share: of the slots a worker ever asks for, some serve them first, so they never starve.

Whether it asks for a hundred in one claim or for one in a hundred. What a lane does not want goes to the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from queueops.jobs import Lane


def reserved(lanes: Sequence[str], free: int, served: int) -> list[int]:
    """How many of `free` slots each lane gets first, after `served` slots; the rest goes in the order of the lanes."""
    percents: dict[str, int] = {Lane.DEFAULT: settings.QUEUE_SHARE_DEFAULT, Lane.LOW: settings.QUEUE_SHARE_LOW}
    found = [0] * len(lanes)
    for n in range(len(lanes) - 1, 0, -1):
        percent = percents.get(lanes[n], 0)
        wanted = _due(served + free, percent) - _due(served, percent)
        found[n] = min(wanted, free - sum(found))
    return found


def _due(slots: int, percent: int) -> int:
    """Of so many slots; the first comes after half of the slots that one of them stands for."""
    return (slots * percent + 50) // 100
