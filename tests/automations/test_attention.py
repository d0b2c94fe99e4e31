"""The overview's accounts that need someone, and what put-off events wait for."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from automations import app_pause, attention
from tests.automations.rows import ACCOUNT, account, event
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIMIT = "The account's limit of 750 private replies an hour is reached"


def shown(user=None):
    panel = attention.accounts_that_need_someone(user or superuser())
    return [[cell.text for cell in row] for row in panel.rows]


def test_accounts_that_are_well_are_not_shown():
    account()
    account(instagram_id="2", username="over", paused_until=timezone.now() - timedelta(minutes=1))

    assert shown() == []


def test_those_that_need_their_owner_come_first_and_each_says_why_and_until_when():
    until = timezone.now() + timedelta(minutes=5)
    account(username="slow", paused_until=until, status_reason="Meta throttles it")
    account(instagram_id="2", username="off", status="paused")
    account(instagram_id="3", username="gone", status="needs_owner", status_reason="Token revoked")
    event(outcome="retrying")
    event("k2", outcome="retrying")
    event("k3", outcome="sent")

    assert shown() == [
        ["@gone", "needs its owner", "somebody acts", "0", "Token revoked"],
        ["@off", "paused", "somebody acts", "0", "-"],
        ["@slow", "waits", f"{until:%Y-%m-%d %H:%M} UTC", "2", "Meta throttles it"],
    ]


def test_accounts_of_other_groups_are_not_shown():
    hidden = account(status="paused")
    hidden.groups.add(Group.objects.create(name="others"))

    assert shown(person("automations.view_account")) == []


def test_without_the_permission_there_is_no_panel():
    assert attention.accounts_that_need_someone(person()) is None


def test_a_lane_says_whose_limit_most_of_its_events_wait_for():
    account()
    for n, reason in enumerate([f"{LIMIT}; its turn is at 14:0{n} UTC." for n in range(3)]):
        event(f"k{n}", outcome="retrying", reason=reason)
    event("other", outcome="retrying", account="2", reason="The account is paused: set by an operator")
    event("high", outcome="retrying", lane="high", account="2", reason="Meta was away")

    assert attention.why_put_off(superuser()) == {
        "low": f"Put off for @demo.shop (3 of the newest 4): {LIMIT}",
        "high": "Put off for 2 (1 of the newest 1): Meta was away",
    }


def test_the_name_of_a_hidden_account_is_not_told():
    account().groups.add(Group.objects.create(name="others"))
    event(outcome="retrying", reason=LIMIT)

    said = attention.why_put_off(person())["low"]

    assert "demo.shop" not in said
    assert ACCOUNT not in said


def test_while_meta_throttles_the_app_nothing_else_matters(redis):
    redis.set(app_pause.KEY, f"{time.time() + 60:.3f}")
    event(outcome="retrying", reason=LIMIT)

    said = attention.why_put_off(superuser())

    assert set(said) == {"high", "default", "low"}
    assert said["low"].startswith("Meta lets the whole app make no calls until")


def test_a_look_takes_few_queries_however_many_wait(django_assert_max_num_queries):
    user = superuser()
    for n in range(30):
        event(f"k{n}", outcome="retrying", account=str(n))
        account(instagram_id=str(n), username=f"a{n}", status="paused")
    with django_assert_max_num_queries(4):
        assert len(shown(user)) == attention.SHOWN
        attention.why_put_off(user)
