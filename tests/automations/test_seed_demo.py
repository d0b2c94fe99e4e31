"""The demo data: what a newcomer sees working, safe to write again."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import override_settings

from automations.models import Account, Automation, Workspace

pytestmark = pytest.mark.django_db


def seed(*options: str) -> list[str]:
    said = StringIO()
    call_command("seed_demo", *options, stdout=said)
    return said.getvalue().strip().splitlines()


def test_running_it_again_changes_nothing_that_somebody_changed():
    seed()
    rule = Automation.objects.filter(name="Offer").first()
    rule.keywords = ["discount"]
    rule.save()

    seed()

    rule.refresh_from_db()
    assert rule.keywords == ["discount"]
    assert (Workspace.objects.count(), Account.objects.count(), Automation.objects.count()) == (1, 2, 14)


def test_the_token_of_an_account_is_not_readable_in_the_database():
    seed()

    account = Account.objects.get(username="demo.shop")
    stored = Account.objects.filter(pk=account.pk).extra(select={"raw": "token"}).values_list("raw", flat=True)[0]
    assert account.token == "demo-token"
    assert "demo-token" not in stored


def test_further_accounts_get_the_same_rules():
    seed("--accounts", "17841400000000011, 17841400000000012")

    assert Automation.objects.filter(account__instagram_id="17841400000000012").count() == 7


def test_an_account_that_is_no_instagram_id_is_refused_with_the_form_it_must_have():
    with pytest.raises(CommandError, match="digits"):
        seed("--accounts", "@demo.shop")


@override_settings(DEBUG=True)
def test_on_a_developers_machine_the_administrator_can_log_in_and_has_an_api_key(client):
    key = seed("--print-token")[-1]

    assert authenticate(HttpRequest(), username="admin", password="admin").is_superuser
    assert client.get("/api/queue-stats", headers={"Authorization": f"Token {key}"}).status_code == 200


def test_in_production_nobody_is_made_who_can_log_in_but_the_api_key_works(client):
    key = seed("--print-token")[-1]

    assert authenticate(HttpRequest(), username="admin", password="admin") is None
    assert authenticate(HttpRequest(), username="demo-api", password="") is None
    assert client.get("/api/queue-stats", headers={"Authorization": f"Token {key}"}).status_code == 200
    assert client.get("/api/dead-letters", headers={"Authorization": f"Token {key}"}).status_code == 200
    assert client.get("/admin/", headers={"Authorization": f"Token {key}"}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_a_workspace_can_be_deleted_with_everything_it_owns():
    seed()

    Workspace.objects.get().delete()

    assert (Account.objects.count(), Automation.objects.count()) == (0, 0)
