"""The console's switches: a plan first, then a reason, then it holds everywhere and is in the audit log."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from queueops import connections, switches
from queueops.jobs import Lane
from queueops.models import AuditEntry
from queueops.switches import Mode
from queueops.switching import ORDERS
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "not_switched")]

OVERVIEW = "/admin/queueops/console/"
PAUSE_LOW = f"{OVERVIEW}switch/low/paused/"
RESUME_LOW = f"{OVERVIEW}switch/low/resumed/"
MODE = f"{OVERVIEW}switch/mode/%s/"


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(superuser())
    return client


def said(answer) -> str:
    return str(answer.content.decode())


def test_the_overview_shows_every_switch_with_who_why_and_until_when(ada):
    switches.pause(Lane.LOW, "viral <post>", "maria.example", seconds=600)

    text = said(ada.get(OVERVIEW))

    assert "by maria.example, since " in text
    assert "viral &lt;post&gt;" in text
    assert ", until " in text
    assert RESUME_LOW in text
    assert PAUSE_LOW not in text
    assert MODE % "direct" in text
    assert MODE % "queue" not in text, "it is that already"


def test_the_plan_says_what_happens_to_whom_and_changes_nothing(ada, put):
    put("note", "a", "b", lane=Lane.LOW)

    text = said(ada.get(PAUSE_LOW))

    assert "Nothing of lane low is started any more: 2 jobs wait there" in text
    assert "Webhooks are still taken." in text
    assert "The others go on: high, default." in text
    assert not switches.current().is_paused(Lane.LOW)


def test_a_lane_is_paused_for_some_minutes_and_resumed(ada):
    answer = ada.post(PAUSE_LOW, {"reason": "viral post", "minutes": "10"}, follow=True)

    assert answer.redirect_chain == [(OVERVIEW, 302)]
    assert "Lane low is paused in every process within two seconds, for 10 minutes." in said(answer)
    pause = switches.current().pause_of(Lane.LOW)
    assert (pause.by, pause.reason) == ("ada", "viral post")
    assert pause.until - pause.at == pytest.approx(600)

    assert "Lane low goes on" in said(ada.post(RESUME_LOW, follow=True))
    assert not switches.current().is_paused(Lane.LOW)
    assert "somebody was quicker" in said(ada.post(RESUME_LOW, follow=True))
    entries = AuditEntry.objects.filter(number__gt=0).order_by("number")
    assert [(one.who, one.through, one.action, one.reason, one.details["minutes"]) for one in entries] == [
        ("ada", "console", "pause_lane", "viral post", 10),
        ("ada", "console", "resume_lane", "", None),
    ]


@pytest.mark.parametrize("mode", list(Mode))
def test_the_mode_is_switched_and_put_back(ada, settings, mode):
    settings.USE_QUEUE_SYSTEM = mode is not Mode.QUEUE
    assert ada.get(MODE % mode).status_code == 200

    ada.post(MODE % mode, {"reason": "maintenance"})
    assert switches.current().mode is mode
    assert f"Mode: {mode}" in said(ada.get(OVERVIEW))

    ada.post(MODE % "default")
    assert switches.current().mode is switches.default_mode()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "This field is required."),
        ({"reason": "x", "minutes": "0"}, "greater than or equal to 1"),
        ({"reason": "x", "minutes": "soon"}, "Enter a whole number."),
        ({"reason": "x", "minutes": "99999999"}, "less than or equal to"),
    ],
)
def test_without_a_reason_or_with_a_senseless_end_nothing_is_switched(ada, given, why):
    answer = ada.post(PAUSE_LOW, given)

    assert answer.status_code == 200
    assert why in said(answer)
    assert not switches.current().is_paused(Lane.LOW)


@pytest.mark.parametrize("address", [f"{OVERVIEW}switch/vip/paused/", f"{OVERVIEW}switch/low/direct/", MODE % "off"])
def test_what_is_no_switch_is_404(ada, address):
    assert ada.post(address, {"reason": "x"}).status_code == 404


@pytest.mark.parametrize("order", ORDERS.values(), ids=lambda order: f"{order.subject}-{order.to}")
def test_whoever_lacks_the_one_permission_sees_no_button_and_is_refused(client, redis, order):
    tom = User.objects.create_user("tom", is_staff=True)
    tom.user_permissions.set(Permission.objects.exclude(codename=order.permission.split(".")[1]))
    client.force_login(tom)
    address = f"{OVERVIEW}switch/{order.subject}/{order.to}/"

    assert address not in said(client.get(OVERVIEW))
    assert client.get(address).status_code == 403
    assert client.post(address, {"reason": "forged"}).status_code == 403
    assert redis.hgetall(switches.KEY) == {}
    assert not AuditEntry.objects.exists()


def test_the_one_permission_is_enough(client):
    client.force_login(person("queueops.view_console", "queueops.pause_lane"))

    assert PAUSE_LOW in said(client.get(OVERVIEW))
    client.post(PAUSE_LOW, {"reason": "viral post"})

    assert switches.current().is_paused(Lane.LOW)


def test_a_post_without_its_token_is_refused(redis):
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser())

    assert client.post(PAUSE_LOW, {"reason": "forged"}).status_code == 403
    assert redis.hgetall(switches.KEY) == {}


def test_while_redis_is_away_it_says_so_and_switches_nothing(ada, settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    text = said(ada.get(PAUSE_LOW))
    assert "Nothing can be switched until it is back." in text
    assert "an unknown number of jobs waits there" in text
    assert "nothing was switched" in said(ada.post(PAUSE_LOW, {"reason": "x"}, follow=True))
    assert not AuditEntry.objects.exists()


def test_no_worker_is_missed_in_a_lane_that_is_paused(ada, redis):
    redis.sadd("rq:workers", "rq:worker:w1")
    redis.hset("rq:worker:w1", mapping={"queues": "high,default", "state": "idle", "alive_at": time.time()})
    assert "No worker listens to low." in said(ada.get(OVERVIEW))

    switches.pause(Lane.LOW, "", "maria.example")

    assert "No worker listens" not in said(ada.get(OVERVIEW))


def test_what_else_holds_the_lane_up_is_said_before_it_is_resumed(ada, redis):
    switches.pause(Lane.LOW, "", "maria.example")
    redis.set("rq:suspended", 1)
    assert "manage.py rqresume" in said(ada.get(RESUME_LOW))
    assert "Workers are suspended" in said(ada.get(OVERVIEW))
    switches.set_mode(Mode.PAUSED, "", "maria.example")
    assert "The mode is paused: nothing starts until it is not." in said(ada.get(RESUME_LOW))


def test_switching_the_mode_says_which_lanes_stay_paused(ada):
    switches.pause(Lane.LOW, "", "maria.example")

    for mode in (Mode.DIRECT, "default"):
        assert "Lanes that are paused by themselves stay so: low." in said(ada.get(MODE % mode))
