"""Alerts in the console: open first, acknowledged with a reason by who may, and a strip of them on the overview."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.utils import timezone

from queueops import alerts_admin, visibility
from queueops.models import Alert, AlertRound, AuditEntry
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/queueops/alert/"
OVERVIEW = "/admin/queueops/console/"


def alert(subject="high", **fields):
    now = timezone.now()
    defaults = {
        "name": "no_worker",
        "severity": "page",
        "words": f"No worker listens to lane {subject} <b>.",
        "first_seen_at": now - timedelta(minutes=12),
        "last_seen_at": now,
        "opened_at": now,
    }
    return Alert.objects.create(subject=subject, **{**defaults, **fields})


def said(answer):
    return answer.content.decode()


@pytest.fixture
def ada(client):
    client.force_login(superuser())
    return client


def acknowledge(client, row, reason="maria.example is on it"):
    return client.post(f"{LIST}{row.pk}/acknowledge/", {"reason": reason}, follow=True)


def test_the_list_has_what_is_open_first_then_what_was_and_nothing_that_never_opened(ada):
    alert("low", closed_at=timezone.now())
    alert("default", opened_at=None)
    alert("high")
    alert("mid", severity="ticket")

    rows = list(ada.get(LIST).context["cl"].result_list)

    assert [row.subject for row in rows] == ["high", "mid", "low"]
    assert [row.subject for row in ada.get(f"{LIST}?state=resolved").context["cl"].result_list] == ["low"]


def test_the_list_says_when_somebody_looked_last_and_who_is_told(ada, settings):
    assert "Nobody has looked yet" in said(ada.get(LIST))
    assert "Nobody is told" in said(ada.get(LIST))
    AlertRound.objects.create(pk=1, looked_at=timezone.now(), looked_by="worker w1")
    settings.ALERT_EMAILS = ["maria@ops.example"]
    text = said(ada.get(LIST))
    assert "by worker w1" in text
    assert "Told by email" in text


def test_its_page_says_what_is_wrong_what_to_do_and_who_was_told(ada):
    row = alert(told={"email": ["opened", "2026-01-31T12:00:00+00:00"]})
    text = said(ada.get(f"{LIST}{row.pk}/change/"))
    assert "No worker listens to lane high &lt;b&gt;." in text
    assert "manage.py rqworker high default low" in text
    assert "docs/operations/stuck-jobs.md" in text
    assert "email: opened, 2026-01-31 12:00 UTC" in text


def test_it_is_acknowledged_with_a_reason_that_the_audit_log_and_its_page_show(ada):
    row = alert()
    text = said(acknowledge(ada, row))

    row.refresh_from_db()
    assert row.acknowledged_by.username == "ada"
    entry = AuditEntry.objects.get(action="acknowledge_alert")
    assert (entry.who, entry.reason, entry.kind) == ("ada", "maria.example is on it", "queueops.alert")
    assert "maria.example is on it" in text
    assert "Acknowledge</button>" not in text
    assert "somebody was quicker" in said(acknowledge(ada, row))
    assert AuditEntry.objects.filter(action="acknowledge_alert").count() == 1


def test_without_a_reason_nothing_is_acknowledged(ada):
    row = alert()
    assert "Nothing was acknowledged" in said(acknowledge(ada, row, " "))
    row.refresh_from_db()
    assert row.acknowledged_at is None


def test_what_is_over_cannot_be_acknowledged(ada):
    row = alert(closed_at=timezone.now())
    assert "Acknowledge</button>" not in said(ada.get(f"{LIST}{row.pk}/change/"))
    assert "Nothing to do" in said(acknowledge(ada, row))


def test_it_takes_the_permission_a_post_and_a_token(client):
    row = alert()
    tom = User.objects.create_user("tom", is_staff=True)
    tom.user_permissions.set(Permission.objects.exclude(codename="acknowledge_alert"))
    client.force_login(tom)
    assert "Acknowledge</button>" not in said(client.get(f"{LIST}{row.pk}/change/"))
    assert acknowledge(client, row).status_code == 403

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person("queueops.view_alert", "queueops.acknowledge_alert"))
    assert strict.get(f"{LIST}{row.pk}/acknowledge/").status_code == 405
    assert acknowledge(strict, row).status_code == 403
    row.refresh_from_db()
    assert row.acknowledged_at is None


def test_the_permission_is_enough(client):
    row = alert()
    client.force_login(person("queueops.view_alert", "queueops.acknowledge_alert"))
    assert "Acknowledged" in said(acknowledge(client, row))


def test_the_overview_and_the_navigation_show_what_is_open_to_who_may_see_it(client):
    row = alert()
    alert("low", closed_at=timezone.now())
    client.force_login(person("queueops.view_console", "queueops.view_alert"))
    text = said(client.get(OVERVIEW))
    assert "No worker listens to lane high &lt;b&gt;." in text
    assert f"{LIST}{row.pk}/change/" in text
    assert "lane low &lt;b&gt;" not in text

    client.force_login(person("queueops.view_console", name="tom"))
    assert "lane high &lt;b&gt;" not in said(client.get(OVERVIEW))


def test_the_badge_counts_open_ones(monkeypatch):
    monkeypatch.setattr(alerts_admin, "BADGE_COUNTS_TO", 2)
    request = RequestFactory().get("/")
    request.user = superuser()
    assert alerts_admin.open_badge(request) is None
    for n in range(3):
        alert(str(n))
        assert alerts_admin.open_badge(request) == ("1", "2", "2+")[n]


def test_an_alert_about_an_account_is_seen_with_the_account(client, monkeypatch):
    row = alert("17841456778752687", words="Account @demo.shop needs its owner.")
    monkeypatch.setattr(visibility, "_rules", [lambda user: frozenset({row.subject})])
    client.force_login(person("queueops.view_console", "queueops.view_alert", "queueops.acknowledge_alert"))

    assert "@demo.shop" not in said(client.get(LIST))
    assert "@demo.shop" not in said(client.get(OVERVIEW))
    assert acknowledge(client, row).status_code == 404
