"""Workers hold rows of the database tier for a time, and change nothing that another one holds by then."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from queueops import fallback, leases, tally
from queueops.jobs import Batch, Lane
from queueops.models import FallbackJob
from queueops.runner import Settled
from tests.queueops.test_tiers import job

pytestmark = pytest.mark.usefixtures("threads")

LANES = [lane.value for lane in Lane]


@pytest.fixture
def keep(run):
    """Put jobs into the database tier."""
    return lambda *jobs: run(fallback.take(Batch(jobs=jobs)))


def expire() -> None:
    FallbackJob.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def test_they_come_by_lane_and_age(keep):
    keep(job("low-1"), job("high-1", Lane.HIGH), job("low-2"))
    keep(job("high-2", Lane.HIGH))

    assert [claimed.id for claimed in leases.claim(LANES, 3)] == ["high-1", "high-2", "low-1"]


def test_lower_lanes_keep_their_share_while_a_higher_one_is_full(keep):
    for lane in Lane:
        keep(*(job(f"{lane}-{n}", lane) for n in range(40)))

    served = [claimed.lane for n in range(40) for claimed in leases.claim(LANES, 1, n)]

    assert (served.count("high"), served.count("default"), served.count("low")) == (34, 4, 2)


def test_a_claim_of_many_has_the_same_shares(keep):
    for lane in Lane:
        keep(*(job(f"{lane}-{n}", lane) for n in range(40)))

    served = [claimed.lane for claimed in leases.claim(LANES, 40)]

    assert (served.count("high"), served.count("default"), served.count("low")) == (34, 4, 2)


def test_what_one_holds_no_other_gets_until_the_lease_ends(keep):
    keep(job("a"))

    [first] = leases.claim(LANES, 1)
    assert leases.claim(LANES, 1) == []

    expire()
    [second] = leases.claim(LANES, 1)
    assert (first.id, second.id) == ("a", "a")
    assert first.execution != second.execution


def test_a_renewed_lease_goes_on(keep):
    keep(job("a"))
    claimed = leases.claim(LANES, 1)
    expire()

    leases.renew(claimed)

    assert leases.claim(LANES, 1) == []


def test_who_was_taken_for_dead_changes_nothing(keep):
    keep(job("a"))
    [first] = leases.claim(LANES, 1)
    expire()
    [second] = leases.claim(LANES, 1)

    for how, detail in (("completed", ""), ("back", ""), ("retry", "0"), ("dead", "why")):
        assert leases.settle([Settled(first, how, detail, 1)]) == 1
    leases.renew([first])

    assert tally.read().counts == {"received": 1}
    assert FallbackJob.objects.get().leased_by == second.execution
    assert leases.settle([Settled(second, "completed")]) == 0
    assert tally.read().counts == {"received": 1, "completed": 1}


@pytest.mark.parametrize(("how", "count"), [("completed", "completed"), ("duplicate", "duplicate")])
def test_what_ended_is_counted_and_gone(keep, how, count):
    keep(job("a"))

    leases.settle([Settled(claimed, how) for claimed in leases.claim(LANES, 1)])

    assert tally.read().counts == {"received": 1, count: 1}
    assert not FallbackJob.objects.exists()


def test_a_failed_job_waits_for_its_next_attempt(keep):
    keep(job("a"))
    [claimed] = leases.claim(LANES, 1)

    leases.settle([Settled(claimed, "retry", f"{time.time() + 60:.3f}", 1)])
    assert leases.claim(LANES, 1) == []

    FallbackJob.objects.update(run_after=timezone.now())
    assert leases.claim(LANES, 1)[0].attempts == 1


def test_a_job_given_back_is_claimed_again_as_it_was(keep):
    keep(job("a"))
    [claimed] = leases.claim(LANES, 1)

    leases.settle([Settled(claimed, "back")])

    assert leases.claim(LANES, 1)[0].attempts == 0


def test_a_dead_job_waits_for_redis_and_is_not_claimed(keep):
    keep(job("a"))
    [claimed] = leases.claim(LANES, 1)

    leases.settle([Settled(claimed, "dead", "Meta said \x00 no", 3)])

    assert leases.claim(LANES, 1) == []
    seen = tally.read()
    assert (seen.fallback, seen.dead[Lane.LOW]) == (0, 1)


def test_settling_is_all_or_nothing(keep, monkeypatch):
    keep(job("a"), job("b"))
    ended = [Settled(claimed, "completed") for claimed in leases.claim(LANES, 2)]

    def fails(changes: object) -> None:
        raise RuntimeError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(tally, "add", fails)
        with pytest.raises(RuntimeError):
            leases.settle(ended)
    assert FallbackJob.objects.count() == 2

    leases.settle(ended)
    assert tally.read().counts["completed"] == 2


@pytest.mark.parametrize("can_skip_locked", [True, False])
def test_many_claim_at_once_and_every_row_goes_to_one(keep, monkeypatch, can_skip_locked):
    if not can_skip_locked:
        monkeypatch.setattr(type(connection.features), "has_select_for_update_skip_locked", False)
    keep(*(job(f"job-{n}") for n in range(40)))
    got: list[str] = []

    def claim() -> None:
        # SQLite's test database is one in memory, which refuses where a file would let wait.
        with contextlib.suppress(OperationalError), contextlib.closing(connection):
            while claimed := leases.claim(LANES, 3):
                got.extend(one.id for one in claimed)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == len(set(got))
    # Those that found all rows locked by the others have left.
    got += [one.id for one in leases.claim(LANES, 40)]
    assert len(set(got)) == 40


def test_an_intake_whose_commit_was_not_heard_of_is_counted_once(keep):
    batch = Batch(jobs=(job("a"), job("b")), ignored={"echo": 1})
    intake = fallback.Intake(batch=batch, rows=fallback.rows(batch.jobs))

    first = fallback.write([intake])
    again = fallback.write([intake])

    assert first == again
    seen = tally.read()
    assert (seen.counts, seen.fallback) == ({"received": 3, "ignored": 1}, 2)
