"""What a worker with 200 jobs in flight holds in memory, and what a waiting event holds in Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import machine, node, traffic
from bench.pipeline import fill
from bench.results import Row, alternate
from bench.servers import Command, Servers, manage, process, wait
from bench.worker import BULLMQ, SLOTS
from bench.worker import fill as fill_with
from queueops.jobs import Lane

MIB = 2**20


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """One process of each; the events are those of the pipeline benchmark."""
    events = 2_000 if quick else 20_000
    resident = [_ours(servers), *([_bullmq(servers)] if node.version() else [])]
    waiting = [_waiting(servers, events), *([_bullmq_waiting(servers, events)] if node.version() else [])]
    return [
        _row("resident memory of the worker, 200 jobs in flight", "MiB", alternate(pairs, *resident)),
        _row("Valkey's memory for a waiting event", "bytes", alternate(pairs, *waiting)),
    ]


def _row(measure: str, unit: str, found: list[list[float]]) -> Row:
    return Row(
        measure=measure,
        unit=unit,
        ours=tuple(found[0]),
        peer=tuple(found[1]) if len(found) > 1 else (),
        peer_name=BULLMQ,
        lower_is_better=True,
        missing=node.MISSING,
    )


def _ours(servers: Servers) -> Callable[[int], float]:
    def once(_: int) -> float:
        servers.empty_redis()
        fill_with("hold", 10 * SLOTS)
        with servers.redis() as redis:

            def busy() -> bool:
                return sum(int(redis.zcard(f"rq:wip:{lane}")) for lane in Lane) >= SLOTS

            return _resident(manage("rqworker", *Lane), busy, servers)

    return once


def _bullmq(servers: Servers) -> Callable[[int], float]:
    def once(_: int) -> float:
        servers.empty_redis()
        with servers.redis() as redis:

            def busy() -> bool:
                return int(redis.llen("bull:bench:active")) >= SLOTS

            return _resident(node.command("worker.js", "hold", 10 * SLOTS), busy, servers)

    return once


def _resident(command: Command, busy: Callable[[], bool], servers: Servers) -> float:
    with process("worker", command, GRAPH_API_URL="http://127.0.0.1:9") as worker:
        wait(busy, worker)
        time.sleep(0.5)  # so that the jobs have begun
        found = machine.resident_bytes(worker.pid) / MIB
        servers.empty_redis()  # the jobs never end by themselves
        worker.popen.kill()
        return found


def _waiting(servers: Servers, events: int) -> Callable[[int], float]:
    return lambda number: _growth(servers, events, lambda: fill(traffic.answered(number, events, 0)))


def _bullmq_waiting(servers: Servers, events: int) -> Callable[[int], float]:
    def put(number: int) -> None:
        node.run("fill.js", lines=b"\n".join(traffic.answered(number, events, 0)))

    return lambda number: _growth(servers, events, lambda: put(number))


def _growth(servers: Servers, events: int, put: Callable[[], None]) -> float:
    servers.empty_redis()
    with servers.redis() as redis:
        before = int(redis.info("memory")["used_memory"])
        put()
        return (int(redis.info("memory")["used_memory"]) - before) / events
