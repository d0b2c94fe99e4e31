"""Giving permissions to groups in migrations: once, so that what an administrator takes away later stays away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.management import create_permissions


def grant(apps: Any, group: str, permissions: Iterable[str]) -> None:
    """Make the group if there is none of this name, and give it these permissions ("queueops.view_console").

    apps: the migration's registry. The migration must depend on those that declare the permissions; their rows are made
    here, since `migrate` itself makes them only after the last migration. Raises LookupError for one that is not
    declared.
    """
    wanted = [permission.split(".") for permission in permissions]
    for app in sorted({app for app, _ in wanted}):
        _make_permissions(apps, app)
    rows = {
        (row.content_type.app_label, row.codename): row
        for row in apps.get_model("auth", "Permission").objects.select_related("content_type")
    }
    missing = [f"{app}.{name}" for app, name in wanted if (app, name) not in rows]
    if missing:
        raise LookupError(f"No model declares {', '.join(missing)}: let the migration depend on the one that does.")
    found, _ = apps.get_model("auth", "Group").objects.get_or_create(name=group)
    found.permissions.add(*(rows[app, name] for app, name in wanted))


def _make_permissions(apps: Any, app: str) -> None:
    config = apps.get_app_config(app)
    # The stand-in that migrations have for an app has no module, and so counts as one without models.
    config.models_module = getattr(config, "models_module", None) or True
    create_permissions(config, apps=apps, verbosity=0)
