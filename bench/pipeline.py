"""The whole durable work of an event, from the lane to its closed row, by one worker of 200 slots on PostgreSQL.

Every event is answered: 1.25 calls of 50 ms to the same fake Graph API. A delivery's row is committed before its call.
The peer looks up and matches in memory and writes delivery and event rows. Ours keeps the contact, the conversation
and its 24-hour window, and the looks at every rule besides, and refuses what was processed before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count

from django.core.management import call_command
from redis import Redis

from bench import machine, node, traffic
from bench.results import Measure, Row, alternate, compared
from bench.servers import PEERS, Servers, ask, fake_graph, manage, process, wait
from bench.worker import completed
from queueops.dispatch import dispatch_sync
from queueops.jobs import Batch, Lane
from webhooks.intake import read

LATENCY_MS = 50
BODIES_A_BATCH = 1000
OLD_PROMISE_SECONDS = 35.0
PEERS_BY_NAME = {
    "BullMQ + ioredis + undici + pg, one statement a move": "0",
    "the same, rows of concurrent jobs share a statement": "1",
}

Figures = dict[str, float]

# A comment gets one private reply ever: no two measurements may be of the same events.
_seeds = count(1)


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """Jobs/s and processor time a job, against both ways to write the peer; then 25,000 events at once."""
    events = 1_000 if quick else 6_000
    prepare(servers)
    with fake_graph(LATENCY_MS) as graph:
        sides = [_ours(servers, graph, events)]
        sides += [_peer(servers, graph, events, batched) for batched in PEERS_BY_NAME.values() if node.version()]
        found = alternate(pairs, *sides)
        rows = [
            row
            for n, name in enumerate(PEERS_BY_NAME)
            for row in _rows(name, found[0], found[n + 1] if n + 1 < len(found) else [])
        ]
        if not quick:
            rows.append(_flood(servers, graph))
    return rows


def prepare(servers: Servers) -> None:
    """Both databases with their tables, ours with the demo rules for every account; safe to do again."""
    call_command("migrate", verbosity=0)
    call_command("seed_demo", accounts=",".join(traffic.ACCOUNTS), verbosity=0, stdout=_Silence())
    for statement in (PEERS / "schema.sql").read_text().split(";"):
        if statement.strip():
            servers.sql(servers.peer_postgres, statement)


class _Silence:
    """Where a command's words go that nobody needs."""

    def write(self, _: str) -> None:
        pass


def _ours(servers: Servers, graph: str, events: int) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        empty(servers, graph)
        fill(traffic.answered(next(_seeds), events, _now_ms()))
        command = manage("rqworker", *Lane, "--burst")
        with servers.redis() as redis, process("worker", command, GRAPH_API_URL=graph) as worker:
            start = wait(lambda: _waiting(redis) < events, worker)
            before = _processor(servers, worker.pid)
            end = wait(lambda: completed(redis) >= events, worker, seconds=300)
            after = _processor(servers, worker.pid)
        _check(servers, servers.postgres, "automations_delivery", events)
        return {
            "rate": events / (end - start),
            "processor": (after[0] - before[0]) / events * 1e6,
            "servers": (after[1] - before[1]) / events * 1e6,
        }

    return once


def _peer(servers: Servers, graph: str, events: int, batched: str) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        empty(servers, graph)
        node.run("fill.js", lines=b"\n".join(traffic.answered(next(_seeds), events, _now_ms())))
        before = machine.processor_seconds(servers.postgres_pid, servers.valkey_pid)
        found: Figures = node.run("pipeline.js", events, BATCHED=batched, GRAPH_API_URL=graph)
        after = machine.processor_seconds(servers.postgres_pid, servers.valkey_pid)
        _check(servers, servers.peer_postgres, "delivery", events)
        return {**found, "servers": (after - before) / events * 1e6}

    return once


def fill(bodies: Iterable[bytes]) -> None:
    """Put the events of these webhooks into our lanes, as the web server does."""
    waiting = list(bodies)
    for start in range(0, len(waiting), BODIES_A_BATCH):
        jobs = (job for body in waiting[start : start + BODIES_A_BATCH] for job in read(body).jobs)
        dispatch_sync(Batch(jobs=tuple(jobs)))


def empty(servers: Servers, graph: str) -> None:
    """Forget everything that happened."""
    servers.empty_redis()
    servers.sql(servers.postgres, "TRUNCATE automations_event, automations_contact CASCADE")
    servers.sql(servers.peer_postgres, "TRUNCATE event, delivery")
    ask(f"{graph}/_fake/received", "DELETE")


def _check(servers: Servers, url: str, table: str, events: int) -> None:
    """Nothing is measured that was not done: Raises RuntimeError unless every call was made and written down."""
    rows = dict(servers.sql(url, f"SELECT status, count(*) FROM {table} GROUP BY status"))  # noqa: S608
    if set(rows) != {"sent"} or rows["sent"] < events:
        raise RuntimeError(f"{table} holds {rows} after {events} events, each of which has an answer")


def _waiting(redis: Redis) -> int:
    return sum(int(redis.llen(f"rq:queue:{lane}")) for lane in Lane)


def _processor(servers: Servers, worker: int) -> tuple[float, float]:
    return machine.processor_seconds(worker), machine.processor_seconds(servers.postgres_pid, servers.valkey_pid)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _rows(name: str, ours: list[Figures], peer: list[Figures]) -> list[Row]:
    return compared(
        ours,
        peer,
        name,
        node.MISSING,
        Measure("events answered", "/s", "rate", 1.0),
        Measure("processor time of the worker", "µs/event", "processor", lower_is_better=True),
        Measure("processor time of PostgreSQL and Valkey", "µs/event", "servers", lower_is_better=True),
    )


def _flood(servers: Servers, graph: str) -> Row:
    events = 25_000
    seconds = events / _ours(servers, graph, events)(0)["rate"]
    return Row(
        measure="25,000 waiting webhooks, all answered, one worker",
        unit="s",
        ours=(seconds,),
        peer=(OLD_PROMISE_SECONDS,),
        peer_name="the old system's promise",
        target=1.0,
        lower_is_better=True,
    )
