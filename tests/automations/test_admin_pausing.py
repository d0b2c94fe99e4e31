"""Accounts are paused and resumed from their list, with a reason, an end and an entry in the audit log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from automations.models import Account
from automations.release import is_held
from queueops import audit
from tests.automations.rows import account
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/automations/account/"
PERMISSIONS = ("automations.view_account", "automations.pause_account")


def act(client, action: str, *accounts: Account, **more: str):
    given = {"action": action, "_selected_action": [shop.pk for shop in accounts], **more}
    answer = client.post(LIST, given, follow=True)
    for shop in accounts:
        shop.refresh_from_db()
    return answer.content.decode()


@pytest.fixture
def maria(client):
    client.force_login(person(*PERMISSIONS))
    return client


def test_a_pause_without_an_end_holds_until_it_is_resumed(maria):
    shop = account()

    assert "1 account paused" in act(maria, "pause_selected", shop, reason="wrong link in the rule")
    assert (shop.status, shop.status_reason, shop.paused_until) == ("paused", "wrong link in the rule", None)

    assert "1 account resumed" in act(maria, "resume_selected", shop, reason="link is right")
    assert (shop.status, shop.status_reason) == ("active", "")
    entries = audit.trail("automations.account", [shop.pk])
    assert [(one.who, one.action, one.reason) for one in entries] == [
        ("maria", "resume_account", "link is right"),
        ("maria", "pause_account", "wrong link in the rule"),
    ]


def test_a_pause_with_an_end_ends_by_itself(maria):
    shop = account()

    text = act(maria, "pause_selected", shop, reason="viral post", minutes="30")

    assert f"paused until {shop.paused_until:%Y-%m-%d %H:%M} UTC" in text
    assert shop.status == "active"
    assert timedelta(minutes=29) < shop.paused_until - timezone.now() <= timedelta(minutes=30)
    assert is_held(shop.status, shop.paused_until, timezone.now())
    assert not is_held(shop.status, shop.paused_until, timezone.now() + timedelta(minutes=31))


def test_an_account_that_needs_its_owner_is_neither_paused_nor_resumed(maria):
    shop = account(status="needs_owner", status_reason="The token has expired")

    for action in ("pause_selected", "resume_selected"):
        assert "0 accounts" in act(maria, action, shop, reason="x")

    assert (shop.status, shop.status_reason) == ("needs_owner", "The token has expired")
    assert audit.trail("automations.account", [shop.pk]) == []


def test_its_token_is_neither_read_nor_lost(client):
    shop = account(token="secret-token")
    client.force_login(superuser())

    act(client, "pause_selected", shop, reason="x")

    assert shop.token == "secret-token"


@pytest.mark.parametrize("minutes", ["0", "-5", "soon"])
def test_a_senseless_end_pauses_nothing(maria, minutes):
    shop = account()

    act(maria, "pause_selected", shop, reason="x", minutes=minutes)

    assert (shop.status, shop.paused_until) == ("active", None)


def test_a_viewer_is_offered_nothing_and_a_forged_post_changes_nothing(client):
    shop = account()
    client.force_login(person("automations.view_account"))

    assert "pause_selected" not in client.get(LIST).content.decode()
    act(client, "pause_selected", shop, reason="forged")

    assert shop.status == "active"
