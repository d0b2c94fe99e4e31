"""Counting the open letters by cause: by whoever looks while they are few, by one worker once a minute when many."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queueops import cause_counts, causes, visibility
from queueops.fingerprints import fingerprint
from queueops.models import CauseCount, DeadLetter
from tests.people import person, superuser
from tests.queueops.letters import READ_WHOLE, plans_about_letters, row

pytestmark = pytest.mark.django_db

LIST = "/admin/queueops/cause/"
OTHER = {"cause_code": 100, "cause_subcode": 0, "cause_title": "No such person", "cause_verdict": "reject"}


@pytest.fixture(autouse=True)
def _two_are_few(monkeypatch):
    monkeypatch.setattr(cause_counts, "AT_ONCE", 2)


def write(*events, **fields):
    for event in events:
        one = row(event, **fields)
        one.fingerprint = fingerprint(one)
        one.save()
        causes.note(one)
    return one.fingerprint


def look(**given):
    return cause_counts.look(DeadLetter.objects.dead(), **{"are_all": True, **given})


def numbers(counted):
    return {name: fields["n"] for name, fields in counted.by_cause.items()}


def due():
    CauseCount.objects.update(due_at=timezone.now())


def test_few_are_counted_by_whoever_looks():
    name = write("a", "b")
    assert cause_counts.turn()
    write("c", status="resolved")

    counted = look()

    assert (numbers(counted), counted.of_newest) == ({name: 2}, 0)
    assert timezone.now() - counted.at < timedelta(minutes=1)
    assert CauseCount.objects.get().counted_at is None


def test_of_many_the_last_count_is_told_and_when_it_was():
    now = timezone.now()
    name = write("a", "b", "c", expires_at=now - timedelta(hours=1))
    write("old", account="2", created_at=now - timedelta(days=40))
    cause_counts.turn()
    counted_at = CauseCount.objects.get().counted_at
    write("d")

    counted = look()

    assert (numbers(counted), counted.at, counted.of_newest) == ({name: 4}, counted_at, 0)
    fields = counted.by_cause[name]
    assert (fields["accounts"], fields["expired"], sum(fields["hours"])) == (2, 3, 3)
    assert fields["first"] == DeadLetter.objects.get(event="old").created_at
    assert fields["last"] == DeadLetter.objects.get(event="c").created_at


def test_a_cause_that_came_after_the_last_count_is_told_all_the_same():
    name = write("a", "b", "c")
    cause_counts.turn()
    fresh = write("d", "e", **OTHER)

    assert numbers(look()) == {name: 3, fresh: 2}


def test_until_the_first_count_only_the_newest_are_told_of():
    write("a", "b", "c")
    fresh = write("d", "e", **OTHER)

    counted = look()

    assert (numbers(counted), counted.of_newest) == ({fresh: 2}, 2)


def test_whoever_sees_some_accounts_only_is_told_of_the_newest_of_these():
    name = write("a", "b", "c")
    cause_counts.turn()

    counted = look(are_all=False)

    assert (numbers(counted), counted.of_newest) == ({name: 2}, 2)


def test_when_they_are_few_again_they_are_counted_by_whoever_looks_again():
    name = write("a", "b", "c")
    cause_counts.turn()
    DeadLetter.objects.filter(event="a").update(status="resolved")

    assert numbers(look()) == {name: 2}
    due()
    cause_counts.turn()
    assert CauseCount.objects.get().counts == {}


def test_one_counts_and_then_nobody_for_a_minute():
    write("a")

    assert [cause_counts.turn(), cause_counts.turn()] == [True, False]
    assert CauseCount.objects.get().due_at > timezone.now() + timedelta(seconds=50)
    due()
    assert cause_counts.turn()


def test_while_one_counts_nobody_else_does_and_one_that_died_over_it_is_followed(monkeypatch):
    write("a", "b", "c")

    def dies(*given):
        assert not cause_counts.turn()
        raise InterruptedError

    counts = cause_counts.count
    monkeypatch.setattr(cause_counts, "count", dies)
    with pytest.raises(InterruptedError):
        cause_counts.turn()
    monkeypatch.setattr(cause_counts, "count", counts)

    assert timezone.now() < CauseCount.objects.get().due_at <= timezone.now() + cause_counts.LEASE
    due()
    assert cause_counts.turn()
    assert CauseCount.objects.get().counts


def test_the_pages_say_of_when_and_of_which_letters_the_numbers_are(client, monkeypatch):
    monkeypatch.setattr(visibility, "_rules", [lambda user: frozenset() if user.is_superuser else frozenset({"9"})])
    name = write("a", "b", "c")
    cause_counts.turn()
    at = timezone.now() - timedelta(minutes=3)
    CauseCount.objects.update(counted_at=at)

    client.force_login(superuser())
    for page in (LIST, f"{LIST}{name}/change/"):
        answer = client.get(page).content.decode()
        assert f"As of {at:%Y-%m-%d %H:%M:%S} UTC" in answer
        assert "among the newest" not in answer
    client.force_login(person("queueops.view_cause", "queueops.view_deadletter"))
    for page in (LIST, f"{LIST}{name}/change/"):
        assert "among the newest 2; there are more" in client.get(page).content.decode()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL for its plans")
def test_no_page_reads_all_letters(client):
    name = write("first")
    like = DeadLetter.objects.values().get()
    others = [DeadLetter(**{**like, "id": None, "event": f"e{n}"}) for n in range(3000)]
    for letter in others:
        letter.pk = DeadLetter._meta.pk.get_default()
    DeadLetter.objects.bulk_create(others)
    cause_counts.turn()
    client.force_login(superuser())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queueops_deadletter")

    with CaptureQueriesContext(connection) as asked:
        assert client.get(LIST).status_code == 200
        assert client.get(f"{LIST}{name}/change/").status_code == 200

    plans = plans_about_letters(asked)
    assert len(plans) >= 6
    assert not [sql for sql, plan in plans if READ_WHOLE in plan]
