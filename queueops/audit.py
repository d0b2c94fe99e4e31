"""Who did what, to what, how many and why: an append-only log whose every row is sealed with the one before it.

A seal is the SHA-256 of the row's content, its targets and the previous row's seal, so that a row that was changed,
removed or put in between breaks the chain from there on. Who can write to the database can also rewrite the chain to
its end: the seals also go to the log, and whoever kept one elsewhere can check against it. See docs/adr/0023-audit.md.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import models, transaction
from django.utils import timezone

from queueops.models import AuditEntry, AuditTarget

logger = logging.getLogger(__name__)

NOTHING_BEFORE = "0" * 64
REASON_CHARACTERS = 1000
CONSOLE, API, COMMAND = "console", "api", "command"


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, through what, and why. user: None for somebody with a shell; shell: their name there."""

    user: Any
    through: str
    reason: str = ""
    shell: str = ""

    @property
    def who(self) -> str:
        """A name to show."""
        if self.user is not None:
            return str(self.user.get_username())
        return f"{self.shell} (shell)" if self.shell else "somebody with a shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing done. targets: (key, name) of each; kind: their model; details: JSON without floats."""

    by: By
    action: str
    kind: str = ""
    targets: Sequence[tuple[str, str]] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """What `verify` found. broken_at: the first entry that does not fit, None when all do; problem: why it does not."""

    entries: int
    last_seal: str
    broken_at: int | None = None
    problem: str = ""


def kind_of(thing: models.Model | type[models.Model]) -> str:
    """How a model is called here: `queueops.deadletter`."""
    return str(thing._meta.label_lower)


def record(act: Act) -> AuditEntry:
    """Append one entry, in the caller's transaction if there is one. Those who come at once wait for each other."""
    targets = sorted({(clean(key)[:64], clean(name)[:200]) for key, name in act.targets})
    with transaction.atomic():
        number, previous = _last()
        entry = AuditEntry(
            number=number + 1,
            at=timezone.now(),
            who=clean(act.by.who)[:150],
            who_id=str(act.by.user.pk) if act.by.user is not None else "",
            through=act.by.through,
            action=act.action,
            kind=act.kind,
            count=len(targets),
            reason=clean(act.by.reason).strip()[:REASON_CHARACTERS],
            details=act.details,
            previous=previous,
        )
        entry.seal = seal(entry, targets)
        entry.save(force_insert=True)
        AuditTarget.objects.bulk_create(AuditTarget(entry=entry, key=key, name=name) for key, name in targets)
    logger.info(
        "action=audited number=%d who=%s did=%s n=%d seal=%s",
        *(entry.number, entry.who_id, entry.action, entry.count, entry.seal),
    )
    return entry


def _last() -> tuple[int, str]:
    """Number and seal of the newest entry, which stays the newest until the transaction ends.

    The lock is on the first entry, which never changes: a lock on the newest would be on the wrong row once one waited
    for it. (SQLite needs none: its transactions begin with the write lock.)
    """
    first = AuditEntry(number=0, at=timezone.now(), who="the system", through=COMMAND, action="begin")
    first.previous = NOTHING_BEFORE
    first.seal = seal(first, [])
    AuditEntry.objects.get_or_create(
        number=0,
        defaults={name: getattr(first, name) for name in ("at", "who", "through", "action", "previous", "seal")},
    )
    AuditEntry.objects.select_for_update().get(number=0)
    number, last_seal = AuditEntry.objects.order_by("-number").values_list("number", "seal")[0]
    return number, last_seal


def clean(text: str) -> str:
    """What somebody typed, without what PostgreSQL refuses: NUL and lone surrogates."""
    return text.replace("\0", "").encode(errors="replace").decode()


def seal(entry: AuditEntry, targets: Iterable[tuple[str, str]]) -> str:
    """The SHA-256, in hex, over the entry's content, its targets and the seal before it."""
    content = {
        **{name: getattr(entry, name) for name in ("number", "who", "who_id", "through", "action", "kind", "count")},
        **{name: getattr(entry, name) for name in ("reason", "details", "previous")},
        "at": _instant(entry.at),
        "targets": sorted([key, name] for key, name in targets),
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def verify() -> Checked:
    """Read the whole log and check every seal, every number, and that each entry follows the one before it."""
    expected, previous = 0, NOTHING_BEFORE
    for entry in AuditEntry.objects.order_by("number").prefetch_related("targets").iterator(chunk_size=500):
        problem = _problem(entry, expected, previous)
        if problem:
            return Checked(expected, previous, entry.number, problem)
        expected, previous = expected + 1, entry.seal
    return Checked(expected, previous)


def _problem(entry: AuditEntry, expected: int, previous: str) -> str:
    if entry.number != expected:
        return f"entry {expected} is missing"
    if entry.previous != previous:
        return "it does not follow the entry before it"
    if entry.seal != seal(entry, [(target.key, target.name) for target in entry.targets.all()]):
        return "its content is not what was sealed"
    return ""


def trail(kind: str, keys: Iterable[Any], limit: int = 20) -> list[AuditEntry]:
    """The newest entries about any of these things."""
    entries = AuditEntry.objects.filter(kind=kind, targets__key__in=[str(key) for key in keys])
    return list(entries.distinct()[:limit])
