"""News that nobody waits for is ignored and kept for a while; what somebody awaits becomes a job."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis as AsyncRedis

from queueops import awaited, connections, direct, dispatch, drain, fallback, ledger, tally
from queueops.jobs import Batch, Heard, Job, Lane, Receipt
from tests.queueops import outages

pytestmark = pytest.mark.usefixtures("threads")


@pytest.fixture(autouse=True)
def _forget() -> None:
    outages.forget()


def news(key: str = "echo:k", note: str = "1 mid.1", name: str = "a") -> Heard:
    job = Job(id=name, lane=Lane.DEFAULT, func=f"{outages.HERE}.once", payload={"name": name})
    return Heard(name="echo", key=key, note=note, job=job)


def batch(*heard: Heard) -> Batch:
    return Batch(heard=heard, ignored={"echo": len(heard)} if heard else {})


def ignored(redis) -> int:
    return int(redis.hget(ledger.IGNORED_KEY, "echo") or 0)


def test_what_nobody_awaits_is_counted_as_ignored_and_its_note_kept_for_a_while(redis, run):
    assert dispatch.dispatch_sync(batch(news())) == Receipt(accepted=0, duplicate=0, ignored=1)

    counts = ledger.read(redis)
    assert (counts.received, counts.ignored, counts.total("waiting"), counts.unexplained) == (1, 1, 0, 0)
    assert ignored(redis) == 1
    assert 0 < redis.ttl("cad:heard:echo:k") <= 900
    assert run(awaited.expect("echo:k")) == "1 mid.1"


def test_what_is_awaited_becomes_a_job_once(redis, run):
    assert run(awaited.expect("echo:k")) is None
    assert 0 < redis.ttl("cad:await:echo:k") <= 86_400

    assert dispatch.dispatch_sync(batch(news(), news("echo:other"))) == Receipt(accepted=1, duplicate=0, ignored=1)
    assert dispatch.dispatch_sync(batch(news())) == Receipt(accepted=0, duplicate=1, ignored=0)

    counts = ledger.read(redis)
    assert (counts.received, counts.duplicate, counts.ignored, counts.unexplained) == (3, 1, 1, 0)
    assert counts.lanes[Lane.DEFAULT].waiting == 1
    assert ignored(redis) == 1


def test_what_is_awaited_is_remembered_as_well_for_the_next_who_waits(run):
    run(awaited.expect("echo:k"))
    dispatch.dispatch_sync(batch(news(note="2 mid.2")))

    assert run(awaited.expect("echo:k")) == "2 mid.2"


def test_each_of_concurrent_batches_gets_its_own_receipt(redis, run):
    async def scenario() -> list[Receipt]:
        await awaited.expect("echo:1")
        jobs = [
            Batch(jobs=(news(name=f"job-{n}").job,), heard=(news(f"echo:{n}", name=f"n-{n}"),), ignored={"echo": 1})
            for n in range(3)
        ]
        return await asyncio.gather(*map(dispatch.dispatch, [*jobs, Batch(), batch(news("echo:1", name="n-1"))]))

    receipts = run(scenario())

    assert receipts == [Receipt(1, 0, 1), Receipt(2, 0, 0), Receipt(1, 0, 1), Receipt(0, 0, 0), Receipt(0, 1, 0)]
    counts = ledger.read(redis)
    assert (counts.received, counts.total("waiting"), counts.unexplained) == (7, 4, 0)


@pytest.mark.parametrize("take", [fallback.take, direct.take])
def test_in_tiers_that_cannot_know_what_is_awaited_it_is_work(redis, run, work, take):
    heard = Batch(jobs=(news(name="job").job,), heard=(news(),), ignored={"echo": 1, "read": 2})
    assert run(take(heard)) == Receipt(accepted=2, duplicate=0, ignored=2)

    while drain.drain(redis):
        pass
    work()
    assert sorted(outages.ran) == ["a", "job"]
    assert tally.ignored() == {"read": 2}
    counts = ledger.whole(redis)
    assert (counts.received, counts.completed, counts.ignored, counts.unexplained) == (4, 2, 2, 0)


def test_while_redis_is_away_nobody_waits(run, monkeypatch):
    monkeypatch.setattr(connections, "async_client", lambda: AsyncRedis(unix_socket_path="/nowhere.sock"))

    with pytest.raises(awaited.NotAwaited):
        run(awaited.expect("echo:k"))
