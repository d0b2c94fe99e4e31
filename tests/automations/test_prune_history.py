"""`manage.py prune_history`: what is old and over goes, what is open stays."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from automations import history
from automations.models import Delivery, Event
from queueops import audit
from queueops.audit import COMMAND, Act, By
from queueops.keys import new_id_of
from queueops.models import Alert, AuditEntry, DeadLetter
from tests.automations.rows import delivery, event
from tests.queueops.letters import row as letter

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

SENT = {"outcome": "sent"}


def prune(*args):
    stdout = io.StringIO()
    call_command("prune_history", *args, stdout=stdout)
    return stdout.getvalue()


def aged(key, days, **fields):
    """An event that came in and was over so many days ago; keys of the same days differ by milliseconds."""
    at = timezone.now() - timedelta(days=days, milliseconds=sum(key.encode()))
    over = fields.get("outcome", "no_match") in Event.FINAL
    return event(key, received_at=at, **{"finished_at": at if over else None, **fields})


def aged_letter(key, days, **fields):
    at = timezone.now() - timedelta(days=days)
    handled = fields.get("status", "dead") != "dead"
    return letter(key, id=new_id_of(at), created_at=at, handled_at=at if handled else None, **fields)


def left():
    return sorted(Event.objects.values_list("key", flat=True))


def test_what_is_older_goes_with_its_deliveries_and_what_is_younger_stays():
    old, young = aged("old", 31, **SENT), aged("young", 29, **SENT)
    for row in (old, young):
        delivery(row, status="sent")
        delivery(row, step=2, status="failed")

    text = prune()

    assert text.splitlines()[-1] == "1 events, 2 deliveries, 0 dead letters, 0 alerts deleted."
    assert left() == ["young"]
    assert Delivery.objects.count() == 2


def test_the_days_may_be_given():
    aged("a", 50)
    aged("b", 70)

    assert prune("--days", "60").startswith("1 events")
    assert left() == ["a"]


@pytest.mark.parametrize("outcome", ["waiting", "processing", "retrying", "unconfirmed", "dead"])
def test_an_event_that_is_not_over_stays_however_old(outcome):
    aged("open", 400, outcome=outcome)
    aged("stamped", 400, outcome=outcome, finished_at=timezone.now() - timedelta(days=400))

    prune()

    assert left() == ["open", "stamped"]


@pytest.mark.parametrize("outcome", ["sent", "no_match", "skipped", "unknown_account", "discarded"])
def test_an_event_that_is_over_goes_whatever_became_of_it(outcome):
    aged("over", 31, outcome=outcome)

    prune()

    assert left() == []


@pytest.mark.parametrize("status", ["sending", "unconfirmed"])
def test_an_event_with_a_delivery_that_nobody_knows_the_end_of_stays(status):
    row = aged("e1", 400, **SENT)
    delivery(row, status="sent")
    delivery(row, step=2, status=status)

    prune()

    assert left() == ["e1"]
    assert Delivery.objects.count() == 2


def test_an_event_with_an_open_dead_letter_stays_with_it():
    aged("e1", 400, **SENT)
    aged_letter("e1", 400)

    prune()

    assert left() == ["e1"]
    assert DeadLetter.objects.dead().count() == 1


def test_an_event_that_came_long_ago_and_was_over_lately_stays():
    aged("e1", 400, **SENT, finished_at=timezone.now() - timedelta(days=1))

    prune()

    assert left() == ["e1"]


@pytest.mark.parametrize("status", ["retried", "resolved", "discarded"])
def test_dead_letters_that_were_taken_up_long_ago_go(status):
    aged_letter("old", 31, status=status)
    aged_letter("young", 29, status=status)

    assert "1 dead letters, 0 alerts deleted" in prune()
    assert DeadLetter.objects.get().event == "young"


def test_the_audit_log_stays(monkeypatch):
    with monkeypatch.context() as then:
        long_ago = timezone.now() - timedelta(days=4000)
        then.setattr("django.utils.timezone.now", lambda: long_ago)
        audit.record(Act(by=By(None, COMMAND), action="retry"))

    prune()

    assert AuditEntry.objects.count() == 2


def test_a_dry_run_counts_the_same_and_deletes_nothing():
    delivery(aged("e1", 31, **SENT), status="sent")
    aged("e2", 31, outcome="dead")
    aged_letter("e3", 31, status="resolved")

    text = prune("--dry-run")

    assert text == "1 events, 1 deliveries, 1 dead letters, 0 alerts would go.\n"
    assert left() == ["e1", "e2"]
    assert DeadLetter.objects.count() == 1


def test_a_second_run_finds_nothing():
    aged("e1", 31)
    prune()

    assert prune() == "0 events, 0 deliveries, 0 dead letters, 0 alerts deleted.\n"


@pytest.mark.parametrize("days", ["7", "0", "-1"])
def test_rows_that_still_guard_against_a_second_answer_cannot_be_deleted(days):
    aged("e1", 31)

    with pytest.raises(CommandError, match="at least --days 8"):
        prune("--days", days)

    assert left() == ["e1"]


def test_it_goes_in_batches_past_what_stays_and_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(history, "BATCH", 3)
    monkeypatch.setattr("automations.management.commands.prune_history.TELL_SECONDS", 0.0)
    for n in range(10):
        aged(f"e{n}", 100 - n, outcome="dead" if n in {0, 1, 2, 5} else "sent")

    *progress, last = prune().splitlines()

    assert last.startswith("6 events")
    assert [line.split()[0] for line in progress] == ["0", "2", "5", "6"]
    assert left() == ["e0", "e1", "e2", "e5"]


def test_two_at_once_delete_everything_once(threads, monkeypatch):
    monkeypatch.setattr(history, "BATCH", 5)
    for n in range(60):
        delivery(aged(f"e{n}", 100 - n / 10, **SENT), status="sent")
    before = timezone.now() - timedelta(days=30)
    start = threading.Barrier(2)

    def work(_):
        start.wait()
        try:
            return sum(history.prune(before), history.Pruned())
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(work, range(2))

    rest = sum(history.prune(before), history.Pruned())  # what one skipped because the other held it
    assert one.events + two.events + rest.events == 60
    assert one.deliveries + two.deliveries + rest.deliveries == 60
    assert left() == []


def test_an_alert_that_ended_long_ago_goes_and_one_that_stands_stays():
    for name, begun, ended in (("over", 40, 31), ("lasted", 40, 29), ("young", 29, 28), ("stands", 400, None)):
        at = timezone.now() - timedelta(days=begun)
        closed = timezone.now() - timedelta(days=ended) if ended else None
        seen = {"first_seen_at": at, "opened_at": at, "last_seen_at": closed or at, "closed_at": closed}
        Alert.objects.create(id=new_id_of(at), name="no_worker", subject=name, severity="page", words="x", **seen)

    assert "1 alerts would go" in prune("--dry-run")
    assert "1 alerts deleted" in prune()
    assert set(Alert.objects.values_list("subject", flat=True)) == {"lasted", "young", "stands"}
