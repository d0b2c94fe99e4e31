"""Retries come back as long as a worker lives: a scheduler that died, or that another's lock kept out, is replaced."""

from __future__ import annotations

import os
import signal
from typing import Any

import django_rq
import pytest

from queueops import upkeep
from queueops.worker import LaneWorker
from tests.queueops.conftest import until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(upkeep, "RECOVER_SECONDS", 0.05)


@pytest.fixture
def worker(monkeypatch) -> Any:
    """The one that `while_working` runs."""
    worker: Any = django_rq.get_worker("high", "default", "low")
    monkeypatch.setattr(django_rq, "get_worker", lambda *names: worker)
    return worker


def is_at_it(worker: LaneWorker) -> bool:
    scheduler: Any = worker.scheduler
    process = scheduler and scheduler._process
    return bool(process and process.is_alive())


def test_one_that_was_killed_is_replaced(redis, while_working, worker):
    pids = []

    def act():
        until(lambda: is_at_it(worker), "the scheduler")
        first = worker.scheduler._process.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: is_at_it(worker) and worker.scheduler._process.pid != first, "the second scheduler")
        pids.extend([first, worker.scheduler._process.pid])

    while_working(act, with_scheduler=True)

    first, second = pids
    assert first != second
    assert not is_at_it(worker), "it outlives its worker"


def test_one_starts_when_another_workers_lock_is_gone(redis, while_working, worker):
    locks = [f"rq:scheduler-lock:{lane}" for lane in ("high", "default", "low")]
    for lock in locks:
        redis.set(lock, "another")

    def act():
        assert not is_at_it(worker)
        redis.delete(*locks)
        until(lambda: is_at_it(worker), "the scheduler")

    while_working(act, with_scheduler=True)


def test_a_worker_without_a_scheduler_gets_none(redis, while_working, worker):
    rounds = []
    worker.run_maintenance_tasks = lambda: rounds.append(1)

    while_working(lambda: until(lambda: len(rounds) > 2, "its upkeep"))

    assert worker.scheduler is None
