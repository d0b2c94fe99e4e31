"""Every attempt of a job that was given up, with its error and traceback; of one that ended well nothing stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rq.serializers import JSONSerializer

from queueops import attempts
from queueops.errors import TryAgain
from queueops.jobs import Failure, Lane
from queueops.keys import first_id_of
from queueops.models import DeadLetter, FailedAttempt
from queueops.scheduler import LaneScheduler
from tests.people import person
from tests.queueops.letters import row

VIEW, TEXT = "queueops.view_deadletter", "queueops.see_text"
EARLIER = [{"at": "2026-01-01T10:00:00+00:00", "number": 1, "error": "KeyError: 'Ann'", "traceback": "line 7 of Ann"}]

pytestmark = pytest.mark.django_db


def noted(job="e1", number=1):
    error = TryAgain(f"Meta is away, {number}")
    attempts.note(job, Failure(dead=False, at=timezone.now(), reason=error.reason, attempt=number), error)


@pytest.mark.django_db(transaction=True)
def test_a_letter_has_all_its_jobs_attempts(put, work, redis, settings):
    settings.QUEUE_MAX_ATTEMPTS = 2
    put("fail", "e1")

    work()
    assert FailedAttempt.objects.get().number == 1
    redis.zadd("rq:scheduled:high", {"e1": 1})
    scheduler = LaneScheduler(list(Lane), connection=redis, serializer=JSONSerializer)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    work()

    letter = DeadLetter.objects.get()
    (earlier,) = letter.earlier or []
    assert (earlier["number"], earlier["error"]) == (1, "Meta is away")
    assert "TryAgain: Meta is away" in earlier["traceback"]
    assert letter.attempts == 2
    assert not FailedAttempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_wait_is_no_failed_attempt(put, work):
    put("wait", "e1")

    work()

    assert not FailedAttempt.objects.exists()


def test_they_are_given_oldest_first_and_not_without_end(monkeypatch):
    monkeypatch.setattr(attempts, "MOST_TAKEN", 2)
    for number in (1, 2, 3):
        noted(number=number)
    noted("other")

    assert [one["error"] for one in attempts.of("e1")] == ["Meta is away, 2", "Meta is away, 3"]


def test_those_of_jobs_that_ended_well_go_after_some_days():
    old = first_id_of(timezone.now() - timedelta(days=9))
    FailedAttempt.objects.create(pk=old, job="e0", number=1, at=timezone.now(), error="x")
    noted()

    attempts.forget_old()

    assert FailedAttempt.objects.get().job == "e1"


def test_a_letters_page_shows_each_attempt(client):
    letter = row("e1", earlier=EARLIER, attempts=2, traceback="line 9")
    client.force_login(person(VIEW, TEXT))

    page = client.get(f"/admin/queueops/deadletter/{letter.pk}/change/").content.decode()

    assert "Attempt 1, 2026-01-01 10:00:00 UTC: KeyError: &#x27;Ann&#x27;" in page
    assert page.index("line 7 of Ann") < page.index("Attempt 2") < page.index("line 9")


def test_whoever_may_not_see_text_sees_that_there_were_attempts(client):
    letter = row("e1", earlier=EARLIER, attempts=2)
    client.force_login(person(VIEW))

    page = client.get(f"/admin/queueops/deadletter/{letter.pk}/change/").content.decode()

    assert "Attempt 1" in page
    assert "Ann" not in page


def test_each_time_that_an_event_was_given_up_has_a_letter_and_each_leads_to_the_others(client):
    first, second = row("e1", status="retried", error="The first time"), row("e1", error="The second time")
    client.force_login(person(VIEW))

    page = client.get(f"/admin/queueops/deadletter/{second.pk}/change/")

    assert [letter.pk for letter in page.context["others"]] == [first.pk]
    assert "The first time" in page.content.decode()
