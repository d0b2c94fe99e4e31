"""API tokens in the console: the key is shown once, whoever makes one hands out no more than they have."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session

from queueops.models import ApiToken, AuditEntry
from tests.people import api_key, person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

TOKENS = "/admin/queueops/apitoken/"
MAKER = ("queueops.view_apitoken", "queueops.add_apitoken", "queueops.revoke_apitoken")
WANTED = {"name": "night monitor", "scope": "read", "expires_at_0": "", "expires_at_1": "", "reason": "new monitor"}


@pytest.fixture
def manager(client):
    user = person(*MAKER, "queueops.view_console")
    client.force_login(user)
    return user


def shown_key(answer) -> str:
    assert answer.status_code == 200, answer.content
    found = re.search(r'id="api-key">([^<]+)<', answer.content.decode())
    assert found, answer.content.decode()
    return found[1]


def test_a_key_is_shown_once_when_it_is_made_and_kept_nowhere(client, manager):
    answer = client.post(f"{TOKENS}add/", {**WANTED, "user": manager.pk})

    key = shown_key(answer)
    assert "no-store" in answer["Cache-Control"]
    assert client.get("/api/queue-stats", headers={"Authorization": f"Token {key}"}).status_code == 200
    token = ApiToken.objects.get()
    assert (token.name, token.user, token.scope) == ("night monitor", manager, "read")
    for page in (TOKENS, f"{TOKENS}{token.pk}/change/"):
        text = client.get(page).content.decode()
        assert "night monitor" in text
        assert key not in text
    written = [*LogEntry.objects.values(), *AuditEntry.objects.values(), *Session.objects.values()]
    assert key not in str(written)
    assert key not in str(client.cookies)


def test_making_one_is_in_the_audit_log_with_its_reason(client, manager):
    client.post(f"{TOKENS}add/", {**WANTED, "user": manager.pk})

    entry = AuditEntry.objects.first()
    assert (entry.who, entry.action, entry.kind, entry.reason) == ("maria", "add", "queueops.apitoken", "new monitor")
    assert entry.targets.get().name.startswith("night monitor (")


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"name": ""}, {"scope": "all"}, {"user": ""}])
def test_what_is_missing_or_wrong_makes_no_token(client, manager, wrong):
    assert client.post(f"{TOKENS}add/", {**WANTED, "user": manager.pk, **wrong}).status_code == 200
    assert not ApiToken.objects.exists()


def test_an_end_in_the_past_makes_no_token(client, manager):
    past = {"user": manager.pk, "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}

    text = client.post(f"{TOKENS}add/", {**WANTED, **past}).content.decode()

    assert "This is in the past" in text
    assert not ApiToken.objects.exists()


def test_nobody_makes_a_key_that_may_more_than_they_may(client, manager):
    for user in (superuser(), person("queueops.view_deadletter", name="tom")):
        text = client.post(f"{TOKENS}add/", {**WANTED, "user": user.pk}).content.decode()
        assert "may do more than you" in text
    assert not ApiToken.objects.exists()

    client.post(f"{TOKENS}add/", {**WANTED, "user": person(name="eve").pk})
    assert ApiToken.objects.get().user.username == "eve"


@pytest.mark.parametrize("way", ["page", "list"])
def test_a_token_is_revoked_from_its_page_and_from_the_list(client, manager, way):
    key = api_key(manager)
    token = ApiToken.objects.get()

    if way == "page":
        client.post(f"{TOKENS}{token.pk}/revoke/", {"reason": "lost"})
    else:
        chosen = {"action": "revoke_selected", "_selected_action": [token.pk], "reason": "lost"}
        client.post(TOKENS, chosen)

    token.refresh_from_db()
    assert token.revoked_at is not None
    assert client.get("/api/queue-stats", headers={"Authorization": f"Token {key}"}).status_code == 401
    entry = AuditEntry.objects.first()
    assert (entry.action, entry.count, entry.reason) == ("revoke", 1, "lost")
    assert "was revoked" in client.get(TOKENS).content.decode()


def test_looking_does_not_revoke_and_a_link_neither(client, manager):
    api_key(manager)
    token = ApiToken.objects.get()

    assert client.get(f"{TOKENS}{token.pk}/revoke/").status_code == 405
    client.force_login(person("queueops.view_apitoken", name="tom"))
    assert client.get(TOKENS).status_code == 200
    assert client.post(f"{TOKENS}{token.pk}/revoke/").status_code == 403
    assert client.get(f"{TOKENS}add/").status_code == 403
    token.refresh_from_db()
    assert token.revoked_at is None


@pytest.mark.parametrize(("group", "code"), [("viewer", 403), ("operator", 403), ("manager", 200)])
def test_tokens_are_for_managers(client, group, code):
    for name in ("0001_groups", "0002_switches", "0003_settling", "0004_console"):
        module = import_module(f"chatautodm.migrations.{name}")
        (getattr(module, "make_groups", None) or module.extend_groups)(apps, None)
    user = person(name=group)
    user.groups.add(Group.objects.get(name=group))
    client.force_login(user)

    assert client.get(TOKENS).status_code == code
    assert client.get(f"{TOKENS}add/").status_code == code


def test_a_user_who_is_deleted_leaves_the_token_to_be_read_about(client):
    tom = person(name="tom")
    api_key(tom)
    client.force_login(superuser())

    assert client.post(f"/admin/auth/user/{tom.pk}/delete/", {"post": "yes"}).status_code == 302

    assert ApiToken.objects.get().user is None
    assert client.get(TOKENS).status_code == 200
