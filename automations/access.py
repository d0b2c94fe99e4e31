"""Accounts that are limited to groups: who may see and act on what is theirs.

An account without groups is everybody's; one with groups is for their members and for superusers. What belongs to an
account is seen with it. Events of an account that is not known here are everybody's.
See docs/adr/0034-limited-accounts.md.
"""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

from automations.models import Account, AccountGroup, Event, Workspace
from queueops import visibility

Rows = TypeVar("Rows", bound="QuerySet[Any, Any]")

# Where the answer waits on the user object, as Django's own permissions do: for one request.
KNOWN = "_hidden_accounts"


def hidden_accounts(user: Any) -> dict[UUID, str]:
    """The accounts that this user may not see: key and Instagram id. One query a user object, none for superusers."""
    if user is None or user.is_superuser:
        return {}
    known: dict[UUID, str] | None = getattr(user, KNOWN, None)
    if known is None:
        known = _hidden_accounts(user)
        setattr(user, KNOWN, known)
    return known


def _hidden_accounts(user: Any) -> dict[UUID, str]:
    # From the limits, not from the accounts: most installations have none, and this table is then empty.
    mine = Account.objects.filter(groups__user=user.pk) if user.pk is not None else Account.objects.none()
    limits = AccountGroup.objects.exclude(account__in=mine.values("pk"))
    return dict(limits.values_list("account_id", "account__instagram_id"))


def hidden_tenants(user: Any) -> frozenset[str]:
    """The Instagram ids of the hidden accounts, for `queueops.visibility`."""
    return frozenset(hidden_accounts(user).values())


def visible(rows: Rows, user: Any, account: str) -> Rows:
    """The rows without those of hidden accounts. account: the path to the account's key, such as "account"."""
    hidden = hidden_accounts(user)
    return rows.exclude(**{f"{account}__in": list(hidden)}) if hidden else rows


def visible_workspaces(workspaces: QuerySet[Workspace], user: Any) -> QuerySet[Workspace]:
    """Those of which the user may see an account, and those without any."""
    hidden = list(hidden_accounts(user))
    if not hidden:
        return workspaces
    seen = Account.objects.exclude(pk__in=hidden).values("workspace")
    unseen = Account.objects.filter(pk__in=hidden).exclude(workspace__in=seen).values("workspace")
    return workspaces.exclude(pk__in=unseen)


def sees_all_of(user: Any, workspace: Workspace | None) -> bool:
    """Whether none of the workspace's accounts is hidden from the user. workspace: None is none in particular."""
    hidden = hidden_accounts(user)
    return workspace is None or not hidden or not workspace.accounts.filter(pk__in=list(hidden)).exists()


def visible_events(user: Any) -> QuerySet[Event]:
    """The events that this user may see."""
    return visibility.narrowed(Event.objects.all(), user, "account")


def groups_for(user: Any) -> QuerySet[Group]:
    """The groups that this user may put people into: their permissions and accounts are all open to the user, too."""
    if user.is_superuser:
        return Group.objects.all()
    opening = AccountGroup.objects.filter(account__in=list(hidden_accounts(user))).values("group")
    lacking = Permission.objects.exclude(pk__in=visibility.permissions(user).values("pk"))
    return Group.objects.exclude(pk__in=opening).exclude(permissions__in=lacking)


class OfAccounts:
    """For an admin class: its pages, lists and actions leave out what belongs to accounts that the user may not see."""

    account_path: str

    def get_queryset(self, request: Any) -> Any:
        rows: Any = super().get_queryset(request)  # type: ignore[misc] # it stands before an admin class
        return visible(rows, request.user, self.account_path)


class OfTenants:
    """The same where a row holds the account's Instagram id instead of its key."""

    tenant_path: str

    def get_queryset(self, request: Any) -> Any:
        rows: Any = super().get_queryset(request)  # type: ignore[misc] # it stands before an admin class
        return visibility.narrowed(rows, request.user, self.tenant_path)
