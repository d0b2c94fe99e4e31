"""Dead letters in the console: the dead first, everything on one page, retry and discard by POST and permission."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages

from queueops import connections, ledger
from queueops.models import DeadLetter
from tests.people import person, superuser
from tests.queueops.letters import dead, row

pytestmark = pytest.mark.django_db

LIST = "/admin/queueops/deadletter/"
VIEW, RETRY, DISCARD = "queueops.view_deadletter", "queueops.retry_deadletter", "queueops.discard_deadletter"
BULK, TEXT = "queueops.bulk_retry_deadletter", "queueops.see_text"


@pytest.fixture
def operator(client):
    client.force_login(person(VIEW, RETRY, BULK, DISCARD, TEXT))
    return client


def listed(client, query=""):
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return [letter.event for letter in answer.context["cl"].result_list]


def bulk(client, action, *letters):
    return client.post(LIST, {"action": action, "_selected_action": [letter.pk for letter in letters]})


def messages(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_dead_come_first_and_of_them_the_newest(operator):
    row("old")
    row("done", status="resolved")
    row("new")

    assert listed(operator) == ["new", "old", "done"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?lane__exact=low", ["e2"]),
        ("?status__exact=discarded", ["e3"]),
        ("?kind=comment", ["e2"]),
        ("?cause_code=100", ["e2"]),
        ("?cause_verdict=reject", ["e2"]),
        ("?created_at_from_0=2020-01-01&created_at_from_1=00:00:00&created_at_to_0=2020-12-31", []),
        ("?created_at_from_0=2020-01-01", ["e2", "e1", "e3"]),
        ("?created_at_from_0=yesterday&created_at_to_1=noon", ["e2", "e1", "e3"]),
        ("?q=m_e2", ["e2"]),
        ("?q=8422491661125971", ["e2", "e1", "e3"]),
        ("?q=validating", ["e2", "e1", "e3"]),
        ("?q=17841456778752687", ["e2", "e1", "e3"]),
    ],
)
def test_filters_and_search_narrow_the_list(operator, query, found):
    row("e1")
    row("e2", lane="low", kind="comment", cause_code=100, cause_verdict="reject")
    row("e3", status="discarded")

    assert listed(operator, query) == found


def test_the_list_takes_the_same_few_queries_however_long_it_is(operator, django_assert_max_num_queries):
    for n in range(40):
        row(f"e{n}", kind="comment" if n % 2 else "message")
    with django_assert_max_num_queries(14):
        listed(operator)


def test_what_people_wrote_is_escaped(operator):
    letter = row("e1", error="<script>alert(1)</script>")

    for address in (LIST, f"{LIST}{letter.pk}/change/"):
        assert "<script>alert(1)" not in operator.get(address).content.decode()


def test_the_page_of_a_letter_shows_all_that_is_needed_to_understand_it(operator):
    letter = row("e1", payload={"args": [{"text": "héllo"}]}, traceback="Traceback: KeyError")

    text = operator.get(f"{LIST}{letter.pk}/change/").content.decode()

    for shown in ("Error validating access token", "190/463", "héllo", "Traceback: KeyError", "/trace/e1", "not yet"):
        assert shown in text


def test_nothing_can_be_added_changed_or_deleted(client):
    client.force_login(superuser())
    letter = row("e1")

    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{letter.pk}/change/", {"error": "other"}).status_code == 403
    assert client.post(f"{LIST}{letter.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in client.get(LIST).content.decode()


def test_the_button_on_a_row_retries_it(operator, redis):
    letter, other = dead("e1", lane="low"), dead("e2", lane="low")
    address = f"{LIST}{letter.pk}/retry/"
    assert f'formaction="{address}"' in operator.get(LIST).content.decode()

    answer = operator.post(address, headers={"Referer": f"http://testserver{LIST}?lane__exact=low"})

    assert answer["Location"] == f"{LIST}?lane__exact=low"
    assert messages(answer) == ["1 dead letter retried."]
    assert redis.lrange("rq:queue:low", 0, -1) == [b"e1"]
    letter.refresh_from_db()
    other.refresh_from_db()
    assert (letter.status, str(letter.handled_by), other.status) == ("retried", "maria", "dead")


def test_the_way_back_never_leads_elsewhere(operator):
    letter = dead("e1")

    answer = operator.post(f"{LIST}{letter.pk}/retry/", headers={"Referer": "https://elsewhere.example/admin/"})

    assert answer["Location"] == LIST


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_a_get_changes_nothing(operator, action):
    letter = dead("e1")

    assert operator.get(f"{LIST}{letter.pk}/{action}/").status_code == 405
    assert DeadLetter.objects.get().status == "dead"


def test_a_post_from_another_site_changes_nothing(client):
    client.handler.enforce_csrf_checks = True
    client.force_login(superuser())
    letter = dead("e1")

    assert client.post(f"{LIST}{letter.pk}/retry/").status_code == 403
    assert DeadLetter.objects.get().status == "dead"


def test_discarding_one_gives_it_up_for_good(operator, redis):
    letter = dead("e1")

    answer = operator.post(f"{LIST}{letter.pk}/discard/")

    assert messages(answer) == ["1 dead letter discarded."]
    counts = ledger.read(redis)
    assert (counts.discarded, counts.total("dead"), counts.unexplained) == (1, 0, 0)


def test_many_are_retried_at_once_and_the_message_says_how_many(operator, redis):
    letters = [dead("e1"), dead("e2"), row("e3", status="resolved")]

    answer = bulk(operator, "retry_selected", *letters)

    assert messages(answer) == ["2 dead letters retried."]
    assert redis.llen("rq:queue:high") == 2


def test_many_are_discarded_at_once(operator):
    answer = bulk(operator, "discard_selected", dead("e1"), dead("e2"))

    assert messages(answer) == ["2 dead letters discarded."]
    assert not DeadLetter.objects.dead().exists()


def test_one_press_is_bounded_and_says_that_there_are_more(operator, monkeypatch):
    monkeypatch.setattr("queueops.letter_acts.HANDLED_AT_ONCE", 1)

    answer = bulk(operator, "retry_selected", dead("e1"), dead("e2"))

    assert messages(answer)[0] == "1 dead letter retried."
    assert "do it again" in messages(answer)[1]
    assert DeadLetter.objects.dead().get().event == "e2"


def test_what_is_handled_already_is_left_alone(operator):
    answer = bulk(operator, "retry_selected", row("e1", status="discarded"))

    assert messages(answer) == ["Nothing to do: none of them is dead any more."]


@pytest.mark.parametrize(("action", "permission"), [("retry", RETRY), ("discard", DISCARD)])
def test_each_action_needs_its_own_permission(client, action, permission):
    letter = dead("e1")
    others = {VIEW, RETRY, DISCARD} - {permission}  # BULK is for many: see test_admin_permissions
    client.force_login(person(*others))

    assert client.post(f"{LIST}{letter.pk}/{action}/").status_code == 403
    bulk(client, f"{action}_selected", letter)
    assert DeadLetter.objects.get().status == "dead"
    assert f"{letter.pk}/{action}/" not in client.get(LIST).content.decode()
    assert f"{letter.pk}/{action}/" not in client.get(f"{LIST}{letter.pk}/change/").content.decode()


def test_while_redis_is_away_a_message_says_so(operator, settings, monkeypatch):
    letter = dead("e1")
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    answer = operator.post(f"{LIST}{letter.pk}/retry/")

    assert "Redis cannot be reached" in messages(answer)[0]
    letter.refresh_from_db()
    assert letter.status == "dead"


def test_who_handled_it_and_when_is_shown(operator):
    letter = dead("e1")
    operator.post(f"{LIST}{letter.pk}/discard/")

    assert "discarded by maria" in operator.get(f"{LIST}{letter.pk}/change/").content.decode()
