"""Users, groups and API keys in the console."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from rest_framework.authtoken.models import Token

from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

TOKENS = "/admin/authtoken/tokenproxy/"


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def test_an_api_key_is_shown_once_when_it_is_made(admin):
    answer = admin.post(f"{TOKENS}add/", {"user": person().pk})

    key = Token.objects.get().key
    assert [str(message) for message in get_messages(answer.wsgi_request)] == [
        f"The key is {key}. Copy it now: it is not shown again."
    ]
    assert key in admin.get(TOKENS).content.decode()  # the message
    assert key not in admin.get(TOKENS).content.decode()
    assert not LogEntry.objects.filter(object_repr__contains=key).exists()


def test_an_api_key_is_revoked_without_being_shown(admin):
    token = Token.objects.create(user=person())
    address = f"{TOKENS}{token.user_id}/delete/"

    for page in (f"{TOKENS}{token.user_id}/change/", address):
        answer = admin.get(page)
        assert answer.status_code == 200
        assert token.key not in answer.content.decode()
    admin.post(address, {"post": "yes"})

    assert not Token.objects.exists()
    assert "API key of maria" in str(LogEntry.objects.get().object_repr)
    assert not LogEntry.objects.filter(object_id=token.key).exists()


@pytest.mark.parametrize("path", ["auth/user/", "auth/user/add/", "auth/group/", "auth/group/add/"])
def test_users_and_groups_are_managed_here(admin, path):
    assert admin.get(f"/admin/{path}").status_code == 200


def test_logging_in_leads_to_the_console(client):
    user = superuser()
    user.set_password("correct horse")
    user.save()

    answer = client.post("/admin/login/", {"username": user.username, "password": "correct horse"})

    assert answer["Location"] == "/admin/"


def test_the_navigation_holds_only_what_the_user_may_see(client):
    client.force_login(person("automations.view_event"))

    text = client.get("/admin/").content.decode()

    assert "/admin/automations/event/" in text
    assert "/admin/queueops/deadletter/" not in text
    assert "/admin/auth/user/" not in text
