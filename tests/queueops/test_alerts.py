"""How a thing that is wrong becomes an alert: once it has held, once, and until it is gone for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from queueops import alerts
from queueops.alerts import GONE_SECONDS, Condition, Found, Look
from queueops.models import Alert
from tests.people import superuser

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOLDS = 120.0


@pytest.fixture(autouse=True)
def conditions(monkeypatch):
    """Only those of the test."""
    monkeypatch.setattr(alerts, "_conditions", {})
    for name, holds in (("late", HOLDS), ("broken", 0.0)):
        alerts.register(condition(name, holds))


def condition(name, holds, find=lambda look: []):
    severity = Alert.Severity.PAGE
    return Condition(name=name, title=name, severity=severity, holds_seconds=holds, find=find, advice="Mend it.")


def at(seconds):
    return START + timedelta(seconds=seconds)


def see(seconds, **found):
    """A round at that time that found these subjects, by condition; None for a condition that cannot tell."""
    ones = {name: None if subjects is None else [Found(one, f"{name} {one}") for one in subjects.split()]
            for name, subjects in {"late": "", "broken": "", **found}.items()}  # fmt: skip
    alerts.take_down(ones, at(seconds))


def states():
    return {f"{one.name} {one.subject}": "closed" if one.closed_at else "open" if one.opened_at else "seen"
            for one in Alert.objects.all()}  # fmt: skip


def test_it_opens_once_it_has_held_for_as_long_as_its_condition_says():
    see(0, late="high")
    assert states() == {"late high": "seen"}
    see(60, late="high")
    assert alerts.open_now() == []
    see(HOLDS, late="high")

    assert states() == {"late high": "open"}
    (alert,) = alerts.open_now()
    assert (alert.first_seen_at, alert.opened_at) == (START, at(HOLDS))


def test_one_that_need_not_hold_opens_at_once():
    see(0, broken="x")
    assert states() == {"broken x": "open"}


def test_what_was_gone_before_it_opened_is_forgotten():
    for start in (0, 200, 400):
        see(start, late="high")
        see(start + 60)
        assert states() == {}


def test_what_flickers_stays_one_alert_and_closes_only_after_it_is_gone_for_a_while():
    see(0, broken="x")
    for second in range(60, 1200, 120):
        see(second)
        see(second + 60, broken="x")
        assert states() == {"broken x": "open"}
    see(1300)
    see(1300 + GONE_SECONDS - 1)
    assert states() == {"broken x": "open"}
    see(1300 + GONE_SECONDS)

    assert states() == {"broken x": "closed"}
    assert Alert.objects.get().last_seen_at == at(1200)


def test_what_comes_back_after_its_end_is_an_alert_of_its_own():
    for start in (0, 5000):
        see(start, broken="x")
        see(start + 60)
        see(start + 60 + GONE_SECONDS)
    assert [one.closed_at for one in Alert.objects.order_by("id")] == [at(60 + GONE_SECONDS), at(5060 + GONE_SECONDS)]


def test_a_condition_that_cannot_tell_neither_opens_nor_closes():
    see(0, broken="x", late="high")
    see(60, broken=None, late=None)
    see(60 + 2 * GONE_SECONDS, broken=None, late=None)
    assert states() == {"broken x": "open", "late high": "seen"}


def test_each_subject_stands_for_itself():
    see(0, broken="x y")
    see(60, broken="y")
    see(60 + GONE_SECONDS, broken="y z")
    assert states() == {"broken x": "closed", "broken y": "open", "broken z": "open"}


def test_an_alert_whose_condition_is_no_more_ends():
    see(0, broken="x")
    del alerts._conditions["broken"]
    alerts.take_down({}, at(60))
    alerts.take_down({}, at(60 + GONE_SECONDS))
    assert states() == {"broken x": "closed"}


def test_the_words_are_those_of_the_last_look_without_secrets():
    see(0, broken="x")
    alerts.take_down({"broken": [Found("x", "no answer from redis://u:hunter2hunter2@h")]}, at(60))
    assert Alert.objects.get().words == "no answer from redis://u:[hidden]@h"


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionRefusedError("away")])
def test_a_condition_that_fails_cannot_tell_and_the_others_go_on(error):
    def fails(look):
        raise error

    found = [Found("x", "broken")]
    asked = [condition("late", 0, fails), condition("broken", 0, lambda look: found)]
    assert alerts.find(Look(START, {}), asked) == {"late": None, "broken": found}


def test_a_flood_of_findings_is_bounded(monkeypatch):
    monkeypatch.setattr(alerts, "MOST_FOUND", 3)
    many = condition("broken", 0, lambda look: [Found(str(n), "x") for n in range(10)])
    alerts.take_down(alerts.find(Look(START, {}), [many]), START)
    assert Alert.objects.count() == 3


def test_who_acknowledges_first_has_it_and_what_is_over_cannot_be():
    see(0, broken="x")
    alert, ada = Alert.objects.get(), superuser()
    assert alerts.acknowledge(alert, ada, at(10))
    assert not alerts.acknowledge(alert, superuser("bob"), at(20))
    see(60)
    see(60 + GONE_SECONDS)
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.acknowledged_at) == (ada, at(10))
    see(5000, broken="x")
    assert alerts.open_now()[0].acknowledged_at is None
    assert not alerts.acknowledge(alert, ada, at(5001))
