"""Accounts that need their owner, and those of which nothing comes although it usually does."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from automations import account_alerts, silence
from automations.models import Event
from queueops import stats
from queueops.alerts import Look
from queueops.keys import first_id_of
from tests.automations.rows import ACCOUNT, account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

OTHER = "17841405726653026"


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def came(now):
    """So many events of the account, spread over the hours before that many weeks ago."""

    def came(n, weeks, of=ACCOUNT):
        until = now - timedelta(weeks=weeks)
        step = timedelta(hours=silence.HOURS) / (n + 1)
        Event.objects.bulk_create(
            Event(
                id=UUID(int=first_id_of(until - step * (i + 1)).int + int(of)),
                **{"key": f"{of}-{weeks}-{i}", "receipt": "r", "kind": "comment", "lane": "low", "account": of},
                **{"source_id": "c", "payload": {}, "received_at": until},
            )
            for i in range(n)
        )

    return came


def look(now, **changes):
    return Look(now, {**stats.snapshot(), **changes})


def silent(now):
    return [one.instagram_id for one in silence.silent_accounts(now)]


@pytest.mark.parametrize(
    ("weeks", "today", "is_silent"),
    [
        ((50, 50, 50, 50), 0, True),
        ((50, 50, 50, 50), 1, False),
        ((10, 10, 10, 0), 0, True),
        ((500, 10, 10, 0), 0, True),
        ((9, 9, 9, 9), 0, False),  # never busy
        ((500, 500, 0, 0), 0, False),  # a viral post two weeks ago
        ((0, 0, 0, 0), 0, False),  # a new account
    ],
)
def test_an_account_is_silent_when_most_weeks_were_busy_at_this_hour_and_now_nothing_comes(
    now, came, weeks, today, is_silent
):
    account()
    for week, n in enumerate(weeks, start=1):
        came(n, week)
    came(today, 0)
    assert silent(now) == ([ACCOUNT] if is_silent else [])


def test_what_came_before_the_hour_or_to_another_account_does_not_count(now, came):
    account()
    account(instagram_id=OTHER, username="other")
    for week in range(1, 5):
        came(20, week)
        came(20, week, OTHER)
    came(5, 0, OTHER)
    assert silent(now) == [ACCOUNT]
    assert silent(now + timedelta(days=3)) == []


@pytest.mark.parametrize("status", ["paused", "needs_owner"])
def test_one_that_is_not_active_is_not_missed(now, came, status):
    account(status=status)
    for week in range(1, 5):
        came(20, week)
    assert silent(now) == []


def test_it_takes_one_statement_however_many_accounts_there_are(now, came, django_assert_num_queries):
    for n in range(20):
        account(instagram_id=str(n), username=f"shop{n}")
    with django_assert_num_queries(1):
        silence.silent_accounts(now)


def test_while_we_are_behind_nobody_is_called_silent(now, came):
    account()
    for week in range(1, 5):
        came(20, week)
    [found] = account_alerts.is_silent(look(now)) or []
    assert found.subject == ACCOUNT
    assert found.words == "Nothing has come from @demo.shop for 3 hours; usually it is busy now."

    lanes = {"low": {"waiting": 5, "oldest_waiting_seconds": 4000.0}}
    assert account_alerts.is_silent(look(now, queues=lanes)) is None
    assert account_alerts.is_silent(look(now, redis={"connected": False})) is None
    assert account_alerts.is_silent(look(now, ledger={"fallback": 7})) is None
    assert account_alerts.is_silent(look(now, ledger={"fallback": None})) is None


def test_an_account_that_needs_its_owner_is_named_with_the_reason(now):
    account(status="needs_owner", status_reason="The account's access token has expired")
    account(instagram_id=OTHER, username="other")
    (found,) = account_alerts.needs_owner(look(now))
    assert found.subject == ACCOUNT
    assert found.words == "Account @demo.shop needs its owner: The account's access token has expired."
