"""While Redis is away the same workers go on from the database, and go back by themselves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueops import connections, dispatch, drain, fallback, ledger, switches, tally, tiers
from queueops.breaker import Breaker
from queueops.claims import Claims
from queueops.exchanges import Exchanges
from queueops.jobs import Batch, Job, Lane
from queueops.models import FallbackJob
from queueops.slots import Room, Slots
from queueops.understudy import Understudy
from tests.product.stack import database_url
from tests.queueops import jobs_for_tests, outages
from tests.queueops.test_recovery import children
from tests.queueops.test_tiers import job

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture(autouse=True)
def _breaker(monkeypatch):
    outages.forget()
    breaker = Breaker(probe=lambda: False, every=3600.0)
    monkeypatch.setattr(tiers, "breaker", breaker)
    yield
    breaker.close()


def take(run, *names: str, func: str = "tests.queueops.jobs_for_tests.note", **payload: object) -> None:
    jobs = (Job(id=name, lane=Lane.HIGH, func=func, payload={"name": name, **payload}) for name in names)
    run(tiers.dispatch(Batch(jobs=tuple(jobs))))


@pytest.fixture
def worker(valkey) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py rqworker` on the test's own Valkey."""
    process = start_worker(valkey)
    yield process
    process.kill()
    process.wait()


def start_worker(valkey: outages.OwnValkey) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "rqworker", *Lane],
        env={**os.environ, "REDIS_URL": valkey.url, "DATABASE_URL": database_url()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def completed_in_database() -> int:
    return tally.read().counts["completed"]


def test_a_worker_goes_over_to_the_database_and_back_to_redis(valkey, run, worker):
    take(run, "first")
    outages.until(lambda: ledger.read(valkey.client).completed == 1, "the first job, from Redis")

    valkey.kill()
    take(run, "second")
    outages.until(lambda: completed_in_database() == 1, "the second, from the database")

    valkey.start()
    tiers.breaker.close()
    take(run, "third")
    outages.until(lambda: ledger.read(valkey.client).completed == 2, "the third, from Redis again")
    counts = ledger.whole(valkey.client)
    assert (counts.received, counts.completed, counts.unexplained) == (3, 3, 0)


def test_a_worker_moves_what_is_left_into_redis_by_itself(valkey, run, worker):
    outages.until(lambda: valkey.client.smembers("rq:workers"), "the worker's birth")
    run(
        fallback.take(
            Batch(jobs=(Job(id="a", lane=Lane.LOW, func="tests.queueops.jobs_for_tests.note", payload={"name": "a"}),))
        )
    )

    outages.until(lambda: ledger.read(valkey.client).completed == 1, "the job, moved and run")
    assert ledger.whole(valkey.client).unexplained == 0


def test_a_worker_that_starts_while_redis_is_away_stands_in_until_it_is_back(valkey, run):
    valkey.kill()
    worker = start_worker(valkey)
    try:
        take(run, "a")
        outages.until(lambda: completed_in_database() == 1, "the job, from the database")
        valkey.start()
        tiers.breaker.close()
        take(run, "b")
        outages.until(lambda: ledger.read(valkey.client).completed == 1, "the next job, from Redis")
        worker.terminate()
        assert worker.wait(outages.SECONDS) == 0
    finally:
        worker.kill()
        worker.wait()


def test_nothing_is_left_of_a_worker_that_is_killed_while_redis_is_away(valkey, worker):
    outages.until(lambda: valkey.client.smembers("rq:workers"), "the worker's birth")
    outages.until(lambda: children(worker.pid), "its scheduler's process")
    left = children(worker.pid)

    valkey.kill()
    worker.kill()
    worker.wait()

    outages.until(lambda: not any(map(is_running, left)), "the end of its scheduler")


def is_running(pid: int) -> bool:
    """A process that has ended, and whose end nobody has taken note of yet, has no command line."""
    line = Path(f"/proc/{pid}/cmdline")
    return line.exists() and bool(line.read_bytes())


def test_a_worker_told_to_stop_while_it_stands_in_ends_in_order(valkey, run):
    valkey.kill()
    worker = start_worker(valkey)
    try:
        take(run, "a")
        outages.until(lambda: completed_in_database() == 1, "the job, from the database")
        worker.terminate()
        assert worker.wait(outages.SECONDS) == 0
    finally:
        worker.kill()
        worker.wait()


def test_the_rows_of_a_killed_worker_come_back_when_their_lease_ends(valkey, run):
    valkey.kill()
    take(run, "a", func="tests.queueops.jobs_for_tests.hang")
    worker = start_worker(valkey)
    outages.until(lambda: FallbackJob.objects.exclude(leased_by="").exists(), "the claim")
    worker.kill()
    worker.wait()

    FallbackJob.objects.update(lease_until=None)
    valkey.start()

    assert drain.drain(valkey.client) == 1
    counts = ledger.whole(valkey.client)
    assert (counts.total("waiting"), counts.unexplained) == (1, 0)


def test_what_is_in_flight_is_given_back_when_the_worker_must_go(valkey, run):
    run(
        fallback.take(
            Batch(
                jobs=(
                    job("a"),
                    Job(id="b", lane=Lane.LOW, func="tests.queueops.jobs_for_tests.hang", payload={"name": "b"}),
                )
            )
        )
    )
    valkey.kill()

    async def work() -> None:
        understudy = Understudy("one", list(Lane), Room(10, lambda: None))
        attending = asyncio.create_task(understudy.attend())
        async with asyncio.timeout(outages.SECONDS):
            while not outages.ran:
                await asyncio.sleep(0)
        await understudy.finish(lambda: True)
        attending.cancel()

    run(work())
    row = FallbackJob.objects.get()
    assert (row.job, row.leased_by, row.attempts) == ("b", "", 0)
    assert completed_in_database() == 1


def test_a_lane_that_was_paused_before_redis_went_is_not_worked_from(valkey, run, not_switched):
    run(fallback.take(Batch(jobs=(job("paused", Lane.LOW), job("open", Lane.HIGH)))))
    switches.pause(Lane.LOW, "viral post", "maria.example")
    valkey.kill()

    async def work() -> None:
        understudy = Understudy("one", [Lane.LOW, Lane.HIGH], Room(10, lambda: None))
        attending = asyncio.create_task(understudy.attend())
        async with asyncio.timeout(outages.SECONDS):
            while not outages.ran:
                await asyncio.sleep(0)
        await understudy.finish(lambda: False)
        attending.cancel()

    run(work())
    assert outages.ran == ["open"]
    assert [row.job for row in FallbackJob.objects.all()] == ["paused"]


def test_jobs_of_both_tiers_share_one_workers_room(redis, run):
    def batch(letter: str) -> Batch:
        note, seconds = "tests.queueops.jobs_for_tests.note", 0.001
        names = [f"{letter}-{n}" for n in range(30)]
        jobs = (Job(id=one, lane=Lane.HIGH, func=note, payload={"name": one, "seconds": seconds}) for one in names)
        return Batch(jobs=tuple(jobs))

    async def work() -> None:
        await dispatch.dispatch(batch("redis"))
        await fallback.take(batch("database"))
        changed = asyncio.Event()
        room = Room(3, changed.set)
        claims = Claims(connections.async_client(), "one", list(Lane))
        slots = Slots(room, lambda job: pytest.fail(f"{job.id} is not RQ's"))
        exchanges = Exchanges(connections.async_client(), claims, slots, changed, None)
        understudy = Understudy("one", list(Lane), room, lambda: False)
        attending = asyncio.create_task(understudy.attend())
        async with asyncio.timeout(outages.SECONDS):
            while len(jobs_for_tests.ran) < 60:
                changed.clear()
                exchanges.begin()
                await changed.wait()
        await understudy.finish(lambda: False)
        exchanges.close()
        await exchanges.settle()
        attending.cancel()

    jobs_for_tests.forget()
    run(work())
    assert jobs_for_tests.most_in_flight == 3
    assert ledger.whole(redis).completed == 60
