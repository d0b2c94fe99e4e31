"""Users of the console and the API, by what they may do."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader

from queueops import api_tokens
from queueops.models import ApiToken


def person(*permissions: str, name: str = "maria") -> User:
    """A member of staff with these permissions ("queueops.view_deadletter") and no other."""
    user = User.objects.create_user(name, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def superuser(name: str = "ada") -> User:
    return User.objects.create_superuser(name)


def api_key(user: User, scope: str = "operate", **fields: object) -> str:
    """A key to the API in the user's name."""
    key = api_tokens.new_key()
    api_tokens.keep(ApiToken(name="monitor", user=user, scope=scope, **fields), key)
    return key


# What each group may do, once the migrations were asked.
_known_groups: dict[str, list[tuple[str, str]]] = {}


def make_groups() -> None:
    """The groups as `migrate` makes them; a test that empties the database takes them away."""
    if not _known_groups:
        _migrate_groups()
        for known in Group.objects.filter(name__in=("viewer", "operator", "manager")):
            permissions = known.permissions.values_list("content_type__app_label", "codename")
            _known_groups[known.name] = list(permissions)
        return
    everything = Permission.objects.select_related("content_type")
    rows = {(row.content_type.app_label, row.codename): row for row in everything}
    for name, held in _known_groups.items():
        Group.objects.get_or_create(name=name)[0].permissions.set(rows[one] for one in held)


def _migrate_groups() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for app, name in sorted(key for key in loader.disk_migrations if key[0] == "chatautodm"):
        for operation in import_module(f"{app}.migrations.{name}").Migration.operations:
            if isinstance(operation, RunPython):
                operation.code(apps, None)  # type: ignore[arg-type] # none of them looks at the schema


def member(group: str, name: str = "") -> User:
    """A member of staff in one of these groups."""
    user = User.objects.create_user(name or group, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user
