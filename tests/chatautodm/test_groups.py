"""Viewers, operators and managers: what each sees and may do. (Every door by itself: test_permission_matrix.)"""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from automations.models import Automation
from chatautodm.groups import grant
from tests import people
from tests.automations.rows import account, automation, delivery, event
from tests.people import api_key, make_groups, person
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

GROUPS = import_module("chatautodm.migrations.0001_groups")
LETTERS = "/admin/queueops/deadletter/"


@pytest.fixture
def member():
    """A member of staff in one of the groups, as `migrate` makes them."""
    make_groups()
    return people.member


def everything():
    """One row of each kind, that somebody might act on."""
    shop = account()
    row = event(outcome="dead")
    delivery(row, status="unconfirmed")
    api_key(person(name="victim"))
    return dead("k1"), automation(shop), shop


@pytest.mark.parametrize(
    "path",
    [
        "queueops/console/",
        "queueops/deadletter/",
        "queueops/auditentry/",
        *(f"automations/{name}/" for name in ("workspace", "account", "automation", "contact", "conversation")),
        *(f"automations/{name}/" for name in ("event", "delivery")),
    ],
)
def test_a_viewer_sees_everything_that_there_is_to_see(client, member, path):
    client.force_login(member("viewer"))

    assert client.get(f"/admin/{path}").status_code == 200


@pytest.mark.parametrize("path", ["auth/user/", "auth/group/", "django_rq/dashboard/"])
@pytest.mark.parametrize("group", ["viewer", "operator", "manager"])
def test_people_are_for_managers_and_rqs_pages_for_nobody_of_them(client, member, group, path):
    client.force_login(member(group))

    may = group == "manager" and path.startswith("auth/")
    assert client.get(f"/admin/{path}").status_code == (200 if may else 403)


def test_a_viewer_is_shown_no_button_that_does_something(client, member):
    letter, _, shop = everything()
    client.force_login(member("viewer"))

    pages = [LETTERS, f"{LETTERS}{letter.pk}/change/", f"/admin/automations/account/{shop.pk}/change/"]
    for text in (client.get(page).content.decode() for page in pages):
        for button in ("Retry</button>", "Discard</button>", 'name="_save"', "retry_selected", "/delete/"):
            assert button not in text


def test_an_operator_retries_and_discards_and_sets_nothing_up(client, member):
    letter, rule, shop = everything()
    client.force_login(member("operator"))

    assert client.post(f"{LETTERS}{letter.pk}/discard/").status_code == 302
    assert client.post(f"/admin/automations/account/{shop.pk}/change/", {"username": "mallory"}).status_code == 403
    assert client.post(f"/admin/automations/automation/{rule.pk}/delete/", {"post": "yes"}).status_code == 403
    letter.refresh_from_db()
    assert letter.status == "discarded"


def test_a_manager_sets_accounts_and_automations_up(client, member):
    _, rule, shop = everything()
    client.force_login(member("manager"))

    assert client.get(f"/admin/automations/account/{shop.pk}/change/").context["has_change_permission"]
    assert client.post(f"/admin/automations/automation/{rule.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Automation.objects.filter(pk=rule.pk).exists()


def test_a_group_of_that_name_that_is_there_already_keeps_what_it_has():
    mine, _ = Group.objects.get_or_create(name="operator")
    GROUPS.make_groups(apps, None)
    held = set(mine.permissions.values_list("codename", flat=True))
    GROUPS.make_groups(apps, None)

    assert Group.objects.get(name="operator") == mine
    assert set(mine.permissions.values_list("codename", flat=True)) == held
    assert held >= {permission.split(".")[1] for permission in GROUPS.OPERATOR}


def test_a_permission_that_no_model_declares_is_refused():
    with pytest.raises(LookupError, match=r"queueops\.fly"):
        grant(apps, "viewer", ["queueops.view_console", "queueops.fly"])
