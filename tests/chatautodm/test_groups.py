"""Viewers, operators and managers: what each may do, by page, by forged POST and by API."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import get_resolver, reverse

from automations.models import Account, Automation, Workspace
from chatautodm.groups import grant
from queueops import ledger
from queueops.models import ApiToken, AuditEntry, DeadLetter
from tests.automations.rows import account, automation, delivery, event
from tests.people import api_key, person
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

GROUPS = import_module("chatautodm.migrations.0001_groups")
LETTERS = "/admin/queueops/deadletter/"


@pytest.fixture
def member():
    """A member of staff in one of the groups, as `migrate` makes them."""
    GROUPS.make_groups(apps, None)

    def member(group: str) -> User:
        user = User.objects.create_user(group, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        return user

    return member


def everything():
    """One row of each kind, that somebody might act on."""
    shop = account()
    row = event(outcome="dead")
    delivery(row, status="unconfirmed")
    api_key(person(name="victim"))
    return dead("k1"), automation(shop), shop


def state(redis):
    """What no viewer may change."""
    tables = [DeadLetter, Account, Automation, Workspace, User, Group]
    rows = [list(table._default_manager.order_by("pk").values_list()) for table in tables if table is not User]
    people = list(User.objects.order_by("pk").values_list("username", "is_superuser", "is_staff", "password"))
    keys = list(ApiToken.objects.order_by("pk").values_list("pk", "scope", "expires_at", "revoked_at"))
    lanes = [redis.lrange(f"rq:queue:{lane}", 0, -1) for lane in ("high", "default", "low")]
    return rows, people, keys, lanes, ledger.read(redis), AuditEntry.objects.count()


def admin_pages():
    """Every address of the admin for every kind of row: name, app, model and how many arguments it takes."""
    for model, model_admin in admin.site._registry.items():
        for pattern in model_admin.get_urls():
            if getattr(pattern, "name", None):
                yield model, pattern


def addresses():
    for model, pattern in admin_pages():
        first = model._default_manager.order_by("pk").first() if model._meta.managed else None
        names = pattern.pattern.converters
        values = {
            "object_id": first.pk if first else "1",
            "pk": first.pk if first else "1",
            "id": first.pk if first else "1",
            "queue_index": 0,
            "connection_index": 0,
            "scheduler_index": 0,
            "job_id": "k1",
            "format": "csv",
        }
        arguments = {name: values.get(name, "1") for name in names}
        yield reverse(f"admin:{pattern.name}", kwargs=arguments)


LIST_ACTIONS = ("delete_selected", "retry_selected", "discard_selected", "delete", "requeue")
FORGED = {
    "post": "yes",
    "_save": "Save",
    "action": "delete_selected",
    "job_ids": ["k1"],
    "username": "mallory",
    "password1": "correct horse",
    "password2": "correct horse",
    "name": "mallory",
    "status": "active",
    "new_token": "IGforged",
    "user": "1",
    "reason": "forged",
}


def test_a_viewer_can_act_on_nothing_by_a_forged_post(client, member, redis):
    letter, *_ = everything()
    client.force_login(member("viewer"))
    before = state(redis)
    posted = []

    for address in dict.fromkeys(addresses()):
        # A list takes several actions; every other address is the action itself.
        is_list = address.count("/") == 4 or "action" in address
        for action in LIST_ACTIONS if is_list else LIST_ACTIONS[:1]:
            chosen = {"_selected_action": [str(letter.pk)], "index": "0", "select_across": "0"}
            answer = client.post(address, {**FORGED, **chosen, "action": action})
            assert answer.status_code in {302, 403, 404, 405, 200}, (address, answer.status_code)
            posted.append(address)

    assert state(redis) == before
    for acted_on in (f"{LETTERS}{letter.pk}/retry/", "/admin/django_rq/dashboard/queues/0/empty/", LETTERS):
        assert acted_on in posted


def test_a_viewer_can_act_on_nothing_by_the_api(client, member, redis):
    letter, *_ = everything()
    key = api_key(member("viewer"))
    before = state(redis)
    tried = []

    for pattern in get_resolver().url_patterns:
        path = str(pattern.pattern)
        if not path.startswith("api/") or not hasattr(pattern.callback, "cls"):
            continue
        address = "/" + path.replace("<str:id>", str(letter.pk)).replace("<path:key>", "k1")
        for method in ("post", "put", "patch", "delete"):
            answer = getattr(client, method)(
                address, "{}", content_type="application/json", headers={"Authorization": f"Token {key}"}
            )
            assert answer.status_code in {403, 405}, (method, address, answer.status_code)
            tried.append(address)

    assert state(redis) == before
    assert f"/api/dead-letters/{letter.pk}/retry" in tried


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
def test_people_and_rqs_pages_are_for_nobody_of_them(client, member, group, path):
    client.force_login(member(group))

    assert client.get(f"/admin/{path}").status_code == 403


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
    assert client.post(f"/admin/automations/account/{shop.pk}/change/", FORGED).status_code == 403
    assert client.post(f"/admin/automations/automation/{rule.pk}/delete/", FORGED).status_code == 403
    letter.refresh_from_db()
    assert letter.status == "discarded"


def test_a_manager_sets_accounts_and_automations_up(client, member):
    _, rule, shop = everything()
    client.force_login(member("manager"))

    assert client.get(f"/admin/automations/account/{shop.pk}/change/").context["has_change_permission"]
    assert client.post(f"/admin/automations/automation/{rule.pk}/delete/", FORGED).status_code == 302
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
