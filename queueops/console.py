"""The console's overview: the snapshot, and beside it what only a person wants to see."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from queueops import connections, ledger, stats
from queueops.dispatch import KEPT_BYTES, KEPT_KEY
from queueops.embedded import EmbeddedValkeyError
from queueops.models import DeadLetter

KEPT_SHOWN = 20
LETTERS_SHOWN = 5
BADGE_COUNTS_TO = 99


@dataclass(frozen=True, slots=True)
class Kept:
    """A body, or a part of one, that nobody could use; `text` is what it says, "" where only listed."""

    id: str
    at: datetime
    reason: str
    text: str = ""


def context() -> dict[str, Any]:
    """Everything the overview shows."""
    snapshot = stats.snapshot()
    return {
        "snapshot": snapshot,
        "taken_at": timezone.now(),
        "unattended": stats.unattended(snapshot),
        "letters": DeadLetter.objects.dead().defer("payload", "traceback")[:LETTERS_SHOWN],
        **(_put_aside(connections.client()) if snapshot["redis"]["connected"] else {}),
    }


def dashboard(request: HttpRequest, context_: dict[str, Any]) -> dict[str, Any]:
    """Unfold's hook for the admin's first page: the overview, for those who may see it."""
    if request.user.has_perm("queueops.view_console"):
        context_.update(context())
    return context_


def dead_badge(request: HttpRequest) -> str | None:
    """How many dead letters wait for an operator, for the navigation."""
    if not request.user.has_perm("queueops.view_deadletter"):
        return None
    n = DeadLetter.objects.dead()[: BADGE_COUNTS_TO + 1].count()
    return None if not n else str(n) if n <= BADGE_COUNTS_TO else f"{BADGE_COUNTS_TO}+"


def _put_aside(redis: Redis) -> dict[str, Any]:
    """What was ignored, by name, and the newest of what nobody could use; nothing when Redis has just gone."""
    try:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(ledger.IGNORED_KEY)
            pipeline.xrevrange(KEPT_KEY, count=KEPT_SHOWN)
            ignored, entries = pipeline.execute()
    except (RedisError, OSError):
        return {}
    counts = {name.decode(): int(n) for name, n in ignored.items()}
    return {
        "ignored": sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])),
        "kept": [_kept(entry_id, fields) for entry_id, fields in entries],
    }


def find_kept(entry_id: str) -> Kept | None:
    """One kept body with its text; None when there is none of this id, or Redis is away."""
    try:
        entries: Any = connections.client().xrange(KEPT_KEY, entry_id, entry_id)
    except (RedisError, OSError, EmbeddedValkeyError):  # also an id that is none
        return None
    return next((_kept(found, fields, with_text=True) for found, fields in entries), None)


def _kept(entry_id: bytes, fields: dict[bytes, bytes], with_text: bool = False) -> Kept:
    milliseconds = int(entry_id.split(b"-")[0])
    return Kept(
        id=entry_id.decode(),
        at=datetime.fromtimestamp(milliseconds / 1000, UTC),
        reason=fields[b"reason"].decode(errors="replace"),
        text=_readable(fields[b"raw"]) if with_text else "",
    )


def _readable(compressed: bytes) -> str:
    raw = zlib.decompressobj().decompress(compressed, KEPT_BYTES)
    return raw.decode(errors="backslashreplace")
