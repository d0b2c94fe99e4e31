"""Dead letters by cause: the same fingerprint for the same fault, counted by the database, resolved and reopened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from automations import events
from automations.models import Delivery
from queueops import cause_counts, causes, deadletters, verdicts
from queueops.audit import CONSOLE, By
from queueops.errors import Cause as Why
from queueops.errors import Reject
from queueops.fingerprints import fingerprint
from queueops.jobs import Failure
from queueops.models import AuditEntry, Cause, DeadLetter
from tests.automations.rows import delivery, event
from tests.people import person, superuser
from tests.queueops.letters import row

pytestmark = pytest.mark.django_db

LIST = "/admin/queueops/cause/"
VIEW, LETTERS, RESOLVE = "queueops.view_cause", "queueops.view_deadletter", "queueops.resolve_cause"
OURS = 'File "/srv/app/automations/replies.py", line {}, in plan\n'


def letter(**fields):
    values = {"func": "automations.tasks.process_event", "cause_code": 0, "cause_subcode": 0, "cause_title": "KeyError"}
    return DeadLetter(**{**values, "cause_verdict": "bug", "error": "KeyError: 'x'", "traceback": "", **fields})


def meta(**fields):
    return letter(cause_code=190, cause_subcode=463, cause_verdict="needs_owner", cause_title="Expired", **fields)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (meta(error="Token of 17841456778752687 expired"), meta(error="Token of 17841405726653026 expired")),
        (meta(traceback="one"), meta(traceback="another")),
        (letter(error="ValueError: no such id 42"), letter(error="ValueError: no such id 178f-77")),
        (letter(error="KeyError: 'what Ann wrote'"), letter(error="KeyError: 'what Bob wrote'")),
        (letter(traceback=OURS.format(10)), letter(traceback=OURS.format(99))),
        (
            letter(cause_verdict="retry", cause_title="Meta could not be reached", error="reset after 3 s"),
            letter(cause_verdict="retry", cause_title="Meta could not be reached", error="time-out"),
        ),
    ],
)
def test_what_changes_from_letter_to_letter_makes_no_other_cause(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        letter(cause_code=190, cause_subcode=460, cause_verdict="needs_owner"),
        letter(cause_code=191, cause_subcode=463, cause_verdict="needs_owner"),
        meta(func="automations.tasks.settle_by_echo"),
        letter(),
        letter(error="KeyError: 'x' in the map"),
        letter(cause_title="ValueError"),
        letter(traceback=OURS.format(10)),
        letter(traceback=OURS.format(10).replace("plan", "split")),
    ],
)
def test_another_fault_is_another_cause(other):
    others = [meta(), letter(cause_title="TypeError", error="TypeError: none", traceback="")]
    assert fingerprint(other) not in {fingerprint(one) for one in others}


def write(job, payload=None, at=None, verdict="reject"):
    at = at or timezone.now()
    error = Reject("No such person", Why(title="No such person", verdict=verdict, code=551))
    failure = Failure(dead=True, at=at, reason=error.reason, attempt=1, cause=error.cause)
    receipt = {"id": "r", "at": at.isoformat()}
    deadletters.write(job, "automations.tasks.process_event", "high", [payload or {}, receipt], failure, error)
    return DeadLetter.objects.get(event=job, status="dead")


def test_a_written_letter_has_its_cause(django_assert_num_queries):
    first = write("e1")
    # Its automation, its earlier attempts; savepoint, letter, cause, reopening, release.
    with django_assert_num_queries(7):
        second = write_without_looking("e2")

    cause = Cause.objects.get()
    assert (cause.pk, cause.title, cause.code, cause.state) == (first.fingerprint, "No such person", 551, "open")
    assert DeadLetter.objects.get(event="e2").fingerprint == first.fingerprint
    assert second is None


def write_without_looking(job):
    error = Reject("No such person", Why(title="No such person", verdict="reject", code=551))
    failure = Failure(dead=True, at=timezone.now(), reason="x", attempt=1, cause=error.cause)
    deadletters.write(job, "automations.tasks.process_event", "high", [{}, {}], failure, error)


@pytest.mark.parametrize(
    ("made", "window"),
    [
        (events.Message, timedelta(hours=24)),
        (events.Comment, timedelta(days=7)),
        (events.LiveComment, timedelta(hours=4)),
        (events.Referral, None),
    ],
)
def test_a_letter_knows_when_its_retry_stops_making_sense(made, window):
    happened = timezone.now().replace(microsecond=0) - timedelta(minutes=5)
    at_ms = int(happened.timestamp() * 1000)
    payload = made(account="1", person="2", source_id="3", at_ms=at_ms).as_payload()

    written = write("e1", payload)

    assert written.expires_at == (None if window is None else happened + window)


def test_what_nobody_can_read_is_written_all_the_same():
    assert write("e1", {"kind": "carrier pigeon"}).expires_at is None


def test_a_resolved_cause_reopens_by_itself_when_it_is_seen_again():
    cause = Cause.objects.get(pk=write("e1").fingerprint)
    by = By(superuser(), CONSOLE, "the token was renewed")
    assert causes.resolve(cause, by)
    assert not causes.resolve(cause, by)
    resolved_at = Cause.objects.get().resolved_at
    assert AuditEntry.objects.get(action="resolve").reason == "the token was renewed"

    write("before", at=resolved_at - timedelta(seconds=1))
    assert Cause.objects.get().state == "resolved"
    write("after", at=resolved_at + timedelta(seconds=1))

    cause.refresh_from_db()
    assert (cause.state, cause.note, cause.reopened_at) == (
        "open",
        "the token was renewed",
        resolved_at + timedelta(seconds=1),
    )


@pytest.fixture
def two_causes():
    """Three letters of one cause for two accounts, one letter of another; each with its row."""
    now = timezone.now()
    made = [
        row("a1", created_at=now - timedelta(days=3), expires_at=now - timedelta(hours=1)),
        row("a2", created_at=now, expires_at=now + timedelta(minutes=30)),
        row("a3", created_at=now, expires_at=now + timedelta(hours=5), account="2"),
        row("b1", created_at=now, cause_code=100, cause_title="No such person", cause_verdict="reject"),
        row("gone", status="resolved"),
    ]
    for one in made:
        one.fingerprint = fingerprint(one)
        one.save()
        causes.note(one)
    return made


def seen():
    return causes.seen(cause_counts.look(DeadLetter.objects.dead(), are_all=True), Cause.objects.all())


def test_each_cause_is_counted_by_the_database(two_causes, django_assert_num_queries):
    with django_assert_num_queries(4):
        often, seldom = seen()

    assert (often.n, often.accounts, often.expired, often.expire_1h, often.expire_24h) == (3, 2, 1, 1, 2)
    assert (often.first, often.last) == (two_causes[0].created_at, two_causes[2].created_at)
    assert (sum(often.hours), often.hours[-1]) == (2, 2)
    assert (seldom.n, seldom.verdict.word) == (1, "never, as it is")


def test_when_every_window_has_closed_it_says_never(two_causes):
    DeadLetter.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    [often, _] = seen()

    assert often.verdict == verdicts.CLOSED


@pytest.fixture
def operator(client):
    user = person(VIEW, LETTERS, RESOLVE, "queueops.bulk_retry_deadletter")
    client.force_login(user)
    return client


def test_the_page_lists_open_causes_and_leads_to_each(operator, two_causes):
    text = operator.get(LIST).content.decode()

    assert "needs the account&#x27;s owner" in text
    assert "1 in 1 h" in text
    page = operator.get(f"{LIST}{two_causes[0].fingerprint}/change/")
    assert page.context["seen"].n == 3
    assert f"plan/retry/?fingerprint={two_causes[0].fingerprint}" in page.content.decode()
    assert operator.get(f"{LIST}none/change/").status_code == 404


def test_the_list_of_letters_can_be_narrowed_to_a_cause(operator, two_causes):
    answer = operator.get(f"/admin/queueops/deadletter/?fingerprint={two_causes[3].fingerprint}")

    assert [one.event for one in answer.context["cl"].result_list] == ["b1"]


def test_resolving_takes_a_reason_a_post_and_the_permission(operator, two_causes):
    address = f"{LIST}{two_causes[0].fingerprint}/resolve/"
    assert operator.get(address).status_code == 405
    answer = operator.post(address)
    assert "Say why" in str(next(iter(get_messages(answer.wsgi_request))))
    assert Cause.objects.filter(state="resolved").count() == 0

    operator.post(address, {"reason": "renewed"})
    assert Cause.objects.get(state="resolved").resolved_by == "maria"
    assert "renewed" in operator.get(f"{LIST}{two_causes[0].fingerprint}/change/").content.decode()
    operator.post(address.replace("resolve", "reopen"), {"reason": "too soon"})
    assert Cause.objects.filter(state="resolved").count() == 0

    operator.force_login(person(VIEW, LETTERS, name="tom"))
    assert operator.post(address, {"reason": "x"}).status_code == 403
    assert Cause.objects.filter(state="resolved").count() == 0


@pytest.mark.parametrize("lack", [VIEW, LETTERS])
def test_seeing_causes_takes_both_permissions(client, two_causes, lack):
    client.force_login(person(*({VIEW, LETTERS} - {lack})))

    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{two_causes[0].fingerprint}/change/").status_code == 403


# --- What went out already -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "is_delivered"),
    [
        (["sent"], True),
        (["sent", "skipped"], True),
        (["sent", "failed"], False),
        (["sent", "sending"], False),
        (["failed"], False),
        ([], False),
    ],
)
def test_it_is_known_which_letters_messages_went_out(statuses, is_delivered):
    happened = event("k1", outcome="dead")
    at = timezone.now()
    for step, status in enumerate(statuses, start=1):
        sent = delivery(happened, step=step, status=status)
        Delivery.objects.filter(pk=sent.pk).update(finished_at=at)
    one = row("k1", func="automations.tasks.process_event")

    assert deadletters.delivered([one]) == ({one.pk: at} if is_delivered else {})


def test_one_that_went_out_is_not_retried_blindly(client, redis):
    at = timezone.now()
    sent = delivery(event("k1", outcome="dead"), status="sent")
    Delivery.objects.filter(pk=sent.pk).update(finished_at=at)
    one = row("k1", func="automations.tasks.process_event")
    client.force_login(superuser())
    page = f"/admin/queueops/deadletter/{one.pk}"
    assert f"Already delivered at {at:%Y-%m-%d %H:%M} UTC" in client.get(f"{page}/change/").content.decode()

    answer = client.post(f"{page}/retry/")
    assert "Already delivered" in str(next(iter(get_messages(answer.wsgi_request))))
    assert DeadLetter.objects.get().status == "dead"

    client.post(f"{page}/retry/", {"anyway": "yes", "reason": "the customer says no"})
    assert DeadLetter.objects.get().status == "retried"
