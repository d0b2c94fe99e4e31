"""What may be wrong with the queue, by the same measures as deploy/prometheus/alerts.yml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from queueops import connections, durability, metrics, objectives, stats
from queueops.alerts import Condition, Found, Look
from queueops.models import Alert
from queueops.templatetags.queue_console import duration, number

PAGE, TICKET = Alert.Severity.PAGE, Alert.Severity.TICKET

# For how long a job of the lane may wait, in seconds. Meta's window for a direct message is 24 hours, a person's
# patience is not.
MOST_WAITING_SECONDS = {"high": 60.0, "default": 1800.0, "low": 1800.0}
DEAD_MINUTES = 10
DEAD_SHARE = 0.05
# Fewer are no rate: one bad event of three is a third.
DEAD_AT_LEAST = 10
ENDINGS = ("completed", "duplicate", "retry", "dead", "back")


def _is_away(look: Look) -> bool:
    return not look.snapshot["redis"]["connected"]


def redis_away(look: Look) -> Sequence[Found]:
    return [Found("", "Redis cannot be reached: the database takes what comes.")] if _is_away(look) else []


def unexplained(look: Look) -> Sequence[Found] | None:
    n = look.snapshot["ledger"]["unexplained"]
    if n is None:
        return None
    words = f"{number(n)} events are unexplained: what was received is not the sum of what became of it."
    return [Found("", words)] if n else []


def oldest_waits(look: Look) -> Sequence[Found] | None:
    if _is_away(look):
        return None
    return [
        Found(name, f"A job in lane {name} has waited for {duration(lane['oldest_waiting_seconds'])}.")
        for name, lane in look.snapshot["queues"].items()
        if not lane["paused"] and lane["oldest_waiting_seconds"] > MOST_WAITING_SECONDS[name]
    ]


def no_worker(look: Look) -> Sequence[Found] | None:
    """One for each lane; a single one when there is no worker at all."""
    if _is_away(look):
        return None
    unattended = stats.unattended(dict(look.snapshot))
    if unattended and all(worker["state"] == "silent" for worker in look.snapshot["workers"]):
        return [Found("", f"No worker runs: nobody claims from {', '.join(unattended)}.")]
    return [Found(lane, f"No worker listens to lane {lane}.") for lane in unattended]


def jobs_die(look: Look) -> Sequence[Found] | None:
    if _is_away(look) or not settings.QUEUE_ENABLE_METRICS:
        return None
    with connections.client().pipeline(transaction=False) as pipeline:
        for key in metrics.minute_keys(DEAD_MINUTES):
            pipeline.hmget(key, [f"n:{how}" for how in ENDINGS])
        rows = pipeline.execute()
    ended: Counter[str] = Counter()
    for row in rows:
        ended.update({how: int(n or 0) for how, n in zip(ENDINGS, row, strict=True)})
    dead, attempts = ended["dead"], ended.total()
    if dead < DEAD_AT_LEAST or dead <= DEAD_SHARE * attempts:
        return []
    words = f"{number(dead)} of {number(attempts)} attempts of the last {DEAD_MINUTES} minutes ended as dead letters."
    return [Found("", words)]


def in_fallback(look: Look) -> Sequence[Found] | None:
    n = look.snapshot["ledger"]["fallback"]
    if n is None:
        return None
    return [Found("", f"The database holds {number(n)} events that Redis could not take.")] if n else []


def not_durable(look: Look) -> Sequence[Found] | None:
    """Of a server of somebody's own: the embedded one nobody but the project itself sets up."""
    if _is_away(look):
        return None
    risks = durability.risks() if settings.REDIS_URL else []
    return [Found(risk.id, f"{risk.words} {risk.hint}") for risk in risks]


def burns_fast(look: Look) -> Sequence[Found]:
    return _burning("page")


def burns(look: Look) -> Sequence[Found]:
    return _burning("ticket")


def _burning(severity: str) -> Sequence[Found]:
    """It needs no hold: its short window says that it goes on."""
    burn = objectives.burn()
    return [Found("", str(burn))] if burn is not None and burn.severity == severity else []


def _condition(name: str, title: str, holds: float, find: Any, advice: str, **more: Any) -> Condition:
    more.setdefault("severity", PAGE)
    return Condition(name=name, title=title, holds_seconds=holds, find=find, advice=advice, **more)


CONDITIONS = (
    _condition(
        "redis_away",
        "Redis is away",
        60,
        redis_away,
        "Start it; look at its memory and its disk. Webhooks are still taken.",
        page="docs/operations/redis-is-away.md",
    ),
    _condition(
        "unexplained",
        "Events are unexplained",
        300,
        unexplained,
        "Run manage.py inspect_queue, and read what the ledger says.",
        page="docs/operations/what-the-ledger-says.md",
    ),
    _condition(
        "no_worker",
        "No worker",
        120,
        no_worker,
        "Start one: manage.py rqworker high default low. Nothing is lost meanwhile.",
        page="docs/operations/stuck-jobs.md",
    ),
    _condition(
        "oldest_waits",
        "Jobs wait for too long",
        120,
        oldest_waits,
        "See what holds the lane up: too few workers, an account's limit, the database, Meta.",
        page="docs/operations/stuck-jobs.md",
    ),
    _condition(
        "objective_burns_fast",
        "Answers are late, many of them",
        0,
        burns_fast,
        "See what holds them up: too few workers, an account's limit, the database, Meta.",
        page="docs/operations/stuck-jobs.md",
    ),
    _condition(
        "objective_burns",
        "Answers are late, more than was promised",
        0,
        burns,
        "See when it began, on the overview's charts, and what changed then.",
        page="docs/operations/stuck-jobs.md",
        severity=TICKET,
    ),
    _condition(
        "jobs_die",
        "Jobs become dead letters",
        120,
        jobs_die,
        "Open the dead letters by cause; retry once the cause is gone.",
        page="docs/operations/dead-letters.md",
        severity=TICKET,
    ),
    _condition(
        "in_fallback",
        "The database tier is in use",
        300,
        in_fallback,
        "See that Redis is well and has room, and that a worker runs: they go into their lanes by themselves.",
        page="docs/operations/redis-is-away.md",
        severity=TICKET,
    ),
    _condition(
        "not_durable",
        "200 does not mean kept",
        300,
        not_durable,
        "Change Redis' settings as it says.",
        page="docs/operations/durability.md",
        severity=TICKET,
    ),
)
