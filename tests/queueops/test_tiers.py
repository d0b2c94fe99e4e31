"""One contract, three tiers: each takes a batch as a whole, on disk and counted, or raises."""

from __future__ import annotations

import asyncio

import pytest

from queueops import (
    connections,
    database,
    direct,
    dispatch,
    drain,
    fallback,
    leases,
    ledger,
    runner,
    taking,
    tally,
    tiers,
)
from queueops.breaker import Breaker
from queueops.jobs import Batch, Job, Lane, Receipt
from queueops.models import FallbackJob
from queueops.switches import Mode
from tests.queueops import outages

pytestmark = pytest.mark.usefixtures("threads")

TIERS = {"redis": tiers.redis, "database": fallback.take, "direct": direct.take}


@pytest.fixture(autouse=True)
def _breaker(monkeypatch):
    """A new one, which only the test closes."""
    outages.forget()
    breaker = Breaker(probe=lambda: False, every=3600.0)
    monkeypatch.setattr(tiers, "breaker", breaker)
    yield
    breaker.close()


def job(name: str, lane: Lane = Lane.LOW, func: str = "once", **payload: object) -> Job:
    return Job(id=name, lane=lane, func=f"{outages.HERE}.{func}", payload={"name": name, **payload})


def batch(*names: str) -> Batch:
    return Batch(jobs=tuple(job(name) for name in names))


@pytest.fixture
def finish(work):
    """Move what lies in the database, and work until nothing is left."""

    def finish() -> ledger.Ledger:
        redis = connections.client()
        while drain.drain(redis):
            pass
        work()
        return ledger.whole(redis)

    return finish


# --- The contract ----------------------------------------------------------------------------------------------------

every_tier = pytest.mark.parametrize("take", TIERS.values(), ids=TIERS.keys())


@every_tier
def test_it_takes_a_batch_and_every_job_of_it_runs_once(redis, run, finish, take):
    assert run(take(batch("a", "b", "c"))) == Receipt(accepted=3, duplicate=0, ignored=0)

    assert ledger.whole(redis).unexplained == 0
    counts = finish()
    assert sorted(outages.ran) == ["a", "b", "c"]
    assert (counts.received, counts.completed, counts.fallback, counts.unexplained) == (3, 3, 0, 0)


@every_tier
def test_a_job_twice_in_a_batch_is_one_job_and_one_duplicate(redis, run, finish, take):
    assert run(take(batch("a", "b", "a"))) == Receipt(accepted=2, duplicate=1, ignored=0)

    counts = finish()
    assert sorted(outages.ran) == ["a", "b"]
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (3, 2, 1, 0)


@every_tier
def test_a_batch_again_is_counted_as_duplicates(redis, run, finish, take):
    run(take(batch("a", "b")))
    again = run(take(batch("a", "b")))

    assert again == Receipt(accepted=0, duplicate=2, ignored=0)
    counts = finish()
    assert sorted(outages.ran) == ["a", "b"]
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (4, 2, 2, 0)


@every_tier
def test_what_is_ignored_is_counted_by_name_and_what_is_unusable_is_kept(redis, run, finish, take):
    receipt = run(take(Batch(ignored={"echo": 2, "unusable": 1}, kept=(("not JSON", b"{\xff"),))))

    assert receipt == Receipt(accepted=0, duplicate=0, ignored=3)
    counts = finish()
    assert (counts.received, counts.ignored, counts.unexplained) == (3, 3, 0)
    in_redis = {name.decode(): int(n) for name, n in redis.hgetall(ledger.IGNORED_KEY).items()}
    assert (tally.ignored() or in_redis) == {"echo": 2, "unusable": 1}
    [(_, entry)] = redis.xrange(taking.KEPT_KEY)
    assert entry[b"reason"] == b"not JSON"


@every_tier
def test_a_payload_that_is_not_json_is_the_callers_error_and_nothing_is_taken(redis, run, take):
    async def refused() -> None:
        with pytest.raises(TypeError):
            await take(Batch(jobs=(job("a"), job("b", text="cut \ud83d"))))

    run(refused())
    assert ledger.whole(redis).received == 0
    assert outages.ran == []


@every_tier
def test_concurrent_callers_get_their_own_receipts(redis, run, finish, take):
    async def many() -> list[Receipt]:
        found = await asyncio.gather(*(take(Batch(jobs=(job(f"job-{n}"),), ignored={"echo": n})) for n in range(20)))
        return list(found)

    receipts = run(many())

    assert receipts == [Receipt(1, 0, n) for n in range(20)]
    assert len(set(outages.ran)) == len(outages.ran)
    assert finish().unexplained == 0


@every_tier
def test_it_raises_when_its_place_is_away_and_has_taken_nothing(valkey, run, take):
    async def refused() -> None:
        with pytest.raises(dispatch.Unavailable):
            await take(batch("a"))

    if take is tiers.redis:
        valkey.kill()
    with outages.no_database():
        run(refused())
    if take is tiers.redis:
        valkey.start()
    assert ledger.whole(valkey.client).received == 0


# --- Which one -------------------------------------------------------------------------------------------------------


def where(valkey: outages.OwnValkey) -> tuple[int, int]:
    """How many jobs wait in Redis, and in the database."""
    return ledger.read(valkey.client).total("waiting"), FallbackJob.objects.count()


def test_redis_is_the_first_choice(valkey, run):
    run(tiers.dispatch(batch("a")))

    assert where(valkey) == (1, 0)


def test_a_refusing_redis_is_passed_over_and_nobody_asks_it_again(valkey, run):
    valkey.kill()
    run(tiers.dispatch(batch("a")))
    assert tiers.breaker.is_open

    valkey.start()  # back, but no probe has said so
    run(tiers.dispatch(batch("b")))
    assert where(valkey) == (0, 2)

    tiers.breaker.close()
    run(tiers.dispatch(batch("c")))
    assert where(valkey) == (1, 2)


def test_both_doors_fall_back(valkey, run):
    async def soon() -> Receipt:
        return await tiers.dispatch_soon(batch("a"))

    valkey.kill()
    assert run(soon()) == Receipt(1, 0, 0)
    assert tiers.dispatch_sync(batch("b")) == Receipt(1, 0, 0)

    assert FallbackJob.objects.count() == 2


def test_a_redis_that_is_out_of_memory_is_passed_over(valkey, run):
    valkey.client.config_set("maxmemory", 1)

    run(tiers.dispatch(batch("a")))

    assert FallbackJob.objects.count() == 1
    valkey.client.config_set("maxmemory", 0)
    assert where(valkey) == (0, 1)


def test_a_replica_is_passed_over(valkey, run):
    valkey.client.replicaof("127.0.0.1", "1")

    run(tiers.dispatch(batch("a")))

    assert FallbackJob.objects.count() == 1
    assert tiers.breaker.is_open


def test_a_redis_that_cannot_save_to_its_disk_is_passed_over(valkey, run, caplog):
    valkey.lose_disk()

    run(tiers.dispatch(batch("a")))

    assert FallbackJob.objects.count() == 1
    assert "action=redis_away reason=MISCONF" in caplog.text


def test_a_redis_that_loads_its_data_is_passed_over(valkey, run, caplog):
    valkey.kill()
    valkey.socket.unlink(missing_ok=True)

    async def take() -> None:
        async with outages.refusing(valkey.socket, b"LOADING Redis is loading the dataset in memory"):
            await tiers.dispatch(batch("a"))

    run(take())
    assert FallbackJob.objects.count() == 1
    assert "action=redis_away reason=Redis is loading" in caplog.text


def test_a_full_queue_sends_the_rest_to_the_database_and_takes_them_in_when_it_has_room(valkey, run, settings):
    settings.QUEUE_MAX_DEPTH = 2
    run(tiers.dispatch(batch("a", "b")))
    run(tiers.dispatch(batch("c", "d")))
    assert where(valkey) == (2, 2)
    assert not tiers.breaker.is_open

    assert drain.drain(valkey.client) == 0
    assert FallbackJob.objects.filter(moving=True).count() == 0

    valkey.client.lpop("rq:queue:low")
    assert drain.drain(valkey.client) == 1
    assert where(valkey) == (2, 1)


def test_with_both_away_it_is_refused(valkey, run):
    async def refused() -> None:
        with pytest.raises(dispatch.Unavailable):
            await tiers.dispatch(batch("a"))

    valkey.kill()
    with outages.no_database():
        run(refused())


def test_when_only_the_insert_fails_the_request_does_the_work_itself(valkey, run, monkeypatch):
    async def fails(batch: Batch) -> Receipt:
        raise dispatch.Unavailable("a lock that somebody holds")

    monkeypatch.setitem(tiers.TIERS, Mode.QUEUE, (tiers.redis, fails, direct.take))
    valkey.kill()

    assert run(tiers.dispatch(batch("a"))) == Receipt(1, 0, 0)

    assert outages.ran == ["a"]
    assert tally.read().counts == {"received": 1, "completed": 1}


# --- An unknown outcome ----------------------------------------------------------------------------------------------


@pytest.fixture
def taken_twice(valkey, run, monkeypatch):
    """Redis froze with the script under way: the database took the job, and Redis, thawed, takes it as well."""
    monkeypatch.setattr(dispatch, "PATIENCE_SECONDS", connections.PATIENCE_SECONDS)  # other tests have more of it

    async def take() -> None:
        await tiers.dispatch(batch("before"))  # the connection is there, and the script known
        valkey.freeze()
        assert await tiers.dispatch(batch("a")) == Receipt(1, 0, 0)

    run(take())
    assert tiers.breaker.is_open


def test_a_frozen_redis_is_given_up_after_a_quarter_of_a_second(taken_twice, caplog):
    said = [record.getMessage() for record in caplog.get_records("setup")]

    assert said == ["action=redis_away reason=Redis did not answer within 0.25 s"]


def thaw(valkey: outages.OwnValkey) -> None:
    valkey.thaw()
    outages.until(lambda: valkey.client.exists("rq:job:a"), "the script that was under way when Redis froze")


def test_a_job_that_both_took_is_one_when_redis_gets_it_from_the_database(valkey, taken_twice, finish):
    thaw(valkey)

    counts = finish()

    assert sorted(outages.ran) == ["a", "before"]
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (3, 2, 1, 0)


def test_a_job_that_both_took_runs_once_when_the_database_was_quicker(valkey, taken_twice, finish, run):
    run(work_from_the_database())
    assert outages.ran == ["a"]

    thaw(valkey)
    counts = finish()

    assert sorted(outages.ran) == ["a", "before"]
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (3, 2, 1, 0)


def test_a_job_that_both_took_runs_once_when_redis_was_quicker_and_has_forgotten_it(valkey, taken_twice, work, run):
    thaw(valkey)
    work()
    valkey.client.delete("cad:seen:a")

    run(work_from_the_database())

    counts = ledger.whole(valkey.client)
    assert sorted(outages.ran) == ["a", "before"]
    assert (counts.received, counts.completed, counts.duplicate, counts.unexplained) == (3, 2, 1, 0)


async def work_from_the_database() -> None:
    """As a worker does while Redis is away."""
    for claimed in await database.run(leases.claim, list(Lane), 10):
        await database.run(leases.settle, [await runner.run(claimed)])
