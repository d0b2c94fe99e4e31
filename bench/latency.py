"""From webhook to Graph call: web server, worker and database together, at a steady rate."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

from bench import node, pipeline
from bench.results import Row, alternate, figures
from bench.servers import ROOT, Command, Servers, ask, fake_graph, free_port, listens, manage, process, wait
from queueops.jobs import Lane
from webhooks.load import percentile

RATE = 500
WARM_SECONDS = 2

Figures = dict[str, float]

# No two measurements may be of the same people: a call is found again by whom it is for.
_seeds = count(1)


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """Milliseconds from sending the webhook to the call's arrival at the Graph API."""
    seconds = 2 if quick else 10
    pipeline.prepare(servers)
    with fake_graph(pipeline.LATENCY_MS) as graph, contextlib.ExitStack() as cleanup:
        once = partial(_once, servers, graph, seconds)
        port = _serve([sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"], cleanup)
        sides: list[Callable[[int], Figures]] = [partial(once, port, manage("rqworker", *Lane), "")]
        if node.version():
            port = _serve(node.command("ingest.js"), cleanup)
            worker = node.command("pipeline.js", 0)
            sides += [partial(once, port, worker, batched) for batched in pipeline.PEERS_BY_NAME.values()]
        found = alternate(pairs, *sides)
    return [
        row
        for n, name in enumerate(pipeline.PEERS_BY_NAME)
        for row in _rows(name, found[0], found[n + 1] if n + 1 < len(found) else [])
    ]


def _serve(command: Command, cleanup: contextlib.ExitStack) -> int:
    port = free_port()
    server = cleanup.enter_context(process("web server", command, WEB_BIND=f"127.0.0.1:{port}", PORT=str(port)))
    wait(partial(listens, port), server)
    return port


def _once(servers: Servers, graph: str, seconds: int, port: int, worker: Command, batched: str, _: int) -> Figures:
    pipeline.empty(servers, graph)
    with process("worker", worker, GRAPH_API_URL=graph, BATCHED=batched) as started:
        # The first one waits until the worker is there.
        first = _post(servers, port, rate=1, seconds=1)
        wait(lambda: _received(graph) >= len(first), started)
        sent = _post(servers, port, RATE, WARM_SECONDS + seconds)
        wait(lambda: _received(graph) >= len(first) + len(sent), started)
    called = {call["recipient"]: call["at"] for call in ask(f"{graph}/_fake/received")}
    measured_from = min(sent.values()) + WARM_SECONDS
    took = [(called[person] - at) * 1000 for person, at in sent.items() if at >= measured_from]
    return {"p50": percentile(took, 50), "p99": percentile(took, 99)}


def _post(servers: Servers, port: int, rate: int, seconds: int) -> dict[str, float]:
    """When each was sent, by the person it was from."""
    said = servers.folder / "sent.json"
    arguments = [str(argument) for argument in (port, rate, seconds, next(_seeds), said)]
    command = [sys.executable, "-m", "bench.steady", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-500:]}")
    sent: dict[str, float] = json.loads(said.read_text())
    return sent


def _received(graph: str) -> int:
    return int(ask(f"{graph}/_fake/stats")["received"])


def _rows(name: str, ours: list[Figures], peer: list[Figures]) -> list[Row]:
    return [
        Row(
            measure=f"webhook to Graph call at {RATE}/s, {figure}",
            unit="ms",
            ours=figures(ours, figure),
            peer=figures(peer, figure),
            peer_name=name,
            target=1.0,
            lower_is_better=True,
            missing=node.MISSING,
        )
        for figure in ("p50", "p99")
    ]
