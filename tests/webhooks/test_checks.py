from __future__ import annotations

import pytest
from django.core.checks import run_checks
from pytest_django import Settings


def found() -> list[str]:
    return [str(message.id) for message in run_checks() if str(message.id).startswith("webhooks.")]


def test_a_configured_webhook_passes():
    assert found() == []


@pytest.mark.parametrize(
    ("name", "empty", "check"),
    [("INSTAGRAM_APP_SECRET", [], "webhooks.W001"), ("INSTAGRAM_VERIFY_TOKEN", "", "webhooks.W002")],
)
def test_it_warns_of_what_is_not_set(name: str, empty: object, check: str, settings: Settings):
    setattr(settings, name, empty)
    assert found() == [check]
