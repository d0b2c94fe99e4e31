"""What operators do about accounts: pause them and resume them, written into the audit log.

A pause without an end is a status; one with an end is `paused_until`, as Meta's own throttling is, and ends by itself.
An account that needs its owner waits already and stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from automations.models import Account
from automations.release import is_held
from queueops import audit
from queueops.audit import Act, By

Status = Account.Status


def pause(accounts: Iterable[Account], by: By, minutes: int | None = None) -> int:
    """Have the events of these accounts wait, for so many minutes or until `resume`; how many accounts."""
    paused = []
    for account in accounts:
        if account.status != Status.ACTIVE:
            continue
        if minutes is None:
            account.status = Status.PAUSED
        else:
            account.paused_until = timezone.now() + timedelta(minutes=minutes)
        account.status_reason = by.reason[:300]
        paused.append(account)
    return _save(paused, "pause_account", by, minutes)


def resume(accounts: Iterable[Account], by: By) -> int:
    """Let the events of these accounts go on; how many accounts. Meta may ask to wait again."""
    resumed = []
    for account in accounts:
        if account.status == Status.NEEDS_OWNER or not is_held(account.status, account.paused_until, timezone.now()):
            continue
        account.status, account.status_reason, account.paused_until = Status.ACTIVE, "", None
        resumed.append(account)
    return _save(resumed, "resume_account", by)


def _save(accounts: list[Account], action: str, by: By, minutes: int | None = None) -> int:
    """One at a time, so that caches and waiting events are told (`automations.receivers`)."""
    if not accounts:
        return 0
    targets = [(str(account.pk), str(account)) for account in accounts]
    with transaction.atomic():
        for account in accounts:
            account.save(update_fields=["status", "status_reason", "paused_until"])
        audit.record(
            Act(by=by, action=action, kind=audit.kind_of(Account), targets=targets, details={"minutes": minutes})
        )
    return len(accounts)
