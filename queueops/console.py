"""The console's overview: the snapshot, and beside it what only a person wants to see."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from queueops import (
    alerts,
    bottleneck,
    boxes,
    connections,
    history_charts,
    ledger,
    objectives,
    pace,
    panels,
    privacy,
    stats,
    switches,
    switching,
    tally,
    visibility,
)
from queueops.bottleneck import Limit
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.pace import Rates
from queueops.switches import Switches
from queueops.switching import Order
from queueops.taking import KEPT_BYTES, KEPT_KEY

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


@dataclass(frozen=True, slots=True)
class Offer:
    """A switch as it stands, and what may be ordered: (label, address). story: who, why, since, until."""

    name: str
    state: str
    is_normal: bool
    story: str
    orders: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One lane. counts: the snapshot's; rates: None when they are not known."""

    name: str
    counts: dict[str, Any]
    rates: Rates | None
    limit: Limit


def context(user: Any, span: str = history_charts.DEFAULT) -> dict[str, Any]:
    """Everything the overview shows this user. span: of the charts, one of history_charts.SPANS."""
    snapshot = stats.snapshot()
    held = switches.current()
    windows = objectives.windows()
    shown, more_alerts = alerts.strip(user)
    return {
        "alerts": shown,
        "more_alerts": more_alerts,
        "boxes": boxes.boxes(snapshot, objectives.burn(windows), shown),
        "lanes": _lanes(snapshot, held, user),
        "panels": panels.panels(user),
        "charts": history_charts.make(span, time.time()),
        "span": span if span in history_charts.SPANS else history_charts.DEFAULT,
        "spans": list(history_charts.SPANS),
        "windows": [windows[name] for name in objectives.SHOWN],
        "objective": {"percent": settings.OBJECTIVE_PERCENT, "seconds": settings.OBJECTIVE_SECONDS},
        "offers": _offers(held, user),
        "suspended": held.suspended,
        "snapshot": snapshot,
        "taken_at": timezone.now(),
        "letters": _last_letters(user),
        **(_put_aside(connections.client()) if snapshot["redis"]["connected"] else {}),
    }


def _lanes(snapshot: dict[str, Any], held: Switches, user: Any) -> list[LaneRow]:
    rates = _rates() if snapshot["redis"]["connected"] else None
    limits = bottleneck.limits(snapshot, held, rates, panels.put_off(user))
    return [
        LaneRow(name, counts, rates.get(name) if rates else None, limits[name])
        for name, counts in snapshot["queues"].items()
    ]


def _rates() -> dict[str, Rates] | None:
    try:
        return pace.by_lane(connections.client(), time.time())
    except (RedisError, OSError, EmbeddedValkeyError):  # gone since
        return None


def _last_letters(user: Any) -> list[DeadLetter]:
    letters = visibility.letters(user).dead().defer("payload", "traceback")
    return privacy.errors_shown(user, letters[:LETTERS_SHOWN])


def _offers(held: Switches, user: Any) -> list[Offer]:
    mode, default = held.get(switches.MODE), switches.default_mode()
    others = [order for order in switching.MODE_ORDERS if order.to != held.mode and (mode or order.sets)]
    story = mode.story() if mode else "as USE_QUEUE_SYSTEM says"
    offers = [Offer("Mode", held.mode, held.mode == default, story, _links(others, user))]
    for lane in Lane:
        pause = held.pause_of(lane)
        to, state = (switching.RESUMED, "paused") if pause else (switching.PAUSED, "open")
        links = _links([switching.ORDERS[lane.value, to]], user)
        offers.append(Offer(f"Lane {lane}", state, not pause, pause.story() if pause else "", links))
    return offers


def _links(orders: Iterable[Order], user: Any) -> list[tuple[str, str]]:
    """Those that this user may give."""
    return [
        (order.label, reverse("admin:queueops_console_switch", args=[order.subject, order.to]))
        for order in orders
        if user.has_perm(order.permission)
    ]


def dashboard(request: HttpRequest, context_: dict[str, Any]) -> dict[str, Any]:
    """Unfold's hook for the admin's first page: the overview, for those who may see it."""
    if request.user.has_perm("queueops.view_console"):
        context_.update(context(request.user, request.GET.get("span", history_charts.DEFAULT)))
    return context_


def dead_badge(request: HttpRequest) -> str:
    """How many dead letters wait for an operator, for the navigation; "" for none."""
    if not request.user.has_perm("queueops.view_deadletter"):
        return ""
    n = visibility.letters(request.user).dead()[: BADGE_COUNTS_TO + 1].count()
    return "" if not n else str(n) if n <= BADGE_COUNTS_TO else f"{BADGE_COUNTS_TO}+"


def _put_aside(redis: Redis) -> dict[str, Any]:
    """What was ignored, by name, and the newest of what nobody could use; nothing when Redis has just gone."""
    try:
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(ledger.IGNORED_KEY)
            pipeline.xrevrange(KEPT_KEY, count=KEPT_SHOWN)
            ignored, entries = pipeline.execute()
    except (RedisError, OSError):
        return {}
    counts = tally.ignored()
    counts.update({name.decode(): int(n) for name, n in ignored.items()})
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
