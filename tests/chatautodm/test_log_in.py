"""Guessing a password: it ends after five failures, for that name from that address."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db

LOG_IN = "/admin/login/"


@pytest.fixture(autouse=True)
def people() -> None:
    for name in ("ada", "tom"):
        User.objects.create_superuser(name, password="the-right-one")


def log_in(name: str, password: str, address: str = "192.0.2.1") -> int:
    given = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post(LOG_IN, given, secure=True).status_code


def guess(name: str, times: int) -> list[int]:
    return [log_in(name, f"guess-{n}") for n in range(times)]


def test_the_fifth_failure_locks_that_name_from_that_address_and_nobody_else():
    assert guess("ada", 6) == [200, 200, 200, 200, 429, 429]
    assert log_in("ada", "the-right-one") == 429
    assert log_in("ada", "the-right-one", "192.0.2.2") == 302
    assert log_in("tom", "the-right-one") == 302


def test_the_answer_says_what_to_do():
    guess("ada", 5)
    answer = Client(REMOTE_ADDR="192.0.2.1").post(LOG_IN, {"username": "ada", "password": "x"}, secure=True)
    assert "Too many log-ins have failed" in answer.content.decode()
    assert "Wait 900 seconds" in answer.content.decode()
    assert "manage.py axes_reset" in answer.content.decode()


def test_somebody_with_access_to_the_server_lets_them_in_at_once():
    guess("ada", 5)
    call_command("axes_reset", verbosity=0)
    assert log_in("ada", "the-right-one") == 302


def test_a_success_forgets_the_failures_before_it():
    guess("ada", 4)
    assert log_in("ada", "the-right-one") == 302
    assert guess("ada", 4) == [200] * 4
