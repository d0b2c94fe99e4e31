"""Changing the encryption key: every stored token anew with the first of FIELD_ENCRYPTION_KEYS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from automations import secrets
from automations.models import Account


@dataclass(slots=True)
class Report:
    """How many tokens were written anew, were so already, or changed meanwhile; and whose cannot be read."""

    reencrypted: int = 0
    current: int = 0
    changed_meanwhile: int = 0
    unreadable: list[str] = field(default_factory=list)


def reencrypt(batch: int, dry_run: bool = False) -> Report:
    """Safe beside running workers and safe to repeat: a row is written only if it still holds what was read."""
    report = Report()
    for account in _accounts_with_a_token(batch):
        stored: secrets.Ciphertext = account.__dict__["token"]
        if secrets.is_current(stored):
            report.current += 1
            continue
        try:
            anew = secrets.encrypt(account.token)
        except secrets.UndecryptableError:
            report.unreadable.append(f"{account} ({account.instagram_id})")
            continue
        if dry_run or Account.objects.filter(pk=account.pk, token=stored).update(token=anew):
            report.reencrypted += 1
        else:
            report.changed_meanwhile += 1
    return report


def _accounts_with_a_token(batch: int) -> Iterator[Account]:
    """In batches by key, so that neither memory nor a transaction grows with the number of accounts."""
    rows = Account.objects.exclude(token="").only("pk", "instagram_id", "username", "token").order_by("pk")
    page = list(rows[:batch])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:batch])
