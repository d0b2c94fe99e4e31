"""Users and groups in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User

from queueops.models import AuditEntry
from tests.automations.rows import account
from tests.people import make_groups, member, person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

USERS = "/admin/auth/user/"
GROUPS = "/admin/auth/group/"
PASSWORD = {"password1": "correct horse battery", "password2": "correct horse battery"}


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


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


# --- Nobody gives more than they have ---------------------------------------------------------------------------------


@pytest.fixture
def manager(client) -> User:
    """Logged in."""
    make_groups()
    manager = member("manager")
    client.force_login(manager)
    return manager


def save(client, user: User, **fields: Any) -> Any:
    """Send the user's form as it would be with these fields, whether the page offers them or not."""
    form = {"username": user.username, "is_active": "on", "is_staff": "on", "date_joined_0": "2026-01-01"}
    return client.post(f"{USERS}{user.pk}/change/", {**form, "date_joined_1": "00:00:00", **fields})


def ids(*groups: str) -> list[int]:
    return list(Group.objects.filter(name__in=groups).values_list("pk", flat=True))


def test_a_manager_adds_a_user_and_puts_them_into_a_group_and_the_log_says_which(client, manager):
    client.post(f"{USERS}add/", {"username": "tom", "usable_password": "true", **PASSWORD})
    tom = User.objects.get(username="tom")

    assert save(client, tom, groups=ids("operator")).status_code == 302

    assert User.objects.get(pk=tom.pk).has_perm("queueops.retry_deadletter")
    changed = AuditEntry.objects.latest("number")
    assert {"values": {"groups": ["operator"], "is_staff": True}} in changed.details["message"]
    assert (changed.who, changed.kind) == ("manager", "auth.user")


@pytest.mark.parametrize("whom", ["manager", "tom"])
def test_a_manager_makes_nobody_a_superuser_by_a_forged_post(client, manager, whom):
    user = manager if whom == "manager" else member("viewer", "tom")
    everything = list(Permission.objects.values_list("pk", flat=True))

    save(client, user, is_superuser="on", user_permissions=everything)

    user.refresh_from_db()
    assert not user.is_superuser
    assert not user.user_permissions.exists()


def test_a_manager_puts_nobody_into_a_group_that_may_more(client, manager):
    stronger = Group.objects.create(name="administrators")
    stronger.permissions.add(Permission.objects.get(codename="delete_user"))

    answer = save(client, manager, groups=[*ids("manager"), stronger.pk])

    assert "groups" in answer.context["adminform"].form.errors
    assert set(manager.groups.values_list("name", flat=True)) == {"manager"}


def test_a_manager_puts_nobody_into_a_group_that_sees_more_accounts(client, manager):
    team = Group.objects.create(name="team of the studio")
    account().groups.add(team)

    assert "groups" in save(client, manager, groups=[*ids("manager"), team.pk]).context["adminform"].form.errors
    manager.groups.add(team)
    tom = member("viewer", "tom")
    assert save(client, tom, groups=[*ids("viewer"), team.pk]).status_code == 302
    assert team in tom.groups.all()


@pytest.mark.parametrize("path", ["change", "password"])
def test_a_manager_does_not_take_a_superusers_place(client, manager, path):
    ada = superuser()
    before = User.objects.filter(pk=ada.pk).values().get()
    form = {"username": "ada", "is_active": "on", **PASSWORD, "usable_password": "true"}

    assert client.post(f"{USERS}{ada.pk}/{path}/", form).status_code == 403
    assert User.objects.filter(pk=ada.pk).values().get() == before


def test_a_manager_sets_the_password_of_who_may_no_more_than_they(client, manager):
    tom = member("operator", "tom")

    client.post(f"{USERS}{tom.pk}/password/", {**PASSWORD, "usable_password": "true"})

    tom.refresh_from_db()
    assert tom.check_password(PASSWORD["password1"])


def test_nobody_but_a_superuser_deletes_who_may_more_also_by_the_list(client):
    maria = person("auth.view_user", "auth.delete_user", "auth.change_user")
    ada = superuser()
    client.force_login(maria)

    assert client.post(f"{USERS}{ada.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(ada.pk)], "post": "yes"}
    assert client.post(USERS, chosen).status_code == 403
    assert User.objects.filter(pk=ada.pk).exists()


def test_who_may_change_groups_gives_them_no_more_than_they_have(client):
    maria = person("auth.view_group", "auth.add_group", "auth.change_group")
    mine = Group.objects.create(name="mine")
    maria.groups.add(mine)
    view, see = (Permission.objects.get(codename=name) for name in ("view_group", "see_text"))
    client.force_login(maria)

    given = client.post(f"{GROUPS}{mine.pk}/change/", {"name": "mine", "permissions": [view.pk]})
    refused = client.post(f"{GROUPS}{mine.pk}/change/", {"name": "mine", "permissions": [view.pk, see.pk]})

    assert given.status_code == 302
    assert "permissions" in refused.context["adminform"].form.errors
    assert set(mine.permissions.all()) == {view}


def test_a_group_that_may_more_is_not_touched(client):
    make_groups()
    client.force_login(person("auth.view_group", "auth.change_group", "auth.delete_group"))
    (manager,) = ids("manager")

    for path, form in (("change", {"name": "mine"}), ("delete", {"post": "yes"})):
        assert client.post(f"{GROUPS}{manager}/{path}/", form).status_code == 403
    assert Group.objects.get(pk=manager).name == "manager"


def test_a_manager_looks_at_groups_and_changes_none(client, manager):
    (operator,) = ids("operator")

    assert client.get(f"{GROUPS}{operator}/change/").status_code == 200
    assert client.post(f"{GROUPS}{operator}/change/", {"name": "x"}).status_code == 403
