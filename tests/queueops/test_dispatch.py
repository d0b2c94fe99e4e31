"""Taking work in: duplicates are marked, jobs enqueued and counts moved in one step, for many callers at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib

import django_rq
import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from queueops import connections, dispatch, ledger, taking
from queueops.jobs import Batch, Job, Lane, Receipt
from tests.queueops import jobs_for_tests as jobs


def job(name: str, lane: Lane = Lane.LOW, tenant: str = "") -> Job:
    return Job(id=name, lane=lane, func=f"{jobs.HERE}.note", payload={"name": name}, tenant=tenant)


def test_a_job_lies_in_its_lane_as_rq_itself_would_read_it(redis, put):
    assert put("note", "a", lane=Lane.DEFAULT) == Receipt(accepted=1, duplicate=0, ignored=0)

    queue = django_rq.get_queue("default")
    assert queue.job_ids == ["a"]
    job = queue.fetch_job("a")
    assert job.func_name == f"{jobs.HERE}.note"
    assert job.args[0] == {"name": "a"}
    assert job.get_status() == "queued"


def test_the_same_job_again_is_a_duplicate_in_the_same_batch_and_in_a_later_one(redis, put):
    assert put("note", "a", "b", "a") == Receipt(accepted=2, duplicate=1, ignored=0)
    assert put("note", "b", lane=Lane.LOW) == Receipt(accepted=0, duplicate=1, ignored=0)

    counts = ledger.read(redis)
    assert (counts.received, counts.duplicate, counts.total("waiting"), counts.unexplained) == (4, 2, 2, 0)


def test_a_job_is_remembered_for_the_window_after_it_ended(redis, put, work):
    put("note", "a")
    work()

    assert put("note", "a").duplicate == 1
    assert 0 < redis.ttl("cad:seen:a") <= 10


def test_a_job_that_waits_for_long_is_remembered_without_a_window(redis, put):
    put("note", "a")
    redis.delete("cad:seen:a")

    assert put("note", "a").duplicate == 1


def test_a_tenant_that_comes_first_goes_one_lane_up(redis):
    redis.sadd(taking.VIP_KEY, "vip")

    dispatch.dispatch_sync(Batch(jobs=(job("a", Lane.LOW, "vip"), job("b", Lane.HIGH, "vip"), job("c", Lane.LOW, "x"))))

    waiting = {lane: counts.waiting for lane, counts in ledger.read(redis).lanes.items()}
    assert waiting == {Lane.HIGH: 1, Lane.DEFAULT: 1, Lane.LOW: 1}
    assert redis.hget("rq:job:a", "origin") == b"default"


def test_what_is_ignored_is_counted_by_name_and_what_is_unusable_is_kept(redis):
    receipt = dispatch.dispatch_sync(Batch(ignored={"echo": 2, "unusable": 1}, kept=(("not JSON", b"{\xff"),)))

    assert receipt == Receipt(accepted=0, duplicate=0, ignored=3)
    assert redis.hgetall(ledger.IGNORED_KEY) == {b"echo": b"2", b"unusable": b"1"}
    assert ledger.read(redis).as_json()["unexplained"] == 0
    [(_, entry)] = redis.xrange(taking.KEPT_KEY)
    assert entry[b"reason"] == b"not JSON"
    assert zlib.decompress(entry[b"raw"]) == b"{\xff"


def test_concurrent_callers_share_one_round_trip_and_get_their_own_receipts(redis, run):
    calls_before = redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]

    async def many() -> list[Receipt]:
        return await asyncio.gather(
            *(dispatch.dispatch(Batch(jobs=(job(f"job-{n // 2}"),), ignored={"echo": n % 3})) for n in range(100))
        )

    receipts = run(many())

    assert sum(receipt.accepted for receipt in receipts) == 50
    assert [receipt.ignored for receipt in receipts] == [n % 3 for n in range(100)]
    assert ledger.read(redis).unexplained == 0
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"] - calls_before
    assert calls <= 5


def test_a_payload_that_is_not_json_fails_its_own_caller_only(redis, run):
    bad = Job(id="bad", lane=Lane.LOW, func="x.y", payload={"text": "cut \ud83d"})

    async def both() -> tuple[object, object]:
        return await asyncio.gather(
            dispatch.dispatch(Batch(jobs=(bad,))), dispatch.dispatch(Batch(jobs=(job("a"),))), return_exceptions=True
        )

    failed, receipt = run(both())
    assert isinstance(failed, TypeError)
    assert receipt == Receipt(1, 0, 0)


def test_a_batch_of_a_thousand_is_taken_whole(redis):
    receipt = dispatch.dispatch_sync(Batch(jobs=tuple(job(f"job-{n}") for n in range(1000))))

    assert receipt.accepted == 1000
    assert json.loads(redis.hget("rq:job:job-999", "data"))[2][0] == {"name": "job-999"}


def test_a_dead_redis_is_said_to_be_unavailable_until_it_is_back(redis, run, monkeypatch):
    async def submit() -> list[object]:
        group = dispatch.GroupCommit()
        monkeypatch.setattr(connections, "async_client", lambda: nobody)
        refused = await asyncio.gather(
            *(group.submit(Batch(jobs=(job(f"{n}"),))) for n in range(3)), return_exceptions=True
        )
        monkeypatch.undo()
        receipt = await group.submit(Batch(jobs=(job("0"),)))
        await group.close()
        return [*refused, receipt]

    nobody = AsyncRedis.from_url("unix:///nowhere/valkey.sock", retry=Retry(NoBackoff(), 0))
    *refused, receipt = run(submit())
    assert [type(one) for one in refused] == [dispatch.Unavailable] * 3
    assert receipt == Receipt(1, 0, 0)


def test_a_lost_connection_is_opened_anew_for_the_next_batch(run, cut_connections):
    async def submit() -> list[Receipt]:
        first = await dispatch.dispatch(Batch(jobs=(job("a"),)))
        cut_connections()
        with contextlib.suppress(dispatch.Unavailable):  # whether the loss was noticed before or after is chance
            await dispatch.dispatch(Batch(ignored={"echo": 1}))
        return [first, await dispatch.dispatch(Batch(jobs=(job("a"),)))]

    assert run(submit()) == [Receipt(1, 0, 0), Receipt(0, 1, 0)]


def test_what_was_submitted_is_kept_before_the_process_ends(redis, run):
    async def submit() -> Receipt:
        group = dispatch.GroupCommit()
        waiting = group.submit(Batch(jobs=(job("a"),)))
        await group.close()
        return await waiting

    assert run(submit()) == Receipt(1, 0, 0)


def test_redis_takes_no_more_than_it_may_hold(redis, run, settings):
    settings.QUEUE_MAX_DEPTH = 2
    assert dispatch.dispatch_sync(Batch(jobs=(job("a"), job("b", Lane.HIGH)))).accepted == 2

    for full in (
        lambda: dispatch.dispatch_sync(Batch(jobs=(job("c"),))),
        lambda: run(dispatch.dispatch(Batch(jobs=(job("c"),)))),
    ):
        with pytest.raises(dispatch.Full):
            full()
    assert ledger.read(redis).received == 2


def test_a_lane_that_rq_forgot_is_known_to_it_again(redis, put):
    put("note", "a", lane=Lane.LOW)
    assert redis.smembers("rq:queues") == {b"rq:queue:low"}


def test_a_full_redis_is_said_to_be_unavailable_and_nothing_of_the_batch_is_half_done(redis):
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(dispatch.Unavailable):
            dispatch.dispatch_sync(Batch(jobs=(job("a"),)))
    finally:
        redis.config_set("maxmemory", 0)
    assert redis.dbsize() == 0
    assert connections.client().ping()


def test_a_flood_beyond_the_limit_is_taken_at_the_lowest_priority_and_counted(redis, settings):
    settings.QUEUE_MAX_WEBHOOKS_PER_MINUTE = 2
    redis.sadd(taking.VIP_KEY, "vip")

    taken = [
        dispatch.dispatch_sync(Batch(jobs=(job("a", Lane.HIGH), job("b", Lane.HIGH), job("c", Lane.HIGH)))).accepted,
        dispatch.dispatch_sync(Batch(jobs=(job("d", Lane.HIGH), job("e", Lane.HIGH, tenant="vip")))).accepted,
    ]

    assert taken == [3, 2]
    assert redis.lrange("rq:queue:high", 0, -1) == [b"a", b"b"]
    assert redis.lrange("rq:queue:default", 0, -1) == [b"e"]
    assert redis.lrange("rq:queue:low", 0, -1) == [b"c", b"d"]
    counts = ledger.read(redis)
    assert (counts.deferred, counts.unexplained) == (3, 0)


def test_without_a_flood_limit_nothing_is_put_off(redis, settings):
    settings.QUEUE_MAX_WEBHOOKS_PER_MINUTE = 0

    dispatch.dispatch_sync(Batch(jobs=tuple(job(str(n), Lane.HIGH) for n in range(50))))

    assert redis.llen("rq:queue:high") == 50
    assert ledger.read(redis).deferred == 0
