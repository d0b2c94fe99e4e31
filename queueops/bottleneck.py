"""What keeps each lane from being empty, in one sentence with the number that says so, and when it will be empty.

Looked at from the outside in: what nobody can pass comes first. Whoever knows why jobs are put off (whose pace, whose
throttling) says so through `panels.explain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueops.pace import Rates
from queueops.switches import MODE, Mode, Switches
from queueops.templatetags.queue_console import duration, number

# Of the slots: a worker between two exchanges has a few free.
IN_USE = 0.9


@dataclass(frozen=True, slots=True)
class Limit:
    """kind: redis, paused, worker, database, slots, put_off, work or "" (nothing waits). seconds: until it is empty.

    seconds is None when that cannot be told, because nothing ends or more comes than goes.
    """

    kind: str
    sentence: str
    seconds: float | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it does not end by itself."""
        return self.kind in {"redis", "worker", "database"}


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that listen to a lane and are heard of."""

    workers: int
    without_database: int
    slots: int
    in_flight: int


def limits(
    snapshot: dict[str, Any],
    held: Switches,
    rates: Mapping[str, Rates] | None = None,
    put_off: Mapping[str, str] | None = None,
) -> dict[str, Limit]:
    """By lane. snapshot: `stats.snapshot`'s. rates: `pace.by_lane`'s. put_off: `panels.put_off`'s."""
    if not snapshot["redis"]["connected"]:
        return dict.fromkeys(snapshot["queues"], Limit("redis", "Redis cannot be reached: nothing is claimed from it."))
    return {
        lane: _limit(lane, counts, _crew(snapshot, lane), held, (rates or {}).get(lane), (put_off or {}).get(lane, ""))
        for lane, counts in snapshot["queues"].items()
    }


def _crew(snapshot: dict[str, Any], lane: str) -> Crew:
    mine = [one for one in snapshot["workers"] if lane in one["queues"] and one["state"] != "silent"]
    return Crew(
        len(mine),
        sum(one["state"] == "no database" for one in mine),
        sum(one["concurrency"] for one in mine),
        sum(one["in_flight"] for one in mine),
    )


def _limit(lane: str, counts: dict[str, Any], crew: Crew, held: Switches, rates: Rates | None, put_off: str) -> Limit:
    if not counts["waiting"] and not counts["retrying"]:
        return Limit("", "Nothing waits.", 0.0)
    if counts["paused"]:
        return Limit("paused", _pause(lane, held))
    if not crew.workers:
        return Limit("worker", "No worker listens to it. Start one: manage.py rqworker high default low")
    if crew.without_database == crew.workers:
        return Limit("database", "The workers cannot reach the database, and claim nothing until they can.")
    if not counts["waiting"]:
        return Limit("put_off", put_off or f"Put off until their time comes: {number(counts['retrying'])} jobs.")
    seconds = _seconds(counts["waiting"], rates)
    if crew.in_flight >= crew.slots * IN_USE:
        return Limit("slots", _all_in_use(counts["waiting"], crew, rates), seconds)
    return Limit("work", _at_work(crew, rates), seconds)


def _pause(lane: str, held: Switches) -> str:
    if pause := held.pause_of(lane):
        return f"Paused {pause.story()}"
    if held.mode is Mode.PAUSED and (mode := held.get(MODE)):
        return f"The mode is paused, {mode.story()}"
    return "All workers are suspended by RQ, until manage.py rqresume."


def _seconds(waiting: int, rates: Rates | None) -> float | None:
    return waiting * 60 / rates.net if rates and rates.net > 0 else None


def _all_in_use(waiting: int, crew: Crew, rates: Rates | None) -> str:
    workers = f"{crew.workers} worker{'' if crew.workers == 1 else 's'}"
    sentence = f"{number(crew.in_flight)} of {number(crew.slots)} slots of {workers} are in use: more workers help"
    ended = (rates.ended or rates.ended_of_five) if rates else 0.0
    if rates is None or not ended:
        return f"{sentence}."
    # One more of the same kind, as far as Redis and the database keep up.
    net = ended * (crew.workers + 1) / crew.workers - rates.arrived
    soon = f"empty in about {duration(round(waiting * 60 / net))}" if net > 0 else "which is still less than comes in"
    return f"{sentence}. With one more: {number(round(net + rates.arrived))} a minute, {soon}."


def _at_work(crew: Crew, rates: Rates | None) -> str:
    use = f"{number(crew.in_flight)} of {number(crew.slots)} slots are in use"
    if rates is not None and rates.net > 0:
        return f"Being worked off: {use}."
    if rates is not None and not rates.ended and not rates.ended_of_five:
        return f"Nothing of it has ended for five minutes, and {use}: look at the workers' log, Redis and the database."
    return f"More comes than goes, and {use}: the workers' processor or the database is at its limit."
