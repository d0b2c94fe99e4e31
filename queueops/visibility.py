"""Whose rows a user may see. Jobs belong to tenants; which tenants are hidden from whom is for others to say.

Counts over the whole queue (lanes, ledger, rates) are everybody's who may see the console.
See docs/adr/0034-limited-accounts.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet

from queueops.models import AuditEntry, DeadLetter, DeadLetterQuerySet

Rows = TypeVar("Rows", bound="QuerySet[Any, Any]")
Rule = Callable[[Any], frozenset[str]]

NOT_YOURS = "hidden: it may belong to an account that is limited to a group of which you are no member"

_rules: list[Rule] = []


def hide(rule: Rule) -> None:
    """Ask this rule, too, which tenants are hidden from a user. Once in a process, when it starts."""
    if rule not in _rules:
        _rules.append(rule)


def hidden_tenants(user: Any) -> frozenset[str]:
    """The tenants whose rows this user may not see; empty for most. user: None is somebody with a shell."""
    return frozenset().union(*(rule(user) for rule in _rules)) if user is not None else frozenset()


def sees_everything(user: Any) -> bool:
    """Whether the user may be shown what cannot be told apart by tenant: RQ's own pages, unusable bodies."""
    return not hidden_tenants(user)


def may_see(user: Any, tenant: str) -> bool:
    return tenant not in hidden_tenants(user)


def narrowed(rows: Rows, user: Any, field: str) -> Rows:
    """The rows without those of hidden tenants. field: where the tenant stands, such as "account"."""
    hidden = hidden_tenants(user)
    return rows.exclude(**{f"{field}__in": hidden}) if hidden else rows


def letters(user: Any) -> DeadLetterQuerySet:
    """The dead letters that this user may see and act on."""
    return narrowed(DeadLetter.objects.all(), user, "account")


def audit_entries(entries: QuerySet[AuditEntry], user: Any) -> QuerySet[AuditEntry]:
    """All of them, or the user's own: one entry may be about things of many tenants.

    What was done to one thing is shown on its own page to all who may see that thing.
    """
    return entries if sees_everything(user) else entries.filter(who_id=str(user.pk))


def permissions(user: Any) -> QuerySet[Permission]:
    """What the user was given, by themselves or by a group; also while they may not log in."""
    return Permission.objects.filter(Q(user=user.pk) | Q(group__user=user.pk)).distinct()


def may_act_for(user: Any, other: Any) -> bool:
    """Whether `user` may take `other`'s place: set a password, hand out a key, change what they may do.

    Only with every right of theirs, for otherwise this would be a way to more.
    """
    if user.is_superuser:
        return True
    has_more = other.is_superuser or permissions(other).exclude(pk__in=permissions(user).values("pk")).exists()
    return not has_more and hidden_tenants(user) <= hidden_tenants(other)
