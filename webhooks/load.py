"""Posts made-up webhooks to a running server at a steady rate, and counts what came back."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson
from yarl import URL

from webhooks.signature import sign
from webhooks.simulation import Generated

PATH = "/api/webhooks/instagram"
# Twice what Meta waits (FACTS section 3): a slower answer is counted, not waited for.
TIMEOUT_SECONDS = 10.0
COUNTED = ("accepted", "duplicate", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where to post and how fast. rate: POSTs a second, 0 for as fast as it goes. seconds: stop then, None: never."""

    url: str
    secret: str
    rate: float
    connections: int
    seconds: float | None = None


@dataclass(slots=True)
class Report:
    """What was sent, and what the server said.

    events: in bodies that got an answer or none. answers: the sums of the server's own counts. refused: POSTs by HTTP
    status, or by the name of the connection's error. milliseconds: from sending to a 200, one for each.
    """

    posts: int = 0
    events: int = 0
    redelivered: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank; 0.0 of nothing."""
    ranked = sorted(values)
    return ranked[math.ceil(len(ranked) * percent / 100) - 1] if ranked else 0.0


async def deliver(
    source: Iterator[Generated], plan: Plan, report: Report, on_post: Callable[[], None] = lambda: None
) -> None:
    """POST everything that `source` gives, and fill in `report` as it goes. Raises OSError when nothing listens."""
    target = URL(plan.url.rstrip("/") + PATH)
    await _check_listening(target)
    started = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=plan.connections)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            turns = turns_of(source, plan, started)
            async with asyncio.TaskGroup() as group:
                for _ in range(plan.connections):
                    group.create_task(_post_in_turn(session, target, plan.secret, turns, report, on_post))
    finally:
        report.seconds = time.perf_counter() - started


async def _check_listening(target: URL) -> None:
    _, writer = await asyncio.wait_for(asyncio.open_connection(target.host, target.port), TIMEOUT_SECONDS)
    writer.close()
    await writer.wait_closed()


def turns_of(source: Iterator[Generated], plan: Plan, started: float) -> Iterator[tuple[float, Generated]]:
    """Each body with the moment it is due: the rate holds however slow the answers are, as it does with Meta."""
    for index, generated in enumerate(source):
        due = started + index / plan.rate if plan.rate else time.perf_counter()
        if plan.seconds is not None and due - started >= plan.seconds:
            return
        yield due, generated


async def _post_in_turn(
    session: aiohttp.ClientSession,
    target: URL,
    secret: str,
    turns: Iterator[tuple[float, Generated]],
    report: Report,
    on_post: Callable[[], None],
) -> None:
    for due, generated in turns:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(generated.body, secret)}
        report.posts += 1
        report.events += len(generated.contents)
        report.redelivered += sum(content.is_duplicate for content in generated.contents)
        sent_at = time.perf_counter()
        try:
            async with session.post(target, data=generated.body, headers=headers, allow_redirects=False) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            report.refused[type(error).__name__] += 1
        else:
            if response.status == 200:
                report.milliseconds.append((time.perf_counter() - sent_at) * 1000)
                _add_counts(report, answer)
            else:
                report.refused[f"HTTP {response.status}"] += 1
        on_post()


def _add_counts(report: Report, answer: bytes) -> None:
    try:
        counts = orjson.loads(answer)
        report.answers.update({name: int(counts[name]) for name in COUNTED})
    except (ValueError, TypeError, KeyError):
        report.refused["200 without counts"] += 1
