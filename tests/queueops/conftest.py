from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django import db
from redis import Redis
from rq.suspension import WORKERS_SUSPENDED

from queueops import dispatch, switches
from queueops.jobs import Batch, Job, Lane, Receipt
from queueops.worker import LaneWorker
from tests.queueops import jobs_for_tests as jobs
from tests.queueops import outages


@pytest.fixture(autouse=True)
def _fresh(redis: Redis) -> None:
    jobs.forget()


@pytest.fixture
def put() -> Callable[..., Receipt]:
    """Take jobs in: put("note", "a", "b", lane=Lane.LOW)."""

    def put(func: str, *names: str, lane: Lane = Lane.HIGH, tenant: str = "", **payload: Any) -> Receipt:
        return dispatch.dispatch_sync(
            Batch(
                jobs=tuple(
                    Job(
                        id=name,
                        lane=lane,
                        func=f"{jobs.HERE}.{func}",
                        payload={"name": name, **payload},
                        tenant=tenant,
                    )
                    for name in names
                )
            )
        )

    return put


@pytest.fixture
def work(threads: None, settings: Any) -> Callable[..., LaneWorker]:
    """Run a worker until the lanes are empty."""

    def work(**options: Any) -> LaneWorker:
        worker = django_rq.get_worker("high", "default", "low")
        assert isinstance(worker, LaneWorker)
        concurrency = options.pop("concurrency", None)
        if concurrency:
            worker.concurrency = concurrency
        with contextlib.suppress(SystemExit):
            worker.work(**{"burst": True, "with_scheduler": False, "logging_level": "WARNING", **options})
        return worker

    return work


@pytest.fixture
def valkey() -> Iterator[outages.OwnValkey]:
    """A Valkey of the test's own, to be killed, frozen and filled."""
    folder = Path(tempfile.mkdtemp(prefix="cad-", dir="/tmp"))  # short: a socket's path may have 107 bytes
    outages.forget()
    with outages.own_valkey(folder) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], Any], what: str = "it") -> None:
    """Wait for the condition, for at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"


@pytest.fixture
def while_working(redis: Redis, work: Callable[..., LaneWorker]) -> Callable[..., LaneWorker]:
    """Call `act` in a thread while a worker runs, and tell that to stop when it returns."""

    def is_at_work() -> bool:
        states = [redis.hget(key, "state") for key in redis.smembers("rq:workers")]
        return any(state in (b"idle", b"busy", b"suspended") for state in states)

    def while_working(act: Callable[[], None], **options: Any) -> LaneWorker:
        def then_stop() -> None:
            until(is_at_work, "the worker")
            try:
                act()
            finally:
                jobs.released.set()
                db.connections.close_all()
                os.kill(os.getpid(), signal.SIGTERM)

        with ThreadPoolExecutor(1) as thread:
            acted = thread.submit(then_stop)
            worker = work(**{"burst": False, **options})
            acted.result()
        return worker

    return while_working


@pytest.fixture
def not_switched(redis: Redis) -> Iterator[None]:
    """Afterwards nothing is switched any more."""
    yield
    redis.delete(switches.KEY, WORKERS_SUSPENDED)
    switches.look(redis)
