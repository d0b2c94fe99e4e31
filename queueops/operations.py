"""Orders over many dead letters: planned, begun, consented to, cancelled; by page, command or API alike.

The workers carry them out (`queueops.slices`). See docs/adr/0028-bulk-operations.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from queueops import audit, plan_counts, selections, visibility
from queueops.audit import Act, By
from queueops.models import DeadLetterQuerySet, Operation
from queueops.selections import Selection

RETRY, DISCARD = Operation.What.RETRY, Operation.What.DISCARD
State = Operation.State

CANARY, PACE = 5, 50
MOST_CANARIES, MOST_PACE = 1000, 1000
SHOWN = 5

# Who may give an order, and take it back.
PERMISSIONS = {RETRY: "queueops.bulk_retry_deadletter", DISCARD: "queueops.discard_deadletter"}
CONSENT = "queueops.consent_operation"
HIDDEN = "It is also about accounts that are hidden from you: whoever sees all of them must decide."


class NothingToDo(Exception):
    """No letter would be handled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an order would do. n: how many letters; left_out: how many it leaves alone, by the reason.

    is_all: no: only the oldest letters were looked at, and there may be more of each of these (`plan_counts`).
    by_cause: (title, fingerprint, how many) of the most frequent; by_account: (account, how many).
    """

    what: Operation.What
    selection: Selection
    n: int
    is_all: bool = True
    left_out: dict[str, int]
    by_cause: list[tuple[str, str, int]]
    by_account: list[tuple[str, int]]
    pace: int
    needs_consent: bool

    @property
    def seconds(self) -> float:
        """How long it takes at the pace."""
        return self.n / self.pace

    @property
    def reasons(self) -> list[tuple[str, str, int]]:
        """(name, in words, how many) of what is left out."""
        return [(name, selections.WHY_NOT[name], n) for name, n in self.left_out.items()]


def plan(what: str, selection: Mapping[str, Any], user: Any, pace: int = PACE) -> Plan:
    """What the order would do if it began now. user: who asks, for they may not see everything.

    selection: as `selections.parse` reads it. Raises ValueError for one that it cannot read.
    """
    kind, chosen = Operation.What(what), selections.parse(selection)
    enough = settings.QUEUE_CONSENT_ABOVE + 1 if kind == DISCARD else 0
    counted = plan_counts.look(chosen, user, _may_go(kind, chosen), _staying(kind, chosen), enough)
    return Plan(
        what=kind,
        selection=chosen,
        n=counted.n,
        is_all=counted.is_all,
        left_out=counted.left_out,
        by_cause=[(title, name, n) for (title, name), n in counted.by_cause.most_common(SHOWN)],
        by_account=counted.by_account.most_common(SHOWN),
        pace=pace,
        needs_consent=needs_consent(kind, counted.n, is_all=counted.is_all),
    )


def count(operation: Operation) -> None:
    """Count all that there is to handle, for a worker that is about to begin; a page does not wait for that."""
    what, chosen = Operation.What(operation.what), selections.parse(operation.selection)
    counted = plan_counts.count(_asked_for(operation), _may_go(what, chosen), _staying(what, chosen))
    operation.total, operation.is_counted, operation.left_out = counted.n, True, _in_words(counted.left_out)
    operation.save(update_fields=["total", "is_counted", "left_out"])


def needs_consent(what: str, n: int, *, is_all: bool = True) -> bool:
    """Whether so many need a second person, or nobody knows how many."""
    return what == DISCARD and (n > settings.QUEUE_CONSENT_ABOVE or not is_all)


def candidates(operation: Operation) -> DeadLetterQuerySet:
    """The letters that the operation may still handle, in its order: none that was written after it began."""
    may_go = _may_go(Operation.What(operation.what), selections.parse(operation.selection))
    return _asked_for(operation).filter(may_go).order_by("pk")


def _asked_for(operation: Operation) -> DeadLetterQuerySet:
    """Also those that it leaves alone."""
    letters = selections.parse(operation.selection).letters(operation.asked_by)
    return letters.filter(created_at__lte=operation.created_at)


def start(what: str, selection: Mapping[str, Any], by: By, *, canary: int | None = None, pace: int = PACE) -> Operation:
    """Begin the order; workers go on with it. what: `retry` or `discard`. selection: as `selections.parse` reads it.

    canary: so many go first and must end well, by default CANARY of a retry by cause, none otherwise. pace: letters a
    second. Raises ValueError for what it cannot read, NothingToDo when no letter would be handled. It asks for no
    permission: whoever calls it does (PERMISSIONS).
    """
    if not 0 <= (canary or 0) <= MOST_CANARIES or not 1 <= pace <= MOST_PACE:
        raise ValueError(f"A canary of 0 to {MOST_CANARIES} letters, and 1 to {MOST_PACE} letters a second.")
    planned = plan(what, selection, by.user, pace)
    if canary is None:
        canary = CANARY if planned.what == RETRY and "fingerprint" in planned.selection.filters else 0
    if not planned.n and planned.is_all:
        raise NothingToDo
    operation = Operation(
        what=planned.what,
        selection=planned.selection.as_json(),
        reason=by.reason.strip(),
        asked_by=by.user,
        asked_by_name=by.who[:150],
        through=by.through,
        needs_consent=planned.needs_consent,
        state=State.ASKED if planned.needs_consent else State.RUNNING,
        canary=canary if planned.what == RETRY else 0,
        pace=pace,
        total=planned.n,
        is_counted=planned.is_all,
        left_out=_in_words(planned.left_out),
    )
    with transaction.atomic():
        operation.save(force_insert=True)
        details = {"total": planned.n, "selection": operation.selection, "canary": operation.canary, "pace": pace}
        _record(operation, by, f"{operation.what} many", **details)
    return operation


def consent(operation: Operation, by: By) -> bool:
    """Let it begin; whether it still waited for that.

    Raises PermissionDenied for whoever asked for it, and for those who could not have asked for it themselves.
    """
    if by.user is None or by.user.pk == operation.asked_by_id or by.who == operation.asked_by_name:
        raise PermissionDenied("It takes a second person: nobody consents to what they asked for themselves.")
    if not by.user.has_perms([CONSENT, PERMISSIONS[Operation.What(operation.what)]]):
        raise PermissionDenied("It takes the permission to consent, and the one to do the same.")
    _require_sight(operation, by.user)
    fields = {"state": State.RUNNING, "consented_by": by.who[:150], "next_at": timezone.now()}
    return _change(operation, by, "consent", Q(state=State.ASKED), **fields)


def is_hidden_in_part(operation: Operation, user: Any) -> bool:
    """Whether letters that it may still handle belong to accounts that this user does not see."""
    hidden = visibility.hidden_tenants(user)
    return bool(hidden) and candidates(operation).filter(account__in=hidden).exists()


def _require_sight(operation: Operation, user: Any) -> None:
    if is_hidden_in_part(operation, user):
        raise PermissionDenied(HIDDEN)


def cancel(operation: Operation, by: By) -> bool:
    """Stop it: a slice that is just being handled is still finished. Whether it had not ended yet.

    Raises PermissionDenied for whoever does not see all the accounts that it is about.
    """
    _require_sight(operation, by.user)
    under_way = Q(state__in=Operation.UNDER_WAY)
    return _change(operation, by, "cancel", under_way, state=State.CANCELLED, finished_at=timezone.now())


def go_on(operation: Operation, by: By) -> bool:
    """Have a halted one go on, or one that waits for its canary go on without; whether it was halted or waited.

    Raises PermissionDenied as `cancel` does.
    """
    _require_sight(operation, by.user)
    now = timezone.now()
    waits = Q(state=State.HALTED) | Q(state=State.RUNNING, canary__gt=0, canary_passed=False)
    fields = {"canary_passed": True, "judged_from": now, "next_at": now, "halted_because": ""}
    return _change(operation, by, "go on with", waits, state=State.RUNNING, **fields)


def again(operation: Operation) -> int:
    """How many of the letters that it retried have been given up again since."""
    if operation.what != RETRY or operation.started_at is None:
        return 0
    events = operation.letters.values("event")
    newer = visibility.letters(None).filter(created_at__gt=operation.started_at, event__in=events)
    return newer.exclude(operation=operation).count()


def _may_go(what: Operation.What, chosen: Selection) -> Q:
    return selections.may_go(chosen.include, timezone.now()) if what == RETRY else Q()


def _staying(what: Operation.What, chosen: Selection) -> dict[str, Q]:
    return selections.left_out(chosen.include, timezone.now()) if what == RETRY else {}


def _in_words(left_out: dict[str, int]) -> dict[str, int]:
    return {selections.WHY_NOT[name]: n for name, n in left_out.items()}


def _change(operation: Operation, by: By, action: str, when: Q, **to: Any) -> bool:
    with transaction.atomic():
        if not Operation.objects.filter(when, pk=operation.pk).update(**to):
            return False
        _record(operation, by, action)
    return True


def _record(operation: Operation, by: By, action: str, **details: Any) -> None:
    targets = [(str(operation.pk), str(operation))]
    audit.record(Act(by=by, action=action, kind=audit.kind_of(Operation), targets=targets, details=details))
