"""What browsers are told, and whether Django's own deployment checks have anything to say."""

from __future__ import annotations

from http.cookies import Morsel

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests import checks

LOG_IN = "/admin/login/"


@pytest.fixture
def cookies(db: None) -> dict[str, Morsel[str]]:
    """Those of somebody who has logged in."""
    User.objects.create_superuser("ada", password="the-right-one")
    client = Client()
    assert client.get(LOG_IN, secure=True).status_code == 200
    assert client.post(LOG_IN, {"username": "ada", "password": "the-right-one"}, secure=True).status_code == 302
    return dict(client.cookies)


@pytest.mark.parametrize("name", [settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME])
def test_cookies_go_over_tls_only_and_to_no_other_site(cookies, name):
    assert cookies[name]["secure"] is True
    assert cookies[name]["samesite"] == "Lax"


def test_no_script_reads_the_session(cookies):
    assert cookies[settings.SESSION_COOKIE_NAME]["httponly"] is True


@pytest.mark.django_db
def test_every_answer_over_tls_asks_for_a_year_of_it_and_forbids_what_the_policy_does_not_name():
    headers = Client().get(LOG_IN, secure=True).headers

    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "http" not in policy["script-src"]


def test_djangos_deployment_checks_find_nothing(tmp_path):
    verdict = checks.run("deploy checks", checks.COMMANDS["deploy checks"], checks.production(tmp_path))
    assert verdict.passed, verdict.output
