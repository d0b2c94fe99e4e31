"""Users of the console and the API, by what they may do."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User


def person(*permissions: str, name: str = "maria") -> User:
    """A member of staff with these permissions ("queueops.view_deadletter") and no other."""
    user = User.objects.create_user(name, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def superuser(name: str = "ada") -> User:
    return User.objects.create_superuser(name)
