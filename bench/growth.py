"""What grows with what waits or is configured: ours against ourselves at a small and a large size."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from statistics import median

from redis.asyncio import Redis as AsyncRedis

from automations.matching import CONTAINS, Rule, RuleSet, Subject
from bench import pages
from bench.results import Row, alternate
from bench.servers import Servers
from bench.worker import fill
from queueops.claims import Claims
from queueops.jobs import Lane

CLAIMS = 5
SLOTS = 100
FEW_WAITING = 1_000
FEW_RULES, MANY_RULES = 10, 10_000
FEW_ROWS = 1_000
TEXT = "hello, could you send me the link to the blue one, please? keyword7"


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """Claiming among many waiting jobs, matching among many rules, and the console with many rows."""
    many_waiting = 50_000 if quick else 1_000_000
    few = [_claim(servers, FEW_WAITING) for _ in range(pairs)]
    fill("noop", many_waiting)
    many = [_claim(servers, many_waiting, refill=False) for _ in range(pairs)]
    servers.empty_redis()
    decisions = alternate(pairs, _decide(MANY_RULES), _decide(FEW_RULES))
    return [
        Row(
            measure=f"claim of {SLOTS} jobs, {many_waiting:,} waiting",
            unit="ms",
            ours=tuple(many),
            peer=tuple(few),
            peer_name=f"ours, {FEW_WAITING:,} waiting",
            target=0.8,
            lower_is_better=True,
        ),
        Row(
            measure=f"decision among {MANY_RULES:,} rules of an account",
            unit="µs",
            ours=tuple(decisions[0]),
            peer=tuple(decisions[1]),
            peer_name=f"ours, {FEW_RULES} rules",
            target=0.25,  # log 10 / log 10,000
            lower_is_better=True,
        ),
        *_pages(servers, 20_000 if quick else 1_000_000),
    ]


def _pages(servers: Servers, many_rows: int) -> list[Row]:
    pages.fill(servers, FEW_ROWS)
    few = pages.measure(pages.PAGES)
    pages.fill(servers, many_rows)
    many = pages.measure(pages.PAGES)
    pages.empty(servers)
    return [
        Row(
            measure=f"console page “{page}”, {many_rows:,} rows",
            unit="ms",
            ours=(many[page],),
            peer=(few[page],),
            peer_name=f"ours, {FEW_ROWS:,} rows",
            lower_is_better=True,
        )
        for page in pages.PAGES
    ]


def _claim(servers: Servers, waiting: int, refill: bool = True) -> float:
    """Milliseconds, the median of some claims."""
    if refill:
        servers.empty_redis()
        fill("noop", waiting)
    os.sync()  # what filling left to be written takes seconds of the disk, and of the processors
    return asyncio.run(_claim_some(servers))


async def _claim_some(servers: Servers) -> float:
    redis = AsyncRedis(unix_socket_path=servers.valkey_socket)
    claims = Claims(redis, "bench", list(Lane))
    await claims.exchange([], 1)  # loads the script
    took = []
    for _ in range(CLAIMS):
        started = time.perf_counter()
        claimed = await claims.exchange([], SLOTS)
        took.append((time.perf_counter() - started) * 1000)
        if len(claimed) != SLOTS:
            raise RuntimeError(f"claimed {len(claimed)} jobs instead of {SLOTS}")
    await redis.aclose()
    return median(took)


def _decide(rules: int) -> Callable[[int], float]:
    compiled = RuleSet(
        Rule(
            id=f"{n:08d}",
            name=f"Rule {n}",
            trigger="dm",
            media_id="",
            match=CONTAINS,
            keywords=(f"keyword{n}", f"two words {n}"),
            actions=(),
            priority=0,
        )
        for n in range(rules)
    )
    subject = Subject(text=TEXT)

    def once(_: int) -> float:
        started = time.perf_counter()
        for _ in range(500):
            decision = compiled.decide(subject)
        if decision.rule is None:
            raise RuntimeError("no rule matched")
        return (time.perf_counter() - started) / 500 * 1e6

    return once
