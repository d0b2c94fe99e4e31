"""Webhooks taken durably: gunicorn of two processes against a Fastify cluster of two with BullMQ, on one Valkey.

Both verify Meta's signature over the raw body, parse it, and answer 200 when one job for its event is in Redis, to
the disk as `appendfsync` says; a repeated event is added once.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

from django.core.management import call_command

from bench import node
from bench.results import Row, alternate, figures
from bench.servers import ROOT, Process, Servers, free_port, listens, process, wait

POLICIES = ("everysec", "always")
CONNECTIONS = (1, 32, 256)
PEER = "Fastify cluster + BullMQ"

Side = Callable[[int], dict[str, float]]

_seeds = count(1)


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """Webhooks/s, p50 and p99 at each number of connections and each durability."""
    seconds = 1 if quick else 4
    rows: list[Row] = []
    call_command("migrate", verbosity=0)
    with contextlib.ExitStack() as cleanup:
        ports = [free_port(), free_port()]
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
        started = [cleanup.enter_context(process("gunicorn", gunicorn, WEB_BIND=f"127.0.0.1:{ports[0]}"))]
        if node.version():
            command = node.command("ingest.js")
            started.append(cleanup.enter_context(process("Fastify", command, PORT=str(ports[1]))))
        for port, one in zip(ports, started, strict=False):
            wait(partial(listens, port), one)
        for port in ports[: len(started)]:
            _load(port, 32, 2)
        for policy in POLICIES:
            servers.fsync(policy)
            for connections in CONNECTIONS:
                sides = [
                    _side(servers, port, one, connections, seconds) for port, one in zip(ports, started, strict=False)
                ]
                rows += _rows(policy, connections, alternate(pairs, *sides))
    servers.fsync("everysec")
    return rows + _durability(rows)


def _side(servers: Servers, port: int, server: Process, connections: int, seconds: int) -> Side:
    def once(_: int) -> dict[str, float]:
        servers.empty_redis()
        before = server.processor_seconds()
        found = _load(port, connections, seconds)
        found["processor"] = (server.processor_seconds() - before) / found["answers"] * 1e6
        _check(servers)
        return found

    return once


def _check(servers: Servers) -> None:
    """Raises RuntimeError when a webhook was kept anywhere but in Redis: that would be another measurement."""
    rows = servers.sql(servers.postgres, "SELECT count(*) FROM queueops_fallbackjob")[0][0]
    if rows:
        raise RuntimeError(
            f"{rows} webhooks went into the database: Redis did not answer in time; is the machine busy?"
        )


def _load(port: int, connections: int, seconds: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.load", str(port), str(connections), str(seconds), str(next(_seeds))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} of {found['answers']} answers of port {port} were no 200")
    return found


def _rows(policy: str, connections: int, sides: list[list[dict[str, float]]]) -> list[Row]:
    ours, peer = sides[0], sides[1] if len(sides) > 1 else []
    rate_target = 1.0 if connections == 32 else None
    time_target = 1.0 if connections == 1 else None
    at = f"`{policy}`, {connections} connection{'s' if connections > 1 else ''}"

    def row(measure: str, unit: str, figure: str, target: float | None, lower: bool) -> Row:
        return Row(
            measure=f"{at}: {measure}",
            unit=unit,
            ours=figures(ours, figure),
            peer=figures(peer, figure),
            peer_name=PEER,
            target=target,
            lower_is_better=lower,
            missing=node.MISSING,
        )

    return [
        row("webhooks", "/s", "rate", rate_target, False),
        row("p50", "ms", "p50", time_target, True),
        row("p99", "ms", "p99", time_target, True),
        row("processor time of the web servers", "µs/webhook", "processor", None, True),
    ]


def _durability(rows: list[Row]) -> list[Row]:
    def rates(policy: str) -> tuple[float, ...]:
        return next(row.ours for row in rows if row.measure == f"`{policy}`, 32 connections: webhooks")

    return [
        Row(
            measure="`always` against `everysec`, 32 connections",
            unit="/s",
            ours=rates("always"),
            peer=rates("everysec"),
            peer_name="ours with `everysec`",
            target=0.7,
        )
    ]
