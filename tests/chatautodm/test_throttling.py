"""How often one credential may call the API."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from tests.people import api_key

pytestmark = pytest.mark.django_db
STATS = "/api/queue-stats"


@pytest.fixture(autouse=True)
def three_a_minute(settings):
    cache.clear()
    settings.API_REQUESTS_PER_MINUTE = 3
    yield
    cache.clear()


def with_token(name: str) -> Client:
    user = User.objects.create_superuser(name, password="x")
    return Client(headers={"Authorization": f"Token {api_key(user)}"})


def call(client: Client) -> int:
    return client.get(STATS, secure=True).status_code


def test_above_the_limit_the_answer_is_a_problem_that_says_when_to_come_again(redis):
    ada, tom = with_token("ada"), with_token("tom")
    assert [call(ada) for _ in range(3)] == [200, 200, 200]

    answer = ada.get(STATS, secure=True)
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert answer.json()["title"] == "Too Many Requests"
    assert "Expected available in" in answer.json()["detail"]
    assert 0 < int(answer["Retry-After"]) <= 60
    assert call(tom) == 200


def test_a_console_session_and_a_token_are_counted_by_themselves(redis):
    ada = with_token("ada")
    assert [call(ada) for _ in range(4)][-1] == 429
    session = Client()
    session.force_login(User.objects.get(username="ada"))
    assert [call(session) for _ in range(4)] == [200, 200, 200, 429]


def test_nobody_is_refused_as_nobody_and_nothing_else_is_slowed_down(redis):
    assert {call(Client()) for _ in range(5)} == {401}


def test_zero_is_no_limit(settings, redis):
    settings.API_REQUESTS_PER_MINUTE = 0
    assert {call(with_token("ada")) for _ in range(1)} == {200}
    ada = with_token("eve")
    assert {call(ada) for _ in range(5)} == {200}
