"""Redis without memory (`noeviction`) takes nothing new; what it has is worked off, once each, by workers that count as
alive."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import django_rq
import pytest
from redis.exceptions import OutOfMemoryError

from queueops import connections, ledger, recovery, tally, tiers
from queueops.breaker import Breaker
from queueops.claims import Claims
from queueops.jobs import Batch, Job, Lane
from queueops.runner import Settled
from queueops.slots import Room, Slots
from queueops.upkeep import Upkeep
from tests.product.stack import database_url
from tests.queueops import outages

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture(autouse=True)
def _breaker(monkeypatch):
    breaker = Breaker(probe=lambda: False, every=3600.0)
    monkeypatch.setattr(tiers, "breaker", breaker)
    yield
    breaker.close()


def batch(*names: str, lane: Lane = Lane.HIGH, **payload: object) -> Batch:
    func = "tests.queueops.jobs_for_tests.note"
    return Batch(jobs=tuple(Job(id=name, lane=lane, func=func, payload={"name": name, **payload}) for name in names))


def fill(valkey: outages.OwnValkey) -> None:
    valkey.client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        valkey.client.set("any", "1")


def test_every_end_of_a_job_is_settled_and_the_next_are_claimed(valkey, run):
    names = [f"job-{n}" for n in range(8)]

    async def scenario() -> list[str]:
        await tiers.dispatch(batch(*names))
        claims = Claims(connections.async_client(), "one", list(Lane))
        first = await claims.exchange([], 4)
        fill(valkey)
        ways = ("completed", "retry", "dead", "back")
        ended = [Settled(job, how, "1", 1) for job, how in zip(first, ways, strict=True)]
        second = await claims.exchange(ended, 4)
        await claims.exchange([Settled(job, "completed") for job in second], 0)
        return [job.id for job in second]

    second = run(scenario())

    assert second == ["job-3", "job-4", "job-5", "job-6"]  # the one that was given back stands first
    counts = ledger.whole(valkey.client)
    places = {place: counts.total(place) for place in ("waiting", "active", "retrying", "dead")}
    assert places == {"waiting": 1, "active": 0, "retrying": 1, "dead": 1}
    assert (counts.received, counts.completed, counts.unexplained) == (8, 5, 0)


def test_a_worker_and_its_jobs_are_not_taken_for_dead(valkey, run):
    worker = django_rq.get_worker(*Lane)
    worker.connection = valkey.client
    worker.register_birth()
    # As if on another host: here a process id would say that it lives.
    valkey.client.hset(worker.key, mapping={"hostname": "elsewhere.example", "alive_at": time.time()})

    async def scenario() -> None:
        await tiers.dispatch(batch("a"))
        claims = Claims(connections.async_client(), worker.name, list(Lane))
        slots = Slots(Room(1, lambda: None), lambda job: pytest.fail("RQ's own"))
        [job] = await claims.exchange([], 1)
        slots.start(job)
        # As if both had been silent for long.
        valkey.client.hset(worker.key, "alive_at", "1")
        valkey.client.zadd("rq:wip:high", {f"{job.id}:{job.execution}": 1})
        fill(valkey)
        await Upkeep(worker, claims, slots)._beat()
        await slots.clear()

    run(scenario())

    assert valkey.client.hget(worker.key, "in_flight") == b"1"
    assert sum(recovery.recover(valkey.client).back.values()) == 0
    assert valkey.client.zcard("rq:wip:high") == 1


def test_a_worker_goes_on_with_what_redis_has_and_with_what_the_database_takes(valkey, run):
    redis_has, database_takes = [f"r-{n}" for n in range(12)], [f"d-{n}" for n in range(6)]
    run(tiers.dispatch(batch(*redis_has, seconds=0.01)))
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "rqworker", *Lane],
        env={**os.environ, "REDIS_URL": valkey.url, "DATABASE_URL": database_url(), "QUEUE_CONCURRENCY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        outages.until(lambda: ledger.read(valkey.client).completed, "the first job")
        fill(valkey)
        run(tiers.dispatch(batch(*database_takes)))
        outages.until(lambda: ledger.read(valkey.client).completed == 12, "what Redis had")
        outages.until(lambda: tally.read().counts["completed"] == 6, "what the database took")
    finally:
        worker.kill()
        worker.wait()

    counts = ledger.whole(valkey.client)
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (18, 18, 0, 0)
