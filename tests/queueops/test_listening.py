"""A worker without work has claims waiting in Redis: they bring what comes, and none outlives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis import Redis

from queueops import connections
from queueops.claims import Claims
from queueops.exchanges import Exchanges
from queueops.jobs import Lane
from queueops.runner import Claimed, Settled
from queueops.slots import Room, Slots
from queueops.wire import Line
from tests.queueops import jobs_for_tests as jobs

WAITS = len(Lane)


class Worker:
    """What listens for a worker of so many slots; exchanges: how many there were besides."""

    def __init__(self, number: int, limit: int | None = None) -> None:
        changed = asyncio.Event()
        self.room = Room(number, changed.set)
        self.slots = Slots(self.room, _never)
        self.claims = Claims(connections.async_client(), "w1", list(Lane))
        self.all = Exchanges(connections.async_client(), self.claims, self.slots, changed, limit)


async def _never(*_: Any) -> Any:
    raise AssertionError("that is not expected")


@contextlib.asynccontextmanager
async def listening(redis: Redis, number: int, limit: int | None = None) -> AsyncIterator[Worker]:
    """One that has looked, found nothing, and waits for every lane."""
    worker = Worker(number, limit)
    tasks = [asyncio.create_task(worker.all.listen(lane)) for lane in Lane]
    worker.all.begin()
    await until(lambda: worker.all.quiet)
    worker.all.begin()
    await until(lambda: redis.info("clients")["blocked_clients"] == WAITS)
    try:
        yield worker
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def scenario(redis, run, threads):
    """Run it with a worker that listens: `scenario(act, number=200)`, where `act` is a coroutine function."""

    def scenario(act: Callable[[Worker], Awaitable[Any]], number: int = 200, limit: int | None = None) -> Any:
        async def whole() -> Any:
            async with listening(redis, number, limit) as worker:
                return await act(worker)

        return run(whole())

    return scenario


@pytest.mark.parametrize("lane", Lane)
def test_a_job_that_comes_alone_needs_no_exchange(put, scenario, lane):
    async def act(worker: Worker) -> None:
        worker.claims.exchange = _never  # type: ignore[method-assign,assignment]
        put("note", "alone", lane=lane)
        await until(lambda: worker.slots.ended)

    scenario(act)
    assert jobs.ran == [("alone", lane)]


def test_what_has_come_goes_before_the_next_wait(put, scenario):
    async def act(worker: Worker) -> None:
        put("count_waits", "alone")
        await until(lambda: worker.slots.ended)

    scenario(act)
    assert jobs.ran == [WAITS - 1]


def test_more_than_a_wait_may_bring_come_too(put, scenario):
    names = [f"job-{n}" for n in range(20)]

    async def act(worker: Worker) -> None:
        put("note", *names)
        await until(lambda: worker.slots.done == len(names))

    scenario(act)
    assert sorted(name for name, _ in jobs.ran) == sorted(names)


@pytest.mark.parametrize(("number", "limit"), [(1, None), (5, None), (200, 3)])
def test_few_places_are_not_kept_for_lanes_that_are_empty(put, scenario, number, limit):
    async def act(worker: Worker) -> int:
        free = worker.room.free
        put("note", "only", lane=Lane.LOW)
        await until(lambda: worker.slots.done == 1)
        return free

    assert scenario(act, number, limit) == number


def test_what_a_wait_brings_to_a_worker_that_stops_goes_back(redis, put, scenario):
    async def act(worker: Worker) -> None:
        worker.all.close()
        put("note", "first", "second")
        await worker.all.settle()

    scenario(act)
    assert jobs.ran == []
    assert [redis.hget(f"rq:job:{key.decode()}", "status") for key in redis.lrange("rq:queue:high", 0, -1)] == [
        b"queued",
        b"queued",
    ]
    assert not redis.exists("rq:wip:high")


def test_nothing_is_claimed_for_a_worker_that_has_stopped(redis, put, scenario):
    async def act(worker: Worker) -> None:
        worker.all.close()
        await worker.all.settle()
        put("note", "later")
        assert redis.info("clients")["blocked_clients"] == 0

    scenario(act)
    assert redis.llen("rq:queue:high") == 1
    assert not redis.exists("rq:wip:high")


def test_the_places_of_a_wait_that_was_cut_off_are_free_again(cut_connections, scenario):
    async def act(worker: Worker) -> tuple[int, int]:
        before = worker.room.free
        cut_connections()
        await until(lambda: not worker.all._waits)
        return before, worker.room.free

    before, after = scenario(act)
    assert before < after == 200


def test_a_job_is_never_shown_as_started_before_it_was_enqueued(redis, put, scenario):
    async def act(worker: Worker) -> None:
        put("hang", "slow")
        await until(lambda: worker.slots.running)
        ((job),) = worker.slots.running.values()
        enqueued, started = redis.hmget(f"rq:job:{job.id}", "enqueued_at", "started_at")
        assert enqueued <= started
        await worker.slots.clear()

    scenario(act)


def test_a_worker_is_shown_as_idle_again_after_a_claim_that_overtook_an_exchange(redis, put, run):
    redis.hset("rq:worker:w1", "state", "busy")

    async def overtaken() -> None:
        claims = Claims(connections.async_client(), "w1", list(Lane))
        line = Line(connections.async_client(), 5)
        claimed: list[Claimed] = []
        ask = claims._line.run

        async def ask_and_be_overtaken(*arguments: Any) -> Any:
            answer = await ask(*arguments)
            put("note", "one")
            claimed.extend((await claims.behind(("PING",), line, 1))[1])
            return answer

        claims._line.run = ask_and_be_overtaken  # type: ignore[method-assign,assignment]
        await claims.exchange([], 0, quiet=True)
        claims._line.run = ask  # type: ignore[method-assign]
        assert redis.hget("rq:worker:w1", "state") == b"busy"
        await claims.exchange([Settled(job, "completed") for job in claimed], 0, quiet=True)

    run(overtaken())
    assert redis.hget("rq:worker:w1", "state") == b"idle"
