"""Orders over many dead letters in the console: plan, confirm, progress, result, each by permission."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from queueops import operations, slices
from queueops.audit import CONSOLE, By
from queueops.models import AuditEntry, Cause, DeadLetter, Operation
from tests.people import person
from tests.queueops.letters import dead, row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/queueops/deadletter/"
PAGE = "/admin/queueops/operation/"
VIEW, SEE, BULK = "queueops.view_deadletter", "queueops.view_operation", "queueops.bulk_retry_deadletter"
DISCARD, CONSENT, TEXT = "queueops.discard_deadletter", "queueops.consent_operation", "queueops.see_text"


@pytest.fixture
def maria(client):
    user = person(VIEW, SEE, BULK, DISCARD, CONSENT, TEXT)
    client.force_login(user)
    return user


def page_of(operation):
    return f"{PAGE}{operation.pk}/change/"


def carry_out():
    while slices.turn():
        Operation.objects.update(next_at=timezone.now())


def told(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_list_says_which_letters_in_words_with_the_titles_of_their_causes(client, maria):
    for n in range(2):
        fingerprint = f"{n}" * 32
        dead(f"e{n}", fingerprint=fingerprint)
        Cause.objects.update_or_create(pk=fingerprint, defaults={"title": f"Meta is down {n}"})
        operations.start("retry", {"fingerprint": [fingerprint]}, By(maria, CONSOLE, "again"))
    dead("other", lane="low")
    operations.start("retry", {"lane": ["low"]}, By(maria, CONSOLE, "again"))
    listed = client.get(PAGE).content.decode()
    assert "cause is Meta is down 0" in listed
    assert "cause is Meta is down 1" in listed
    assert "lane is low" in listed


def test_from_the_filtered_list_to_the_result(client, maria):
    for n in range(3):
        dead(f"e{n}", lane="low")
    dead("other")
    listed = client.get(f"{LIST}?lane__exact=low&status__exact=dead")
    addresses = dict(listed.context["bulk"])
    address = addresses["Retry all that match…"]

    planned = client.get(address)
    assert planned.context["plan"].n == 3
    assert "lane is low" in planned.content.decode()
    assert DeadLetter.objects.dead().count() == 4

    answer = client.post(address, {"canary": 0, "pace": 50, "reason": "after the outage"})
    operation = Operation.objects.get()
    assert answer["Location"] == page_of(operation)
    progress = client.get(page_of(operation))
    assert (progress["Refresh"], progress.context["operation"].state) == ("3", "running")

    carry_out()
    result = client.get(page_of(operation))
    assert "Refresh" not in result
    assert "3 of 3" in result.content.decode()
    assert "done" in client.get(PAGE).content.decode()
    assert AuditEntry.objects.get(number=1).reason == "after the outage"


@pytest.mark.parametrize(
    ("query", "selection"),
    [
        ("", {}),
        ("?status__exact=dead&o=1&p=2", {}),
        ("?status__exact=dead&status__exact=retried", {}),
        ("?lane__exact=low&lane__exact=high", {"lane": ["low", "high"]}),
        ("?kind=comment&cause_code=100&cause_verdict=bug", {"kind": ["comment"], "code": ["100"], "verdict": ["bug"]}),
        ("?cause_title=Meta+is+down&account=2", {"title": ["Meta is down"], "account": ["2"]}),
        ("?attempts_from=2&attempts_to=", {"attempts_from": ["2"]}),
        ("?fingerprint=abc", {"fingerprint": ["abc"]}),
        ("?q=two+%22one+phrase%22", {"q": ["two", "one phrase"]}),
        ("?created_at_from_0=2026-01-01", {"since": ["2026-01-01T00:00:00+00:00"]}),
        ("?created_at_to_0=2026-01-01", {"until": ["2026-01-01T23:59:59+00:00"]}),
        ("?created_at_to_0=soon", {}),
    ],
)
def test_the_plan_is_about_what_the_list_shows(client, maria, query, selection):
    [address, _] = dict(client.get(LIST + query).context["bulk"]).values()

    assert parse_qs(urlparse(address).query) == selection


@pytest.mark.parametrize("query", ["?status__exact=discarded", "?error__contains=x"])
def test_where_no_plan_can_be_about_the_same_none_is_offered(client, maria, query):
    answer = client.get(LIST + query)

    assert answer.status_code == 302 or answer.context["bulk"] == []


@pytest.mark.parametrize("lack", [VIEW, BULK])
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_plan_takes_its_permission(client, lack, method):
    dead("e1")
    client.force_login(person(*({VIEW, SEE, BULK, DISCARD} - {lack})))

    answer = getattr(client, method)(f"{PAGE}plan/retry/", {"canary": 0, "pace": 5, "reason": "x"})

    assert answer.status_code == 403
    assert not Operation.objects.exists()


@pytest.mark.parametrize("given", [{"reason": ""}, {"pace": 0}, {"pace": "fast"}, {"canary": -1}])
def test_without_a_reason_or_with_numbers_beyond_reason_nothing_begins(client, maria, given):
    dead("e1")

    answer = client.post(f"{PAGE}plan/retry/", {"canary": 0, "pace": 5, "reason": "why", **given})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not Operation.objects.exists()


@pytest.mark.parametrize("address", ["plan/delete/", "plan/retry/?lanes=low", "plan/retry/?code=x", "1/change/"])
def test_what_does_not_exist_is_not_found(client, maria, address):
    assert client.get(PAGE + address).status_code == 404


def test_what_is_left_out_can_be_taken_along(client, maria):
    row("e1", cause_verdict="reject")
    page = client.get(f"{PAGE}plan/retry/?lane=high")
    [(why, n, address, is_in)] = page.context["choices"]
    assert (why, n, is_in, page.context["plan"].n) == ("Meta refuses them for good", 1, False, 0)

    assert client.get(f"{PAGE}plan/retry/{address}").context["plan"].n == 1


def test_nothing_to_do_says_so(client, maria):
    answer = client.post(f"{PAGE}plan/discard/", {"pace": 5, "reason": "why"})

    assert told(answer) == ["Nothing to do: no dead letter matches any more."]


def test_it_is_cancelled_with_a_reason(client, maria):
    dead("e1")
    operation = operations.start("retry", {}, By(maria, CONSOLE))
    still = client.get(f"{page_of(operation)}?still")
    assert "Refresh" not in still
    assert "Cancel it" in still.content.decode()

    assert "say why" in told(client.post(f"{PAGE}{operation.pk}/cancel/"))[0]
    client.post(f"{PAGE}{operation.pk}/cancel/", {"reason": "wrong filter"})

    operation.refresh_from_db()
    assert operation.state == "cancelled"
    assert AuditEntry.objects.filter(action="cancel", reason="wrong filter").exists()


def test_a_halted_one_says_why_and_goes_on(client, maria):
    dead("e1")
    operation = operations.start("retry", {}, By(maria, CONSOLE))
    Operation.objects.update(state="halted", halted_because="1 of the 5 that went first died again")
    assert "1 of the 5 that went first died again" in client.get(page_of(operation)).content.decode()

    client.post(f"{PAGE}{operation.pk}/go-on/", {"reason": "it was another thing"})

    operation.refresh_from_db()
    assert operation.state == "running"


@pytest.mark.parametrize("act", ["cancel", "go-on", "consent"])
def test_acting_takes_a_post_and_the_permission_of_the_order(client, maria, act):
    dead("e1")
    operation = operations.start("retry", {}, By(maria, CONSOLE))
    address = f"{PAGE}{operation.pk}/{act}/"
    assert client.get(address).status_code == 405

    client.force_login(person(VIEW, SEE, DISCARD, CONSENT, name="bob"))

    assert client.post(address, {"reason": "x"}).status_code == 403
    assert "Cancel it" not in client.get(f"{page_of(operation)}?still").content.decode()
    operation.refresh_from_db()
    assert operation.state == "running"


def test_two_people_discard_many(client, maria, settings):
    settings.QUEUE_CONSENT_ABOVE = 1
    dead("e1")
    dead("e2")
    client.post(f"{PAGE}plan/discard/?lane=high", {"pace": 50, "reason": "spam"})
    operation = Operation.objects.get()
    own = client.get(page_of(operation)).content.decode()
    assert "waits for a second person" in own
    assert "/consent/" not in own
    assert client.post(f"{PAGE}{operation.pk}/consent/", {"reason": "me too"}).status_code == 403

    client.force_login(person(VIEW, SEE, DISCARD, CONSENT, name="bob"))
    asked = client.get(page_of(operation))
    assert "/consent/" in asked.content.decode()
    assert client.get(asked.context["plan"]).context["plan"].n == 2
    client.post(f"{PAGE}{operation.pk}/consent/", {"reason": "agreed"})
    carry_out()

    assert DeadLetter.objects.filter(status="discarded").count() == 2
    assert "with the consent of bob" in client.get(page_of(operation)).content.decode()


def test_a_cause_is_called_by_its_title(client, maria):
    letter = dead("e1")
    letter.fingerprint = "c264"
    letter.save()
    Cause.objects.create(pk="c264", title="The access token has expired")
    address = f"{PAGE}plan/retry/?fingerprint=c264"
    assert "cause is The access token has expired" in client.get(address).content.decode()

    client.post(address, {"canary": 0, "pace": 50, "reason": "it is connected again"})

    shown = client.get(page_of(Operation.objects.get())).content.decode()
    assert "Retry: cause is The access token has expired" in shown
    assert "c264" not in client.get(PAGE).content.decode()


def test_the_lists_own_action_is_no_way_around_the_second_person(client, maria, settings):
    settings.QUEUE_CONSENT_ABOVE = 1
    letters = [dead("e1"), dead("e2")]

    answer = client.post(LIST, {"action": "discard_selected", "_selected_action": [one.pk for one in letters]})

    assert "two people" in told(answer)[0]
    assert DeadLetter.objects.dead().count() == 2
