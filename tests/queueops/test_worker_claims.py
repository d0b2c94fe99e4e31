"""What one exchange with the lanes may do: how much it claims, of which lane, and what it settles."""

from __future__ import annotations

import time

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queueops import connections, dispatch, ledger, moves, recovery, shares
from queueops.claims import Claims
from queueops.jobs import Batch, Job, Lane
from queueops.rq_jobs import rq_now
from queueops.runner import Settled
from tests.queueops import jobs_for_tests as jobs

LANES = list(Lane)


def fill(**lanes: int) -> None:
    """So many jobs of each lane: fill(high=10, low=3)."""
    waiting = (
        Job(id=f"{lane}-{n}", lane=Lane(lane), func=f"{jobs.HERE}.note", payload={})
        for lane, count in lanes.items()
        for n in range(count)
    )
    dispatch.dispatch_sync(Batch(jobs=tuple(waiting)))


def claims() -> Claims:
    return Claims(connections.async_client(), "w1", LANES)


@pytest.fixture
def exchange(run):
    """Exchange as one worker does, time after time: `exchange([], 10, 5)` asks for 10 jobs and then for 5."""

    def exchange(ended, *asked):
        async def one_after_the_other():
            worker = claims()
            return [await worker.exchange(ended if n == 0 else [], free) for n, free in enumerate(asked)]

        return run(one_after_the_other())

    return exchange


def lanes_of(claimed) -> list[str]:
    return [job.lane for job in claimed]


waiting = st.integers(0, 60)
# Each example empties Valkey itself.
few_examples = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few_examples
@given(high=waiting, default=waiting, low=waiting, asked=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_however_it_is_asked_it_claims_what_there_is_and_never_more(redis, exchange, high, default, low, asked):
    redis.flushall()
    fill(high=high, default=default, low=low)
    left = high + default + low

    for free, claimed in zip(asked, exchange([], *asked), strict=True):
        assert len(claimed) == min(free, left)
        assert lanes_of(claimed) == sorted(lanes_of(claimed), key=lambda lane: LANES.index(Lane(lane)))
        left -= len(claimed)

    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.unexplained) == (left, 0)


@few_examples
@given(slots=st.integers(1, 12), rounds=st.integers(1, 10))
def test_full_lanes_keep_their_shares_however_few_slots_are_free_at_a_time(redis, exchange, slots, rounds):
    redis.flushall()
    fill(high=120, default=30, low=30)

    lanes = lanes_of(job for claimed in exchange([], *[slots] * rounds) for job in claimed)

    claimed = slots * rounds
    assert len(lanes) == claimed
    assert lanes.count("low") == (claimed + 10) // 20
    assert lanes.count("default") == (claimed + 15) // 20 + (claimed + 5) // 20


@few_examples
@given(default=st.integers(0, 40), low=st.integers(0, 40), slots=st.integers(1, 7))
def test_the_shares_are_those_that_are_set(redis, exchange, default, low, slots):
    redis.flushall()
    fill(high=100, default=100, low=100)

    with override_settings(QUEUE_SHARE_DEFAULT=default, QUEUE_SHARE_LOW=low):
        lanes = lanes_of(job for claimed in exchange([], *[slots] * (100 // slots)) for job in claimed)

    assert len(lanes) == 100 // slots * slots
    # Where both are due in the same slot, the lower lane has it.
    assert lanes.count("low") == (len(lanes) * low + 50) // 100
    assert lanes.count("default") <= (len(lanes) * default + 50) // 100


def test_a_queue_that_is_no_lane_of_ours_has_no_share():
    assert shares.reserved(["high", "low", "other"], 100, 0) == [0, 5, 0]


def test_a_share_of_none_leaves_a_lane_what_the_others_leave(exchange):
    fill(high=30, low=5)
    with override_settings(QUEUE_SHARE_LOW=0):
        assert lanes_of(exchange([], 30)[0]) == ["high"] * 30


def test_a_share_that_nobody_wants_goes_to_the_others(exchange):
    fill(high=15, low=15)
    assert lanes_of(exchange([], 20)[0]).count("low") == 5


def test_a_thousand_slots_are_filled_and_settled_in_one_exchange(redis, run):
    fill(high=1500)

    async def all_of_them():
        worker = claims()
        claimed = await worker.exchange([], 1000)
        for job in claimed:
            job.vouched = True
        return claimed, await worker.exchange([Settled(job, "completed") for job in claimed], 1000)

    first, second = run(all_of_them())

    assert (len(first), len(second)) == (1000, 500)
    counts = ledger.read(redis)
    assert (counts.completed, counts.total("active"), counts.unexplained) == (1000, 500, 0)


def test_ids_whose_job_was_deleted_take_no_slot(redis, exchange):
    redis.rpush("rq:queue:high", *(f"deleted-{n}" for n in range(30)))
    fill(high=2, low=1)

    assert len(exchange([], 3)[0]) == 3
    assert redis.llen("rq:queue:high") == 0


def test_every_execution_has_an_id_of_its_own_also_when_exchanges_overlap(redis, run):
    fill(high=10)

    async def overlapping():
        worker = claims()
        first = worker._arguments([], 5, ["", ""])
        second = worker._arguments([], 5, ["", ""])
        return first, second

    first, second = run(overlapping())
    for arguments in (first, second):
        redis.eval(moves.EXCHANGE, 0, *arguments)

    executions = {member.split(b":")[1] for member in redis.zrange("rq:wip:high", 0, -1)}
    assert len(executions) == 10


def test_what_goes_back_stands_at_the_head_as_it_did(redis, run):
    fill(high=5)

    async def there_and_back():
        worker = claims()
        claimed = await worker.exchange([], 3)
        await worker.exchange([Settled(job, "back") for job in claimed], 0)

    run(there_and_back())

    assert redis.lrange("rq:queue:high", 0, -1) == [b"high-%d" % n for n in range(5)]
    assert redis.hget("rq:job:high-0", "status") == b"queued"


@pytest.mark.parametrize("how", ["completed", "duplicate", "retry", "dead", "stopped", "back", "gone"])
def test_an_execution_that_is_no_longer_the_jobs_own_changes_nothing(redis, run, how):
    fill(high=1)

    async def too_late():
        worker = claims()
        claimed = await worker.exchange([], 1)
        recovery.recover(redis)  # there is no worker w1: taken for dead
        await worker.exchange([Settled(job, how, "1", 1) for job in claimed], 0)

    run(too_late())

    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.completed, counts.unexplained) == (1, 0, 0)
    assert redis.hget("rq:job:high-0", "status") == b"queued"


@pytest.mark.parametrize(
    ("how", "status", "place"),
    [("retry", b"scheduled", "retrying"), ("dead", b"failed", "dead"), ("stopped", b"stopped", "dead")],
)
def test_a_failed_execution_moves_its_job(redis, run, how, status, place):
    fill(low=1)

    async def failing():
        worker = claims()
        claimed = await worker.exchange([], 1)
        await worker.vouch(claimed)
        await worker.exchange([Settled(job, how, "1900000000.5", 2) for job in claimed], 0)

    run(failing())

    assert redis.hmget("rq:job:low-0", "status", "attempts") == [status, b"2"]
    assert ledger.read(redis).total(place) == 1
    assert redis.keys("rq:execution:*") == []
    assert redis.keys("rq:worker:w1:executions") == []


def test_vouching_leaves_alone_what_has_ended(redis, run):
    fill(high=2)

    async def vouch_too_late():
        worker = claims()
        ended, running = await worker.exchange([], 2)
        await worker.exchange([Settled(ended, "completed")], 0)
        await worker.vouch([ended, running])
        return running

    running = run(vouch_too_late())

    assert redis.keys("rq:execution:*") == [f"rq:execution:{running.id}:{running.execution}".encode()]
    assert redis.zcard("rq:wip:high") == 1


SWITCHES = {
    "suspended": ("set", "rq:suspended", "1"),
    "paused": ("hset", "cad:switches", "mode", '{"value": "paused", "until": null}'),
}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES)
def test_nothing_is_claimed_while_everything_is_paused_but_what_ended_is_settled(redis, run, switch):
    fill(high=3)

    async def pausing():
        worker = claims()
        claimed = await worker.exchange([], 1)
        redis.execute_command(*switch)
        assert await worker.exchange([Settled(job, "completed") for job in claimed], 5) == []
        assert worker.suspended
        redis.delete("rq:suspended", "cad:switches")
        return await worker.exchange([], 5)

    assert len(run(pausing())) == 2
    assert ledger.read(redis).completed == 1


@pytest.mark.parametrize(("until", "claimed"), [("null", ["high"]), ("1e12", ["high"]), ("1", ["high", "low"])])
def test_a_paused_lane_keeps_its_jobs_for_as_long(redis, exchange, until, claimed):
    fill(high=1, low=1)
    redis.hset("cad:switches", "lane:low", f'{{"value": "paused", "until": {until}}}')

    assert lanes_of(exchange([], 5)[0]) == claimed


def test_a_switch_that_nobody_can_read_stops_nothing(redis, exchange):
    fill(high=1)
    redis.hset("cad:switches", "mode", "{")

    assert len(exchange([], 5)[0]) == 1


def test_a_claim_says_who_has_the_job_since_when_and_who_vouches(redis, exchange):
    fill(high=1)
    before = rq_now()

    (job,) = exchange([], 1)[0]

    status, worker, started = redis.hmget("rq:job:high-0", "status", "worker_name", "started_at")
    assert (status, worker) == (b"started", b"w1")
    assert before.encode() <= started <= rq_now().encode()
    ((member, vouched),) = redis.zrange("rq:wip:high", 0, -1, withscores=True)
    assert member == f"high-0:{job.execution}".encode()
    assert time.time() < vouched <= time.time() + recovery.VOUCH_SECONDS
