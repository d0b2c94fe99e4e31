"""One drill: set the stage, send, let things go wrong, wait until all is quiet, compare."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

import aiohttp
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from automations import demo
from automations.fake_graph import FakeGraph
from automations.fake_graph.echoes import Echoes
from automations.models import Event
from chatautodm.drill import faults, traffic, verdict
from chatautodm.drill.sender import Sender
from chatautodm.drill.stage import WORKERS, Stage
from chatautodm.drill.verdict import Verdict
from chatautodm.drill.wire import Wire
from chatautodm.local import LocalRunError
from queueops import stats
from webhooks.load import PATH
from webhooks.simulated_events import Content

P = ParamSpec("P")
R = TypeVar("R")

GRAPH_MS = 20.0
ROUNDS = 2
STANDSTILL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. seconds: of traffic and faults. patience: how long, after them, until all must be quiet.

    web: where the web server listens. behind: where the PostgreSQL does that the drill's database is in; "" on SQLite.
    """

    folder: Path
    seed: int
    webhooks: int
    seconds: float
    patience: float
    short: bool
    web: str
    behind: str


@dataclass(slots=True)
class Course:
    """What happened: the faults, what the sender met, how long it took until all was quiet, and the verdict."""

    sender: Sender
    faults: list[faults.Planned] = field(default_factory=list)
    seconds: float = 0.0
    quiet_seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)


async def run(order: Order, say: Callable[[str], None]) -> Course:
    """Everything that it starts ends with it. Raises LocalRunError when a part does not start or stop in time."""
    due = traffic.deliveries(order.seed, order.webhooks, order.seconds, int(time.time() * 1000))
    contents = {made.content.source_id: made.content for one in due for made in one.made}
    url = f"http://{order.web}"
    echoes = Echoes(url + PATH, settings.INSTAGRAM_APP_SECRET[0], lambda call: traffic.echo_after(call.recipient))
    async with _graph(contents, echoes) as graph, _wire(order) as wire, _stage(order) as stage:
        sender = Sender(url, settings.INSTAGRAM_APP_SECRET[0], due, Random(order.seed))  # noqa: S311
        course = Course(sender)
        await _until_ready(stage, url)
        started = time.monotonic()
        ground = faults.Ground(stage, graph, sender, wire)
        sending = asyncio.create_task(sender.run())
        try:
            await _let_go_wrong(order, ground, len(contents), course, say)
            course.seconds = time.monotonic() - started
            await _wait_until_quiet(order, lambda: sending.done() and echoes.are_out, course)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        rows = await _in_thread(_rows)
        ledger = (await _in_thread(stats.snapshot))["ledger"]
        throttled = "" if order.short else faults.THROTTLED_ACCOUNT
        calls, echoed = verdict.effective(graph.received), verdict.echoed(graph.received, echoes.taken)
        seen = verdict.Seen(sender.acknowledged, calls, rows, ledger, throttled, echoed)
        course.verdict = verdict.compare(contents.values(), seen)
        course.verdict.unexplained += [*sender.miscounted, *stage.ended_by_itself()]
        course.verdict.settled = stage.said("action=settled by=echo")
        return course


async def _let_go_wrong(
    order: Order, ground: faults.Ground, total: int, course: Course, say: Callable[[str], None]
) -> None:
    started = time.monotonic()
    random = Random(order.seed)  # noqa: S311 - the faults' order, not a secret
    plan = faults.plan(random, faults.chosen(order.short), 1 if order.short else ROUNDS)
    for planned in plan:
        await _until_acknowledged(planned.after * total, ground.sender)
        at = time.monotonic() - started
        await faults.FAULTS[planned.name].befall(ground, planned)
        course.faults.append(planned)
        lasted = time.monotonic() - started - at
        say(f"  {at:6.1f} s  {planned.name:<17} {lasted:5.1f} s   acknowledged {len(ground.sender.acknowledged)}")
    if order.short:
        # What a dead Valkey left in doubt comes back within a minute; of a dead worker's at once.
        for worker in WORKERS:
            ground.stage.kill(worker, alone=True)
            ground.stage.start(worker)


async def _until_acknowledged(count: float, sender: Sender) -> None:
    """Raises LocalRunError when no event was acknowledged for STANDSTILL_SECONDS."""
    seen, since = -1, time.monotonic()
    while len(sender.acknowledged) < count:
        if len(sender.acknowledged) > seen:
            seen, since = len(sender.acknowledged), time.monotonic()
        elif time.monotonic() - since > STANDSTILL_SECONDS:
            raise LocalRunError(f"no webhook was acknowledged for {STANDSTILL_SECONDS:.0f} s; see the logs.")
        await asyncio.sleep(0.02)


async def _wait_until_quiet(order: Order, all_is_sent: Callable[[], bool], course: Course) -> None:
    """Everything acknowledged and nothing moving, twice in a row; or the patience is over."""
    started = time.monotonic()
    quiet = 0
    while quiet < 2 and time.monotonic() - started < order.patience:
        await asyncio.sleep(0.25)
        ledger = (await _in_thread(stats.snapshot))["ledger"]
        is_quiet = all_is_sent() and all(ledger[place] == 0 for place in verdict.MOVING)
        quiet = quiet + 1 if is_quiet else 0
    course.quiet_seconds = time.monotonic() - started


@asynccontextmanager
async def _graph(contents: Mapping[str, Content], echoes: Echoes) -> AsyncIterator[FakeGraph]:
    """It knows who wrote which comment, and tells what became of each message by an echo."""
    graph = FakeGraph(latency_ms=GRAPH_MS, seed=0, echoes=echoes)
    graph.commenters = {source_id: content.person for source_id, content in contents.items()}
    await graph.start(int(settings.GRAPH_API_URL.rsplit(":", 1)[1]))
    try:
        yield graph
    finally:
        await graph.stop()


@asynccontextmanager
async def _wire(order: Order) -> AsyncIterator[Wire | None]:
    if not order.behind:
        yield None
        return
    wire = Wire(int(settings.DATABASES["default"]["PORT"]), order.behind)
    await wire.connect()
    try:
        yield wire
    finally:
        wire.cut()


@asynccontextmanager
async def _stage(order: Order) -> AsyncIterator[Stage]:
    stage = Stage(order.folder)
    try:
        stage.start("valkey")
        await stage.until_valkey_answers()
        await _in_thread(call_command, "migrate", verbosity=0)
        await _in_thread(demo.seed)
        for name in ("web", *WORKERS):
            stage.start(name)
        yield stage
    finally:
        stage.kill_all()


async def _until_ready(stage: Stage, url: str) -> None:
    async def web_answers() -> bool:
        stage.check()
        try:
            async with aiohttp.request("GET", f"{url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def workers_are_there() -> bool:
        stage.check()
        return len((await _in_thread(stats.snapshot))["workers"]) == len(WORKERS)

    await stage.until_answered(web_answers, "the web server")
    await stage.until_answered(workers_are_there, "the workers")


def _rows() -> dict[str, Event]:
    return {row.source_id: row for row in Event.objects.prefetch_related("deliveries")}


async def _in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    def call() -> R:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)
