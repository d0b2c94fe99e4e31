"""An account that may send again: what waited for it runs at once."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from automations.models import Account, Event
from queueops.keys import new_id
from queueops.models import FallbackJob

SHOP = "17841456778752687"
STUDIO = "17841405726653026"


def waiting(redis, key: str, account: str = SHOP, lane: str = "low", outcome: str = "retrying") -> None:
    """An event that waits for an hour."""
    Event.objects.create(
        key=key, receipt="r", kind="comment", account=account, source_id=key, payload={}, outcome=outcome,
        received_at=timezone.now(),
    )  # fmt: skip
    redis.hset(f"rq:job:{key}", mapping={"origin": lane, "status": "scheduled"})
    redis.zadd(f"rq:scheduled:{lane}", {key: time.time() + 3600})


def is_due(redis, key: str, lane: str = "low") -> bool:
    return bool(redis.zscore(f"rq:scheduled:{lane}", key) <= time.time())


def hold(**columns) -> Account:
    Account.objects.filter(instagram_id=SHOP).update(**columns)
    return Account.objects.get(instagram_id=SHOP)


@pytest.mark.parametrize(
    "columns",
    [{"status": "needs_owner"}, {"status": "paused"}, {"paused_until": timezone.now() + timedelta(hours=9)}],
)
def test_reconnecting_an_account_has_its_waiting_events_run_and_no_others(demo_data, redis, columns):
    waiting(redis, "a")
    waiting(redis, "b", lane="high")
    waiting(redis, "other", account=STUDIO)
    waiting(redis, "over", outcome="sent")
    account = hold(**columns)

    account.status, account.paused_until = "active", None
    account.save()

    assert is_due(redis, "a")
    assert is_due(redis, "b", lane="high")
    assert not is_due(redis, "other")
    assert not is_due(redis, "over")


def test_more_than_one_batch_is_released(demo_data, redis, monkeypatch):
    monkeypatch.setattr("automations.release.BATCH", 2)
    for n in range(5):
        waiting(redis, f"e{n}")

    account = hold(status="paused")
    account.status = "active"
    account.save()

    assert all(is_due(redis, f"e{n}") for n in range(5))


@pytest.mark.parametrize(("before", "after"), [("active", "active"), ("paused", "needs_owner"), ("active", "paused")])
def test_a_save_that_releases_nothing_wakes_nobody(demo_data, redis, before, after):
    waiting(redis, "a")
    account = hold(status=before)

    account.status, account.username = after, "demo.renamed"
    account.save()

    assert not is_due(redis, "a")


def test_a_job_that_no_longer_waits_is_not_scheduled_again(demo_data, redis):
    waiting(redis, "a")
    redis.zrem("rq:scheduled:low", "a")
    account = hold(status="paused")

    account.status = "active"
    account.save()

    assert redis.zscore("rq:scheduled:low", "a") is None


def test_what_the_database_tier_holds_is_released_too(demo_data, redis):
    later = timezone.now() + timedelta(hours=1)
    rows = [
        FallbackJob.objects.create(job=new_id().hex, lane="low", tenant=tenant, func="f", data=b"[]", run_after=later)
        for tenant in (SHOP, STUDIO)
    ]
    account = hold(status="needs_owner")

    account.status = "active"
    account.save()

    for row in rows:
        row.refresh_from_db()
    assert [row.run_after < later for row in rows] == [True, False]


def test_a_redis_that_is_away_does_not_keep_an_account_from_being_saved(demo_data, redis, settings, monkeypatch):
    waiting(redis, "a")
    account = hold(status="paused")
    monkeypatch.setattr("queueops.connections._client", None)
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"

    account.status = "active"
    account.save()

    assert Account.objects.get(instagram_id=SHOP).status == "active"
