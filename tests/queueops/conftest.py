from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import django_rq
import pytest
from redis import Redis

from queueops import dispatch
from queueops.jobs import Batch, Job, Lane, Receipt
from queueops.worker import LaneWorker
from tests.queueops import jobs_for_tests as jobs


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
