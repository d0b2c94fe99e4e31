"""One worker process of each queue library on jobs that do nothing, and on jobs that wait 50 ms."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from bench import node
from bench.results import Measure, Row, alternate, compared, figures
from bench.servers import ROOT, Servers, manage, process, wait
from queueops.dispatch import dispatch_sync
from queueops.jobs import Batch, Job, Lane
from queueops.keys import new_id

SLOTS = 200
CEILING = SLOTS / 0.05
BULLMQ = "BullMQ, concurrency 200"
PAYLOAD = {"kind": "message", "account": "17841456778752687", "person": "8422491661125971", "text": "link please"}
JOBS_A_BATCH = 1000

DRAMATIQ = "dramatiq[redis]==2.2.1"
# Not in requirements: what we compare with is no part of the product.
VENV = ROOT / "var" / "bench-venv"

Figures = dict[str, float]


def measure(servers: Servers, pairs: int, quick: bool) -> list[Row]:
    """Jobs/s, and the worker's processor time a job."""
    nothing, waiting, slow = (5_000, 2_000, 100) if quick else (40_000, 32_000, 400)
    rows: list[Row] = []
    for job, jobs, target in (("noop", nothing, 3.0), ("wait", waiting, None)):
        sides = [_ours(servers, job, jobs), *([_bullmq(servers, job, jobs)] if node.version() else [])]
        found = alternate(pairs, *sides)
        rows += _against_bullmq(job, target, found[0], found[1] if len(found) > 1 else [])
    rows.append(
        Row(
            measure="50 ms jobs against the ceiling of 200 slots",
            unit="/s",
            ours=rows[2].ours,
            peer=(CEILING,) * pairs,
            peer_name="200 / 50 ms",
            target=0.9,
        )
    )
    ours = rows[0].ours
    for name, side in _python_peers(servers, slow):
        (found_rates,) = alternate(pairs, side)
        rows.append(
            Row(
                measure="empty jobs",
                unit="/s",
                ours=ours,
                peer=figures(found_rates, "rate"),
                peer_name=name,
            )
        )
    return rows


def _against_bullmq(job: str, target: float | None, ours: list[Figures], peer: list[Figures]) -> list[Row]:
    what = {"noop": "empty jobs", "wait": "50 ms jobs"}[job]
    return compared(
        ours,
        peer,
        BULLMQ,
        node.MISSING,
        Measure(what, "/s", "rate", target),
        Measure(f"{what}: processor time of the worker", "µs/job", "processor", lower_is_better=True),
    )


def fill(job: str, jobs: int) -> None:
    """Put the jobs into our lanes, as the web server does."""
    lanes = list(Lane)
    for _ in range(0, jobs, JOBS_A_BATCH):
        batch = (
            Job(id=new_id().hex, lane=lanes[n % len(lanes)], func=f"bench.jobs.{job}", payload=PAYLOAD)
            for n in range(JOBS_A_BATCH)
        )
        dispatch_sync(Batch(jobs=tuple(batch)))


def completed(redis: Redis) -> int:
    return int(redis.hget("cad:ledger", "completed") or 0)


def _ours(servers: Servers, job: str, jobs: int) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        servers.empty_redis()
        fill(job, jobs)
        command = manage("rqworker", *Lane, "--burst")
        return timed(servers, command, jobs, lambda redis: completed(redis) >= jobs)

    return once


def _bullmq(servers: Servers, job: str, jobs: int) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        servers.empty_redis()
        found: Figures = node.run("worker.js", job, jobs)
        return found

    return once


def timed(servers: Servers, command: list[str], jobs: int, is_over: Callable[[Redis], bool], **env: str) -> Figures:
    """Jobs/s from the first job's start to the moment at which the queue says that all are over."""
    mark = servers.folder / "started"
    mark.unlink(missing_ok=True)
    with servers.redis() as redis, process("worker", command, BENCH_STARTED=str(mark), **env) as worker:
        wait(lambda: mark.exists() and mark.stat().st_size > 0, worker)
        before = worker.processor_seconds()
        end = wait(lambda: is_over(redis), seconds=300)
        processor = worker.processor_seconds() - before
    return {"rate": jobs / (end - float(mark.read_text())), "processor": processor / jobs * 1e6}


def _python_peers(servers: Servers, jobs: int) -> list[tuple[str, Callable[[int], Figures]]]:
    peers = [
        ("RQ SimpleWorker", _rq(servers, "rq.SimpleWorker", jobs)),
        ("RQ Worker (forks)", _rq(servers, "rq.Worker", jobs // 4)),
    ]
    if _install_dramatiq():
        peers.append(("Dramatiq, 8 threads", _dramatiq(servers, jobs * 10)))
    return peers


def _rq(servers: Servers, worker_class: str, jobs: int) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        servers.empty_redis()
        with servers.redis() as redis:
            queue = Queue("bench", connection=redis, serializer=JSONSerializer)
            for _ in range(jobs):
                queue.enqueue("bench.jobs.noop_sync", PAYLOAD, result_ttl=0)
        script = Path(sys.executable).with_name("rq")
        options = ["--url", f"unix://{servers.valkey_socket}", "--serializer", "rq.serializers.JSONSerializer"]
        command = [str(script), "worker", *options, "--worker-class", worker_class, "--burst", "bench"]
        return timed(servers, command, jobs, lambda redis: not redis.llen("rq:queue:bench"))

    return once


def _install_dramatiq() -> bool:
    """Whether Dramatiq is there, in an environment of its own."""
    if not (VENV / "bin" / "dramatiq").exists():
        venv.create(VENV, with_pip=True)
        command = [str(VENV / "bin" / "pip"), "install", "--quiet", DRAMATIQ]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    return True


def _dramatiq(servers: Servers, jobs: int) -> Callable[[int], Figures]:
    def once(_: int) -> Figures:
        servers.empty_redis()
        fill_command = [str(VENV / "bin" / "python"), "-m", "bench.dramatiq_jobs", str(jobs)]
        subprocess.run(fill_command, cwd=ROOT, check=True)  # noqa: S603
        command = [str(VENV / "bin" / "dramatiq"), "bench.dramatiq_jobs", "--processes", "1", "--threads", "8"]
        # A message is there until its worker has acknowledged it.
        return timed(servers, command, jobs, lambda redis: not redis.exists("dramatiq:default.msgs"))

    return once
