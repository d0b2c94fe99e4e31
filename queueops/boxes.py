"""What is wrong by this very look, for the top of the overview; what stands there as an alert already is left out.

An alert opens only after a while, so that what flickers wakes nobody (`queueops.alerts`); who looks sees it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from queueops import durability, stats
from queueops.models import Alert
from queueops.objectives import Burn
from queueops.templatetags.queue_console import number


@dataclass(frozen=True, slots=True)
class Box:
    """A sentence, and what it means or what to do. is_bad: it cannot wait."""

    sentence: str
    words: str = ""
    is_bad: bool = False


def boxes(snapshot: dict[str, Any], burn: Burn | None, shown: Collection[Alert]) -> list[Box]:
    """shown: the alerts that stand above."""
    told = {alert.name for alert in shown}
    found = [*(_of_the_queue(snapshot, shown) if snapshot["redis"]["connected"] else _away(told))]
    if burn is not None and told.isdisjoint({"objective_burns", "objective_burns_fast"}):
        found.append(Box("The objective is missed too fast.", str(burn), burn.severity == "page"))
    return found


def _away(told: Collection[str]) -> Iterator[Box]:
    if "redis_away" not in told:
        yield Box("Redis cannot be reached.", "Webhooks are still taken, by the database.", is_bad=True)


def _of_the_queue(snapshot: dict[str, Any], shown: Collection[Alert]) -> Iterator[Box]:
    told = {(alert.name, alert.subject) for alert in shown}
    unexplained = snapshot["ledger"]["unexplained"]
    if unexplained and ("unexplained", "") not in told:
        meaning = "What was received is not the sum of what became of it: something was lost, or appeared from nowhere."
        yield Box(f"{number(unexplained)} events are unexplained.", meaning, is_bad=True)
    for risk in durability.risks():
        if ("not_durable", risk.id) not in told:
            yield Box(risk.words, risk.hint)
    lanes = [] if ("no_worker", "") in told else stats.unattended(snapshot)
    if lanes := [lane for lane in lanes if ("no_worker", lane) not in told]:
        yield Box(f"No worker listens to {', '.join(lanes)}.", "Start one: manage.py rqworker high default low")
