"""Dead letters over the API: found by filters, read in pages, retried one by one or many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from queueops import connections, ledger
from queueops.keys import first_id_of
from queueops.models import DeadLetter
from tests.people import person
from tests.queueops.letters import dead, row

pytestmark = pytest.mark.django_db

READ, RETRY = "queueops.view_deadletter", "queueops.retry_deadletter"
BULK = "queueops.bulk_retry_deadletter"


@pytest.fixture
def operator(client):
    client.force_login(person(READ, RETRY, BULK))
    return client


def events(client, **filters):
    answer = client.get("/api/dead-letters", filters)
    assert answer.status_code == 200, answer.content
    return [letter["event"] for letter in answer.json()["results"]]


def test_a_letter_has_the_shape_of_the_contract(operator):
    letter = row("e1")

    answer = operator.get("/api/dead-letters").json()

    assert answer == {
        "next": None,
        "results": [
            {
                "id": str(letter.pk),
                "event": "e1",
                "lane": "high",
                "kind": "message",
                "account": "17841456778752687",
                "person": "8422491661125971",
                "source_id": "m_e1",
                "automation": "",
                "automation_name": "",
                "cause": {
                    "code": 190,
                    "subcode": 463,
                    "title": "The account's access token has expired",
                    "verdict": "needs_owner",
                },
                "error": "Error validating access token",
                "attempts": 1,
                "status": "dead",
                "created_at": answer["results"][0]["created_at"],
            }
        ],
    }


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["e2", "e1", "e3"]),
        ({"lane": "low"}, ["e2"]),
        ({"kind": "comment"}, ["e2"]),
        ({"account": "1"}, ["e3"]),
        ({"cause": "100"}, ["e2"]),
        ({"cause": "needs_owner"}, ["e1", "e3"]),
        ({"cause": "token has expired"}, ["e1", "e3"]),
        ({"cause": "99999999999999999999"}, []),
        ({"q": "8422491661125971"}, ["e2", "e1"]),
        ({"q": "m_e2"}, ["e2"]),
        ({"q": "VALIDATING"}, ["e2", "e1", "e3"]),
        ({"status": "discarded"}, ["e3"]),
        ({"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, ["e2", "e1"]),
        ({"until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, ["e3"]),
        ({"since": "2000-01-01T00:00:00Z", "until": "1000-01-01T00:00:00Z"}, []),
        ({"until": "9000-12-31T23:59:59Z"}, ["e2", "e1", "e3"]),
        ({"automation": "rule-1"}, ["e2"]),
        ({"attempts_from": "2"}, ["e2"]),
        ({"attempts_to": "1"}, ["e1", "e3"]),
        ({"lane": "low", "kind": "message"}, []),
    ],
)
def test_filters_narrow_the_list(operator, filters, found):
    row("e1")
    deleted = {"cause_code": 100, "cause_title": "Deleted", "cause_verdict": "reject"}
    row("e2", lane="low", kind="comment", automation="rule-1", attempts=3, **deleted)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    row("e3", account="1", person="2", status="discarded", created_at=yesterday, id=first_id_of(yesterday))

    assert events(operator, **filters) == found


@pytest.mark.parametrize(
    "filters",
    [
        *({"lane": "express"}, {"since": "yesterday"}, {"status": "gone"}, {"acount": "1"}, {"q": "\0"}),
        *({"attempts_to": "-1"}, {"attempts_from": "many"}, {"until": "soon"}),
    ],
)
def test_a_filter_that_cannot_be_understood_is_named(operator, filters):
    answer = operator.get("/api/dead-letters", filters)

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert set(answer.json()["invalid"]) == set(filters)


def test_pages_follow_each_other_and_new_letters_do_not_move_them(operator):
    for n in range(5):
        row(f"e{n}")
    first = operator.get("/api/dead-letters", {"limit": 2}).json()
    row("newer")

    second = operator.get(first["next"]).json()
    third = operator.get(second["next"]).json()

    seen = [[letter["event"] for letter in page["results"]] for page in (first, second, third)]
    assert seen == [["e4", "e3"], ["e2", "e1"], ["e0"]]
    assert third["next"] is None


def test_a_page_takes_the_same_few_queries_however_long_it_is(operator, django_assert_max_num_queries):
    for n in range(30):
        row(f"e{n}")
    with django_assert_max_num_queries(6):  # session, user, two for the permissions, limited accounts, letters
        assert len(events(operator)) == 30


def test_retrying_puts_the_job_back_into_its_lane(operator, redis):
    letter = dead("e1", lane="low")

    answer = operator.post(f"/api/dead-letters/{letter.pk}/retry")

    assert answer.json() == {"retried": 1}
    counts = ledger.read(redis)
    assert (counts.total("waiting"), counts.total("dead"), counts.unexplained) == (1, 0, 0)
    letter.refresh_from_db()
    assert (letter.status, str(letter.handled_by)) == ("retried", "maria")


def test_what_is_not_dead_any_more_is_not_retried_again(operator):
    letter = dead("e1", status="discarded")

    assert operator.post(f"/api/dead-letters/{letter.pk}/retry/").status_code == 409


@pytest.mark.parametrize("key", ["no-uuid", "00000000-0000-7000-8000-000000000000"])
def test_a_letter_that_nobody_knows_is_404(operator, key):
    answer = operator.post(f"/api/dead-letters/{key}/retry")

    assert answer.status_code == 404
    assert answer.json()["status"] == 404


def test_many_are_retried_by_the_same_filters(operator, redis):
    dead("e1", lane="low")
    dead("e2", lane="low")
    dead("e3")

    answer = operator.post("/api/dead-letters/retry", {"lane": "low"}, content_type="application/json")

    assert answer.json() == {"retried": 2, "remaining": 0}
    assert redis.llen("rq:queue:low") == 2
    assert DeadLetter.objects.dead().get().event == "e3"


def test_the_filters_may_come_in_the_query_as_for_reading(operator):
    dead("e1", lane="low")
    dead("e2")

    answer = operator.post("/api/dead-letters/retry?lane=low", content_type="application/json")

    assert answer.json() == {"retried": 1, "remaining": 0}


def test_a_misspelt_filter_retries_nothing(operator):
    dead("e1")

    answer = operator.post("/api/dead-letters/retry", {"acount": "x"}, content_type="application/json")

    assert answer.status_code == 400
    assert DeadLetter.objects.dead().count() == 1


@pytest.mark.parametrize("body", ["[]", "[1]", '"all"'])
def test_a_body_that_is_no_object_retries_nothing(operator, body):
    dead("e1")

    answer = operator.post("/api/dead-letters/retry", body, content_type="application/json")

    assert answer.status_code == 400
    assert DeadLetter.objects.dead().count() == 1


def test_one_call_is_bounded_and_says_what_remains(operator, monkeypatch):
    monkeypatch.setattr("queueops.api.RETRIED_AT_ONCE", 2)
    for n in range(3):
        dead(f"e{n}")

    assert operator.post("/api/dead-letters/retry", content_type="application/json").json() == {
        "retried": 2,
        "remaining": 1,
    }


def test_reading_does_not_allow_to_retry(client):
    client.force_login(person(READ))
    letter = dead("e1")

    assert client.get("/api/dead-letters").status_code == 200
    assert client.post(f"/api/dead-letters/{letter.pk}/retry").status_code == 403
    assert client.post("/api/dead-letters/retry").status_code == 403
    assert client.get(f"/api/dead-letters/{letter.pk}/retry").status_code == 403


def test_without_credentials_nothing_is_read_or_retried(client):
    assert client.get("/api/dead-letters").status_code == 401
    assert client.post("/api/dead-letters/retry").status_code == 401


def test_while_redis_is_away_retrying_is_503_and_the_letter_stays(operator, settings, monkeypatch):
    letter = dead("e1")
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    answer = operator.post(f"/api/dead-letters/{letter.pk}/retry")

    assert answer.status_code == 503
    assert answer["Retry-After"]
    letter.refresh_from_db()
    assert letter.status == "dead"
