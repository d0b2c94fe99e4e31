"""What an order would do, and what it leaves alone, said before anybody confirms it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from queueops import direct
from queueops.jobs import Lane
from queueops.switches import Mode, Switches, default_mode
from queueops.switching import DEFAULT, PAUSED, Order
from queueops.templatetags.queue_console import number


@dataclass(frozen=True, slots=True)
class Plan:
    """Sentences. does: what will happen; leaves: what will not."""

    does: list[str]
    leaves: list[str]


def plan(order: Order, snapshot: dict[str, Any], held: Switches) -> Plan:
    """snapshot: `stats.snapshot`'s; its numbers may be None."""
    if order.lane is not None:
        return (_pause if order.to == PAUSED else _resume)(order.lane, snapshot, held)
    mode = default_mode() if order.to == DEFAULT else Mode(order.to)
    made = _MODES[mode](snapshot, held)
    if order.to == DEFAULT:
        made.does.insert(0, f"The mode is again what USE_QUEUE_SYSTEM says: {mode}.")
    return made


def _pause(lane: Lane, snapshot: dict[str, Any], held: Switches) -> Plan:
    waiting = _jobs(_sum(snapshot, "waiting", [lane]), "waits", "wait")
    others = [other for other in Lane if other is not lane and not held.is_paused(other)]
    return Plan(
        [f"Nothing of lane {lane} is started any more: {waiting} there, and what comes joins them."],
        [
            "Webhooks are still taken.",
            f"What is in flight is finished: {_jobs(_sum(snapshot, 'active', [lane]))} of this lane.",
            *([f"The others go on: {', '.join(others)}."] if others else []),
        ],
    )


def _resume(lane: Lane, snapshot: dict[str, Any], held: Switches) -> Plan:
    waiting = _jobs(_sum(snapshot, "waiting", [lane]), "waits", "wait")
    does = [f"Workers start with lane {lane} at once, oldest first: {waiting}."]
    if held.mode is Mode.PAUSED:
        return Plan([f"The pause of lane {lane} itself ends."], ["The mode is paused: nothing starts until it is not."])
    return Plan(does, _suspension(held))


def _queue(snapshot: dict[str, Any], held: Switches) -> Plan:
    waiting = _jobs(_sum(snapshot, "waiting", Lane), "waits", "wait")
    does = [
        "Webhooks go into the lanes, and are answered before anything is sent.",
        f"Workers take from all lanes: {waiting}.",
    ]
    return Plan(does, _own_pauses(held) + _suspension(held))


def _direct(snapshot: dict[str, Any], held: Switches) -> Plan:
    return Plan(
        [
            "Each webhook is processed inside its own request, before it is answered: slower, and without priorities.",
            f"When {direct.BATCHES_AT_ONCE} are being processed in one web process, further ones go into the lanes.",
        ],
        [
            f"What is in the lanes goes on being worked: {_jobs(_sum(snapshot, 'waiting', Lane), 'waits', 'wait')}.",
            *_own_pauses(held),
            *_suspension(held),
        ],
    )


def _paused(snapshot: dict[str, Any], held: Switches) -> Plan:
    waiting = _jobs(_sum(snapshot, "waiting", Lane), "waits", "wait")
    return Plan(
        [f"Nothing is started any more in any lane, and so nothing is sent: {waiting}, and what comes joins them."],
        [
            "Webhooks are still taken and kept.",
            f"What is in flight is finished: {_jobs(_sum(snapshot, 'active', Lane))}.",
        ],
    )


_MODES = {Mode.QUEUE: _queue, Mode.DIRECT: _direct, Mode.PAUSED: _paused}


def _own_pauses(held: Switches) -> list[str]:
    paused = [lane for lane in Lane if held.pause_of(lane)]
    return [f"Lanes that are paused by themselves stay so: {', '.join(paused)}."] if paused else []


def _suspension(held: Switches) -> list[str]:
    return ["RQ's own suspension holds up all workers: manage.py rqresume ends it."] if held.suspended else []


def _sum(snapshot: dict[str, Any], place: str, lanes: Iterable[Lane]) -> int | None:
    counts = [snapshot["queues"][lane.value][place] for lane in lanes]
    return None if None in counts else sum(counts)


def _jobs(n: int | None, one: str = "", many: str = "") -> str:
    """1,234 jobs wait; 1 job waits."""
    if n is None:
        return f"an unknown number of jobs {one}".strip()
    return f"{number(n)} job{'' if n == 1 else 's'} {one if n == 1 else many}".strip()
