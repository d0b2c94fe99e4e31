"""What a dead letter is told by the automations: whose rule it was, and until when its account waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from automations import app_pause, given_up
from queueops import deadletters, verdicts
from queueops.errors import Cause as Why
from queueops.errors import Reject
from queueops.jobs import Failure
from queueops.models import Cause, DeadLetter
from tests.automations.rows import account, automation, event
from tests.people import person
from tests.queueops.letters import row

VIEW, CAUSES, TEXT = "queueops.view_deadletter", "queueops.view_cause", "queueops.see_text"
LIST = "/admin/queueops/deadletter/"
TASK = "automations.tasks.process_event"
PAUSED = {"func": TASK, "cause_verdict": "pause_account", "cause_title": "Meta restricts the account"}
NEXT_YEAR = datetime(2027, 5, 1, 12, 4, tzinfo=UTC)
UNTIL = "wait until 2027-05-01 12:04 UTC"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]


@pytest.fixture
def viewer(client):
    client.force_login(person(VIEW, CAUSES, TEXT))
    return client


def give_up(key, instagram_id):
    error = Reject("Meta refused the call", Why(title="Meta refused the call", verdict="reject"))
    failure = Failure(dead=True, at=timezone.now(), reason=error.reason, attempt=1, cause=error.cause)
    payload = {"kind": "message", "account": instagram_id}
    deadletters.write(key, TASK, "high", [payload, {"id": "r", "at": "2026-01-01T00:00:00+00:00"}], failure, error)
    return DeadLetter.objects.get(event=key)


def listed(client, query):
    return [letter.event for letter in client.get(LIST + query).context["cl"].result_list]


def test_a_letter_knows_the_automation_that_was_answering(viewer):
    rule = automation(account(), name="Link rule")
    event("k1", automation=rule)

    letter = give_up("k1", rule.account.instagram_id)
    rule.name = "Renamed"
    rule.save()
    other = give_up("k2", rule.account.instagram_id)

    assert (letter.automation, letter.automation_name) == (str(rule.pk), "Link rule")
    assert (other.automation, other.automation_name) == ("", "")
    page = viewer.get(f"{LIST}{letter.pk}/change/").content.decode()
    assert "Link rule" in page
    assert f"?automation={rule.pk}" in page


def test_letters_are_filtered_by_automation_by_the_names_that_those_had(viewer):
    row("k1", automation="rule-1", automation_name="Link rule")
    row("k2", automation="rule-2", automation_name="Price rule")
    row("k3")

    page = viewer.get(LIST).content.decode()

    assert "Link rule" in page
    assert 'value="rule-2"' in page
    assert listed(viewer, "?automation=rule-1") == ["k1"]
    assert listed(viewer, "?automation=rule-1&automation=rule-2") == ["k2", "k1"]
    assert listed(viewer, "?automation=gone") == []


def test_who_waits_is_asked_of_accounts_and_of_the_app(redis):
    account(paused_until=NEXT_YEAR)
    account(instagram_id="15", paused_until=timezone.now() - timedelta(minutes=1))

    waits = given_up.waits()
    redis.set(app_pause.KEY, f"{NEXT_YEAR.timestamp() + 60}")
    with_the_app = given_up.waits()

    assert waits.by_account == {"17841456778752687": NEXT_YEAR}
    assert (waits.until("17841456778752687"), waits.until("15")) == (NEXT_YEAR, waits.asked_at)
    assert with_the_app.until("15") == NEXT_YEAR + timedelta(minutes=1)


def test_lists_pages_and_causes_say_until_when_to_wait(viewer):
    account(paused_until=NEXT_YEAR)
    letter = row("k1", fingerprint="c1", **PAUSED)
    row("k2", fingerprint="c1", account="15", **PAUSED)
    Cause.objects.create(pk="c1", title="Meta restricts the account", verdict="pause_account", func=TASK)

    listing = viewer.get(LIST).content.decode()

    assert listing.count(UNTIL) == 1
    assert "safe to retry" in listing  # the other one's account waits no more
    for address in (f"{LIST}{letter.pk}/change/", "/admin/queueops/cause/c1/change/", "/admin/queueops/cause/"):
        assert UNTIL in viewer.get(address).content.decode(), address


def test_a_list_asks_once_who_waits(viewer, django_assert_max_num_queries):
    account(paused_until=NEXT_YEAR)
    for n in range(20):
        row(f"k{n}", **PAUSED)

    with django_assert_max_num_queries(16):
        assert viewer.get(LIST).content.decode().count(UNTIL) == 20


@pytest.mark.parametrize(
    ("verdict", "given", "word"),
    [
        ("pause_account", {}, "wait, then retry"),
        ("pause_account", {"until": NEXT_YEAR}, UNTIL),
        ("wait", {"until": datetime(2020, 1, 1, tzinfo=UTC)}, "safe to retry"),
        ("wait", {"until": NEXT_YEAR, "is_closed": True}, "never: window closed"),
        ("needs_owner", {"until": NEXT_YEAR}, "needs the account's owner"),
        ("some_new_one", {}, "some new one"),
    ],
)
def test_the_verdict_in_a_word(verdict, given, word):
    assert verdicts.said(verdict, **given).word == word


def test_a_letter_whose_window_has_closed_says_so(viewer):
    letter = row("k1", expires_at=timezone.now() - timedelta(minutes=1), **PAUSED)

    assert "never: window closed" in viewer.get(LIST).content.decode()
    assert "a retry would send nothing any more" in viewer.get(f"{LIST}{letter.pk}/change/").content.decode()
