"""However the API says no, it says it as a problem document (RFC 9457), and it never breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from queueops.models import DeadLetter
from queueops.problems import MOST_BODY_BYTES
from tests.people import api_key, superuser
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

STATS, LETTERS, RETRY = "/api/queue-stats", "/api/dead-letters", "/api/dead-letters/retry"
JSON = "application/json"


@pytest.fixture
def ada():
    return Client(headers={"Authorization": f"Token {api_key(superuser())}"})


def refused(answer, status: int) -> Any:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/dead-letters/x", "/api/events/a%0Ab", "/api//"]
)
@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_an_unknown_address_is_404(ada, path, method):
    refused(getattr(ada, method)(path), 404)


def test_an_unknown_address_of_the_console_is_no_business_of_the_apis(client):
    assert client.get("/apiary")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_a_method_that_is_not_there_is_405_and_says_which_are(ada, method):
    answer = getattr(ada, method)(STATS)

    refused(answer, 405)
    assert "GET" in answer["Allow"]


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "text/css;q=0.5"])
def test_who_accepts_no_json_gets_406(ada, accept):
    refused(ada.get(STATS, headers={"Accept": accept}), 406)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_who_accepts_json_among_others_gets_it(ada, accept):
    assert ada.get(STATS, headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""],
)
def test_what_is_no_json_is_415_and_nothing_is_done(ada, content_type):
    dead("e1")

    refused(ada.post(RETRY, "lane=low", content_type=content_type), 415)
    assert DeadLetter.objects.dead().count() == 1


def test_a_form_of_a_console_session_is_not_passed_over_in_silence():
    dead("e1")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser())
    strict.get("/admin/login/")
    token = "x" * 32
    strict.cookies["csrftoken"] = token

    refused(strict.post(RETRY, {"lane": "low", "csrfmiddlewaretoken": token}), 415)
    assert DeadLetter.objects.dead().count() == 1


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_an_empty_form_is_nothing(ada, content_type):
    letter = dead("e1")
    body = "--x--\r\n" if "multipart" in content_type else ""

    assert ada.post(f"/api/dead-letters/{letter.pk}/retry", body, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    "body",
    ["{", "nonsense", b"\xff\xfe", '{"q": NaN}', '{"q": "\\ud800"}', "[" * 60_000, '{"a":' * 12_000, '"\\u0000'],
)
def test_what_is_no_sound_json_is_400_and_nothing_is_done(ada, body):
    dead("e1")

    refused(ada.post(RETRY, body, content_type=JSON), 400)
    assert DeadLetter.objects.dead().count() == 1


@pytest.mark.parametrize(
    "body",
    [[], "all", 5, None, {"lane": 5}, {"q": ["a"]}, {"account": 17841456778752687}, {"account": ""}, {"q": "\0"}],
)
def test_what_is_json_of_another_shape_is_400_and_names_it(ada, body):
    dead("e1")

    answer = refused(ada.post(RETRY, json.dumps(body), content_type=JSON), 400)
    assert set(answer["invalid"]) == (set(body) if isinstance(body, dict) else {"body"})
    assert DeadLetter.objects.dead().count() == 1


def test_a_charset_that_is_none_does_not_matter(ada):
    assert ada.generic("POST", RETRY, "{}", content_type=f"{JSON}; charset=hex").status_code == 200


def test_a_body_that_is_too_large_is_413(ada):
    refused(ada.post(RETRY, "x" * (MOST_BODY_BYTES + 1), content_type=JSON), 413)


def test_a_body_in_chunks_is_411_for_it_would_count_as_none(ada):
    dead("e1")

    refused(ada.generic("POST", RETRY, headers={"Transfer-Encoding": "chunked"}), 411)
    assert DeadLetter.objects.dead().count() == 1


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"lane": "express"}, "high, default, low"),
        ({"status": "gone"}, "dead, retried, resolved, discarded"),
        ({"since": "yesterday"}, "YYYY-MM-DD"),
        ({"limit": "501"}, "500"),
        ({"limit": "0"}, "1"),
        ({"limit": "many"}, "integer"),
        ({"kind": "x" * 33}, "32"),
        ({"account": "x" * 65}, "64"),
        ({"cause": "x" * 201}, "200"),
        ({"q": "x" * 201}, "200"),
        ({"q": ""}, "blank"),
        ({"q": "a\0b"}, "NUL"),
        ({"format": "xml"}, "lane, kind"),
        ({"acount": "1"}, "account"),
    ],
)
def test_a_wrong_filter_is_named_with_what_is_allowed(ada, filters, said):
    answer = refused(ada.get(LETTERS, filters), 400)

    (name,) = filters
    assert said in str(answer["invalid"][name])


@pytest.mark.parametrize("cursor", ["0", "nonsense", "cD1hYmM=", "cD0lMDA=", "x" * 200, "\xff"])
def test_a_cursor_that_is_none_of_ours_is_404(ada, cursor):
    dead("e1")

    assert "next" in refused(ada.get(LETTERS, {"cursor": cursor}), 404)["detail"]


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01", "2026-01-01T00:00:00+14:00"]
)
def test_any_instant_may_be_asked_for(ada, since):
    assert ada.get(LETTERS, {"since": since}).status_code == 200


def test_more_parameters_than_anybody_needs_are_400(ada):
    refused(ada.get(LETTERS + "?" + "q=a&" * 1001), 400)


def test_a_host_that_is_not_ours_is_400(ada):
    refused(ada.get(STATS, headers={"Host": "elsewhere.example"}), 400)


def test_while_the_database_is_away_it_is_503(ada, monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("queueops.api_tokens.ApiToken.objects.select_related", away)

    answer = ada.get(STATS)

    refused(answer, 503)
    assert answer["Retry-After"] == "5"


def test_an_error_of_our_own_is_a_problem_too(ada, monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr("queueops.stats.snapshot", broken)
    ada.raise_request_exception = False

    answer = refused(ada.get(STATS), 500)
    assert "ZeroDivision" not in str(answer)
