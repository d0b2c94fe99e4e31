"""What a worker does beside its jobs, in a real `rqworker`: alerts are told, minutes kept, orders carried out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from automations.models import Account
from queueops import operations, rollups
from queueops.audit import CONSOLE, By
from queueops.models import Alert, DeadLetter, Operation, Rollup
from tests.automations.rows import account
from tests.people import superuser
from tests.product.stack import Parts, database_url
from tests.queueops.alert_receivers import Receiver, web_server
from tests.queueops.letters import dead

# `manage.py rqworker high default low`, which does once in a moment what is done once a minute.
HURRIED = """
import django
django.setup()
from queueops import alerting, rollups
alerting.LOOK_SECONDS = 0.1
rollups.seconds_to_next = lambda now: 0.1
from django.core.management import call_command
call_command("rqworker", "high", "default", "low")
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_server() as receiver:
        yield receiver


@pytest.fixture
def until(redis, threads, receiver: Receiver, tmp_path: Path) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Start the worker, and wait for the condition."""
    environment = {
        **os.environ,
        "DEBUG": "true",  # which allows a receiver without TLS
        "REDIS_URL": settings.QUEUE_REDIS_URL,
        "DATABASE_URL": database_url(),
        "ALERT_WEBHOOK_URL": f"http://127.0.0.1:{receiver.port}/hook",
    }
    parts = Parts({"worker": [sys.executable, "-c", HURRIED]}, environment, tmp_path)

    def until(ready: Callable[[], bool]) -> None:
        parts.start("worker")
        parts.wait(ready)

    yield until
    parts.end()


def test_an_alert_is_looked_for_and_told(until, receiver: Receiver):
    account(username="maria.example", status=Account.Status.NEEDS_OWNER, status_reason="Its token was revoked.")

    until(lambda: bool(receiver.hooks) and Alert.objects.filter(notified_at__isnull=False).exists())

    assert "Account @maria.example needs its owner: Its token was revoked." in receiver.hooks[0]["text"]
    assert Alert.objects.get(name="needs_owner").told


def test_a_minute_is_kept_with_the_worker_in_it(until):
    until(lambda: Rollup.objects.filter(span=rollups.SPANS[-1]).exists())  # which is written last

    newest = rollups.newest()
    assert newest is not None
    assert newest.state["unexplained"] == 0
    assert {row.span for row in Rollup.objects.all()} == set(rollups.SPANS)


def test_an_order_for_many_letters_is_carried_out(until):
    for n in range(3):
        dead(f"letter-{n}")
    order = operations.start("discard", {}, By(superuser(), CONSOLE, "Nobody waits for them any more"))

    until(lambda: Operation.objects.get(pk=order.pk).state == Operation.State.DONE)

    assert Operation.objects.get(pk=order.pk).done == 3
    assert not DeadLetter.objects.dead().exists()
