"""Accounts that are limited to groups: whoever is in none of them neither sees nor acts on what is theirs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db.models import ProtectedError

from automations import access
from automations.models import Account, Automation, Contact, Conversation, Delivery, Event, Workspace
from queueops import operations
from queueops.models import AuditEntry, DeadLetter, Operation
from tests.automations.rows import ACCOUNT, account, automation, conversation, delivery, event
from tests.people import api_key, superuser
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

SECRET = "17841405726653026"
ADMIN = "/admin/automations"
LETTERS = "/admin/queueops/deadletter/"


@dataclass(frozen=True, slots=True)
class Shop:
    """An account with one row of everything that can be its own."""

    account: Account
    automation: Automation
    conversation: Conversation
    event: Event
    delivery: Delivery
    letter: DeadLetter

    def pages(self) -> dict[str, Any]:
        """The list each row stands in, and the row."""
        return {
            f"{ADMIN}/account/": self.account,
            f"{ADMIN}/automation/": self.automation,
            f"{ADMIN}/contact/": self.conversation.contact,
            f"{ADMIN}/conversation/": self.conversation,
            f"{ADMIN}/event/": self.event,
            f"{ADMIN}/delivery/": self.delivery,
            LETTERS: self.letter,
        }


def shop(instagram_id: str, name: str) -> Shop:
    owned = account(
        instagram_id=instagram_id, username=name, workspace=Workspace.objects.create(name=f"Workspace of {name}")
    )
    happened = event(f"key-{name}", account=instagram_id, outcome="unconfirmed")
    return Shop(
        owned,
        automation(owned),
        conversation(owned, f"84224916611259{len(name)}"),
        happened,
        delivery(happened, status="unconfirmed", automation_key=name),
        dead(f"letter-{name}", account=instagram_id),
    )


@pytest.fixture
def team() -> Group:
    return Group.objects.create(name="team of the studio")


@pytest.fixture
def open_shop() -> Shop:
    return shop(ACCOUNT, "open.shop")


@pytest.fixture
def limited(team) -> Shop:
    limited = shop(SECRET, "limited")
    limited.account.groups.add(team)
    return limited


@pytest.fixture
def anybody() -> User:
    """Somebody who may do everything that is a permission, and is in no group."""
    user = User.objects.create_user("maria", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def member(team) -> User:
    user = User.objects.create_user("tom", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    user.groups.add(team)
    return user


def listed(client, page: str) -> set[Any]:
    return {row.pk for row in client.get(page).context["cl"].result_list}


def rows() -> list[Any]:
    tables = (Account, Automation, Contact, Conversation, Event, Delivery, DeadLetter, Workspace)
    return [list(table._default_manager.order_by("pk").values_list()) for table in tables]


def test_lists_leave_out_what_is_limited_to_others(client, anybody, open_shop, limited):
    client.force_login(anybody)

    for page, row in open_shop.pages().items():
        assert listed(client, page) == {row.pk}, page


def test_members_and_superusers_see_it_all(client, member, open_shop, limited):
    for user in (member, superuser()):
        client.force_login(user)
        for page, row in limited.pages().items():
            assert listed(client, page) == {row.pk, open_shop.pages()[page].pk}, page
            assert client.get(f"{page}{row.pk}/change/").status_code == 200, page


def test_a_page_of_it_is_like_one_that_is_not_there(client, anybody, limited):
    client.force_login(anybody)

    for page, row in limited.pages().items():
        for verb in ("change", "history", "delete"):
            answer = client.get(f"{page}{row.pk}/{verb}/")
            assert answer.status_code in {302, 403, 404}, (page, verb)
            assert "limited" not in answer.content.decode(), (page, verb)


@pytest.mark.parametrize("key", ["key-limited", "c_key-limited"])
def test_its_event_is_not_found_by_its_key(client, anybody, member, limited, key):
    client.force_login(anybody)
    assert str(limited.event.pk) not in client.get(f"{ADMIN}/event/by-key/{key}/").headers.get("Location", "")
    assert client.get(f"/api/events/{key}").status_code == 404

    client.force_login(member)
    assert str(limited.event.pk) in client.get(f"{ADMIN}/event/by-key/{key}/")["Location"]
    assert client.get(f"/api/events/{key}").status_code == 200


def test_nothing_is_done_to_it_by_a_forged_post(client, anybody, limited):
    client.force_login(anybody)
    before = rows()
    reason = {"reason": "forged", "post": "yes", "minutes": "5"}
    chosen = {page: {**reason, "_selected_action": [str(row.pk)]} for page, row in limited.pages().items()}

    for page, row in limited.pages().items():
        for verb in ("change", "delete"):
            client.post(f"{page}{row.pk}/{verb}/", {**reason, "name": "x", "username": "x", "status": "paused"})
    for act in ("retry", "discard"):
        client.post(f"{LETTERS}{limited.letter.pk}/{act}/", reason)
        client.post(LETTERS, {**chosen[LETTERS], "action": f"{act}_selected"})
    for act in ("mark-sent", "send-again"):
        assert client.post(f"{ADMIN}/delivery/{limited.delivery.pk}/{act}/", reason).status_code == 404
    for act in ("pause_selected", "resume_selected", "delete_selected"):
        client.post(f"{ADMIN}/account/", {**chosen[f"{ADMIN}/account/"], "action": act})
    client.post(f"{ADMIN}/automation/", {**chosen[f"{ADMIN}/automation/"], "action": "delete_selected"})

    assert rows() == before
    assert not AuditEntry.objects.exists()


def test_nothing_is_done_to_it_by_the_api(client, anybody, limited, open_shop):
    credentials = {"Authorization": f"Token {api_key(anybody)}"}

    results = client.get("/api/dead-letters", headers=credentials).json()["results"]
    one = client.post(f"/api/dead-letters/{limited.letter.pk}/retry", headers=credentials)
    many = client.post("/api/dead-letters/retry", "{}", content_type="application/json", headers=credentials)

    assert [letter["account"] for letter in results] == [ACCOUNT]
    assert one.status_code == 404
    assert many.json()["retried"] == 1
    limited.letter.refresh_from_db()
    assert limited.letter.status == "dead"


def test_the_same_actions_are_a_members(client, member, limited):
    client.force_login(member)

    client.post(f"{LETTERS}{limited.letter.pk}/discard/", {"reason": "why not"})
    client.post(f"{ADMIN}/delivery/{limited.delivery.pk}/mark-sent/", {"reason": "it is there"})

    limited.letter.refresh_from_db()
    limited.delivery.refresh_from_db()
    assert (limited.letter.status, limited.delivery.status) == ("discarded", "sent")


def test_a_rule_is_not_moved_onto_a_limited_account(client, anybody, open_shop, limited):
    client.force_login(anybody)
    rule = open_shop.automation
    moved = {
        "account": str(limited.account.pk),
        "name": rule.name,
        "trigger": rule.trigger,
        "match": rule.match,
        "keywords": "link",
        "actions": json.dumps(rule.actions),
        "priority": "0",
    }

    refused = client.post(f"{ADMIN}/automation/{rule.pk}/change/", moved)
    offered = client.get(
        "/admin/autocomplete/", {"app_label": "automations", "model_name": "automation", "field_name": "account"}
    )
    taken = client.post(f"{ADMIN}/automation/{rule.pk}/change/", {**moved, "account": str(open_shop.account.pk)})

    assert "account" in refused.context["adminform"].form.errors
    assert [choice["text"] for choice in offered.json()["results"]] == ["@open.shop"]
    assert taken.status_code == 302
    assert Automation.objects.get(pk=rule.pk).account == open_shop.account


def test_a_workspace_is_changed_only_by_who_sees_all_of_its_accounts(client, anybody, member, limited, open_shop):
    ours, theirs = open_shop.account.workspace, limited.account.workspace
    mixed = Workspace.objects.create(name="Mixed")
    Account.objects.update(workspace=mixed)
    account(instagram_id="1789", username="third", workspace=theirs).groups.add(*limited.account.groups.all())
    form = {"name": "renamed", "time_zone": "UTC", "is_vip": "on"}

    client.force_login(anybody)
    assert {mixed.pk, ours.pk} <= listed(client, f"{ADMIN}/workspace/")
    assert theirs.pk not in listed(client, f"{ADMIN}/workspace/")
    assert client.post(f"{ADMIN}/workspace/{mixed.pk}/change/", form).status_code == 403
    assert client.post(f"{ADMIN}/workspace/{mixed.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(mixed.pk)]}
    page = client.post(f"{ADMIN}/workspace/", chosen).content.decode()
    assert client.post(f"{ADMIN}/workspace/", {**chosen, "post": "yes"}).status_code == 403
    client.force_login(member)
    assert client.post(f"{ADMIN}/workspace/{mixed.pk}/change/", form).status_code == 302

    assert "@limited" not in page
    assert Workspace.objects.get(pk=mixed.pk).name == "renamed"


def test_the_log_shows_to_who_does_not_see_everything_only_what_they_did(client, anybody, member, limited, open_shop):
    client.force_login(member)
    client.post(f"{LETTERS}{limited.letter.pk}/discard/", {"reason": "theirs"})
    client.force_login(anybody)
    client.post(f"{LETTERS}{open_shop.letter.pk}/discard/", {"reason": "mine"})

    log = "/admin/queueops/auditentry/"
    page, export = (client.get(address).getvalue().decode() for address in (log, f"{log}export/csv/"))

    for text in (page, export):
        assert "mine" in text
        assert "theirs" not in text
    client.force_login(member)
    assert "mine" in client.get("/admin/queueops/auditentry/").content.decode()


def test_the_overview_shows_none_of_its_letters(client, anybody, limited, open_shop):
    client.force_login(anybody)

    context = client.get("/admin/queueops/console/").context

    assert [letter.account for letter in context["letters"]] == [ACCOUNT]


def test_what_cannot_be_told_apart_is_for_who_sees_everything(client, anybody, member, limited):
    for user, status in ((anybody, 403), (member, 200)):
        client.force_login(user)
        assert client.get("/admin/django_rq/dashboard/").status_code == status


# --- Limiting ---------------------------------------------------------------------------------------------------------


def change(client, of: Account, *groups: Group) -> Any:
    form = {
        "workspace": str(of.workspace_id),
        "instagram_id": of.instagram_id,
        "username": of.username,
        "status": "active",
        "limited_to": [str(group.pk) for group in groups],
    }
    return client.post(f"{ADMIN}/account/{of.pk}/change/", form)


def test_an_account_is_limited_and_opened_on_its_page_and_the_log_says_to_whom(client, member, team, open_shop):
    client.force_login(member)

    assert change(client, open_shop.account, team).status_code == 302
    assert set(open_shop.account.groups.all()) == {team}
    assert client.get(f"{ADMIN}/account/{open_shop.account.pk}/change/").status_code == 200
    assert {"values": {"limited_to": [team.name]}} in AuditEntry.objects.latest("number").details["message"]

    change(client, open_shop.account)
    assert not open_shop.account.groups.exists()


def test_nobody_limits_an_account_so_that_they_do_not_see_it_themselves(client, anybody, team, open_shop):
    client.force_login(anybody)

    answer = change(client, open_shop.account, team)

    assert "limited_to" in answer.context["adminform"].form.errors
    assert not open_shop.account.groups.exists()


def test_who_may_only_look_sees_to_whom_it_is_limited(client, team, limited):
    viewer = User.objects.create_user("ann", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_account"))
    viewer.groups.add(team)
    client.force_login(viewer)

    assert team.name in client.get(f"{ADMIN}/account/{limited.account.pk}/change/").content.decode()


def test_a_group_that_limits_an_account_cannot_be_deleted_for_that_would_open_it(client, team, limited):
    client.force_login(superuser())

    client.post(f"/admin/auth/group/{team.pk}/delete/", {"post": "yes"})

    assert Group.objects.filter(pk=team.pk).exists()
    with pytest.raises(ProtectedError):
        team.delete()


def test_who_is_in_one_of_several_groups_sees_the_account(limited, anybody):
    other = Group.objects.create(name="another team")
    limited.account.groups.add(other)
    anybody.groups.add(other)

    assert access.hidden_accounts(anybody) == {}


def test_what_is_hidden_takes_one_query_for_a_request_and_none_for_superusers(
    anybody, limited, django_assert_num_queries
):
    ada = superuser()
    with django_assert_num_queries(1):
        for _ in range(3):
            assert access.hidden_accounts(anybody) == {limited.account.pk: SECRET}
    with django_assert_num_queries(0):
        assert access.hidden_accounts(ada) == {}


def test_events_of_an_account_that_nobody_knows_are_everybodys(anybody, limited):
    event("k2", account="1", outcome="unknown_account")

    assert [found.key for found in access.visible_events(anybody)] == ["k2"]


@pytest.mark.parametrize("act", ["cancel", "go-on", "consent"])
def test_an_order_that_is_about_hidden_accounts_too_is_for_those_who_see_them(
    client, anybody, member, open_shop, limited, act
):
    asked = {"consent": "asked", "go-on": "halted"}.get(act, "running")
    order = Operation.objects.create(what="discard", state=asked, asked_by=superuser(), asked_by_name="ada")
    page = f"/admin/queueops/operation/{order.pk}"

    client.force_login(anybody)
    shown = client.get(f"{page}/change/?still").content.decode()
    answer = client.post(f"{page}/{act}/", {"reason": "enough"})
    order.refresh_from_db()
    assert (answer.status_code, order.state) == (403, asked)
    assert operations.HIDDEN in shown
    assert f"/{act}/" not in shown

    client.force_login(member)
    client.post(f"{page}/{act}/", {"reason": "enough"})
    order.refresh_from_db()
    assert order.state == {"cancel": "cancelled"}.get(act, "running")


def test_an_order_about_visible_accounts_only_is_anybodys(client, anybody, open_shop, limited):
    selection = {"account": [open_shop.account.instagram_id]}
    order = Operation.objects.create(what="discard", state="running", selection=selection)

    client.force_login(anybody)
    client.post(f"/admin/queueops/operation/{order.pk}/cancel/", {"reason": "enough"})

    order.refresh_from_db()
    assert order.state == "cancelled"


def test_an_export_leaves_out_what_is_limited_to_others(client, anybody, open_shop, limited):
    client.force_login(anybody)

    for address in ("/admin/queueops/deadletter/export/", "/admin/automations/event/export/"):
        text = b"".join(client.get(address).streaming_content).decode()
        assert open_shop.account.instagram_id in text
        assert limited.account.instagram_id not in text
