"""What goes wrong: each fault by name, and in which order and for how long by a seed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from django.conf import settings
from django.db import connection

from automations import demo
from automations.fake_graph import FakeGraph
from automations.fake_graph.faults import Script
from chatautodm.drill.sender import Sender
from chatautodm.drill.stage import WORKERS, Stage, redis
from chatautodm.drill.wire import Wire

LASTING_SECONDS = (0.3, 2.0)
THROTTLED_ACCOUNT = list(demo.ACCOUNTS)[-1]


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: after which share of the events, for how many seconds; `pick` chooses among what it can befall."""

    after: float
    name: str
    seconds: float
    pick: int


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that can be made to fail. `wire` is None on SQLite."""

    stage: Stage
    graph: FakeGraph
    sender: Sender
    wire: Wire | None


@dataclass(frozen=True, slots=True)
class Fault:
    """`befall` ends when the fault does."""

    description: str
    befall: Callable[[Ground, Planned], Awaitable[None]]
    needs_time: bool = False  # the short drill has none to wait for its end


def plan(random: Random, names: list[str], rounds: int) -> list[Planned]:
    """Every fault once in each round, in a random order.

    Spread over the events and not over time: on a slow machine, too, each comes in the middle of the traffic.
    """
    order = [name for _ in range(rounds) for name in random.sample(names, len(names))]
    return [
        Planned((n + 1) / (len(order) + 2), name, random.uniform(*LASTING_SECONDS), random.randrange(1000))
        for n, name in enumerate(order)
    ]


async def _kill_worker(ground: Ground, planned: Planned) -> None:
    worker = WORKERS[planned.pick % len(WORKERS)]
    ground.stage.kill(worker, alone=True)
    await asyncio.sleep(planned.seconds)
    ground.stage.start(worker)


async def _stop_worker(ground: Ground, planned: Planned) -> None:
    worker = WORKERS[planned.pick % len(WORKERS)]
    await ground.stage.stop(worker)
    ground.stage.start(worker)


async def _kill_web(ground: Ground, planned: Planned) -> None:
    ground.stage.kill("web")
    await asyncio.sleep(planned.seconds)
    ground.stage.start("web")


async def _stop_web(ground: Ground, planned: Planned) -> None:
    await ground.stage.stop("web")
    ground.stage.start("web")


async def _kill_valkey(ground: Ground, planned: Planned) -> None:
    ground.stage.kill("valkey")
    await asyncio.sleep(planned.seconds)
    ground.stage.start("valkey")
    await ground.stage.until_valkey_answers()


async def _fill_memory(ground: Ground, planned: Planned) -> None:
    with redis() as client:
        client.config_set("maxmemory", 1)
        await asyncio.sleep(planned.seconds)
        client.config_set("maxmemory", 0)


async def _cut_database(ground: Ground, planned: Planned) -> None:
    if ground.wire is None:
        return
    ground.wire.cut()
    await asyncio.sleep(planned.seconds)
    await ground.wire.connect()


async def _hold_database(ground: Ground, planned: Planned) -> None:
    async with _held_sqlite() if ground.wire is None else _held(ground.wire):
        await asyncio.sleep(planned.seconds)


@asynccontextmanager
async def _held(wire: Wire) -> AsyncIterator[None]:
    wire.hold()
    try:
        yield
    finally:
        wire.let_go()


@asynccontextmanager
async def _held_sqlite() -> AsyncIterator[None]:
    """Its one write lock taken: every other writer waits."""
    path = settings.DATABASES["default"]["NAME"]
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        await asyncio.to_thread(database.execute, "BEGIN IMMEDIATE")
        yield
    finally:
        database.close()


async def _cut_requests(ground: Ground, planned: Planned) -> None:
    await ground.sender.cut(10 + planned.pick % 20)


def _meta(fault: str, times: int, account: str = "") -> Callable[[Ground, Planned], Awaitable[None]]:
    async def befall(ground: Ground, planned: Planned) -> None:
        match = {"account": account} if account else {}
        ground.graph.scripts.append(Script(fault, match, times=1 + planned.pick % times))

    return befall


FAULTS: dict[str, Fault] = {
    "worker killed": Fault("kill -9 of a worker", _kill_worker),
    "worker stopped": Fault("SIGTERM to a worker, as in a rolling restart", _stop_worker),
    "web killed": Fault("kill -9 of the web server", _kill_web),
    "web stopped": Fault("SIGTERM to the web server", _stop_web),
    "Valkey killed": Fault("kill -9 of Valkey", _kill_valkey),
    "Valkey full": Fault("no memory left, noeviction", _fill_memory),
    "database cut": Fault("PostgreSQL's connections break and new ones are refused", _cut_database),
    "database hangs": Fault("the database answers nothing", _hold_database),
    "requests cut": Fault("webhooks break off in the middle, or before their answer", _cut_requests),
    "Meta resets": Fault("calls arrive, then the connection breaks", _meta("reset_after_recording", 4)),
    "Meta unreachable": Fault("connections break before a call arrives", _meta("reset_before", 4)),
    "Meta fails": Fault("calls are refused for the moment", _meta("transient2", 6)),
    "Meta hangs": Fault("calls arrive, then there is no answer", _meta("hang", 3), needs_time=True),
    "Meta throttles": Fault(
        "an account must wait for a minute", _meta("throttle", 5, THROTTLED_ACCOUNT), needs_time=True
    ),
}


def chosen(short: bool) -> list[str]:
    """The faults for this database and this much time."""
    impossible = set() if connection.vendor == "postgresql" else {"database cut"}
    return [name for name, fault in FAULTS.items() if name not in impossible and not (short and fault.needs_time)]
