"""Comparing the ledger's places with each other: is every job where it says it is, once, and is every entry a job?

`walk` looks at everything; `turn` at a part of it, and goes on there the next time, so that a million jobs cost a
worker little each minute. Looks are cheap and only suspect. What is wrong is decided, and put right, by one script that
looks again (`queueops.places`): several inspections at once, and workers meanwhile, do no harm.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any

from redis import Redis

from queueops import dead_places, places
from queueops.jobs import Lane
from queueops.keys import new_id

logger = logging.getLogger(__name__)

KEY = "cad:inspection"  # a hash: where the inspection is, and what the last complete one said
LOCK_KEY = "cad:inspecting"
LOCK_MS = 60_000
ENTRIES_A_LOOK = 1000
LOOKS_A_TURN = 20
# Putting one right walks through the lanes.
SUSPECTS_A_CALL = 5
LISTED = 20  # findings that are kept in words


@dataclass(frozen=True, slots=True)
class Finding:
    """A job's id, and what was wrong with it."""

    job: str
    what: str


@dataclass(frozen=True, slots=True)
class Look:
    """At a part of one place: what it found, and where to go on (place "" after the last)."""

    findings: list[Finding]
    place: str
    cursor: str


# The status that belongs there, and RQ's keys.
STRUCTURES = {
    "waiting": ("queued", "rq:queue"),
    "active": ("started", "rq:wip"),
    "retrying": ("scheduled", "rq:scheduled"),
    "dead": ("failed", "rq:failed"),
}
PLACES = (*(f"{kind}:{lane}" for kind in STRUCTURES for lane in Lane), "jobs", "letters")


def walk(redis: Redis, repair: bool) -> list[Finding]:
    """Look at everything once. Raises RedisError, DatabaseError."""
    return [finding for look in _looks(redis, PLACES[0], "", repair) for finding in look.findings]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The last that came to everything: when and by whom, how many disagreed, and the first of them."""

    at: datetime
    by: str
    disagreements: int
    findings: tuple[Finding, ...]


def last(redis: Redis) -> Inspection | None:
    """None before the first. Raises RedisError."""
    at, by, n, listed = (value and value.decode() for value in _kept(redis, "at", "by", "findings", "listed"))
    if not at:
        return None
    findings = tuple(Finding(**one) for one in json.loads(listed or "[]"))
    return Inspection(datetime.fromtimestamp(float(at), UTC), by or "", int(n or 0), findings)


def _kept(redis: Redis, *names: str) -> list[bytes | None]:
    kept: Any = redis.hmget(KEY, *names)
    return list(kept)


def remember(redis: Redis, by: str, findings: Sequence[Finding]) -> None:
    """Keep what a walk said, for `last`. Raises RedisError."""
    redis.hset(KEY, mapping=_said(by, findings, len(findings)))


def _said(by: str, findings: Sequence[Finding], disagreements: int) -> dict[Any, Any]:
    listed = json.dumps([asdict(one) for one in findings[:LISTED]])
    return {"at": f"{time.time():.3f}", "by": by, "findings": disagreements, "listed": listed}


def turn(redis: Redis, by: str = "") -> list[Finding]:
    """Look at the next part and put right what is wrong; nothing while another worker does. Raises as `walk`.

    by: who looks, as `last` says it.
    """
    mine = new_id().hex
    if not redis.set(LOCK_KEY, mine, nx=True, px=LOCK_MS):
        return []
    try:
        return _turn(redis, by)
    finally:
        redis.register_script(LET_GO)(args=[mine])


LET_GO = f"if redis.call('GET', '{LOCK_KEY}') == ARGV[1] then redis.call('DEL', '{LOCK_KEY}') end return 1"


def _turn(redis: Redis, by: str) -> list[Finding]:
    kept: Any = redis.hgetall(KEY)
    state = {name.decode(): value.decode() for name, value in kept.items()}
    place, cursor = state.get("place", ""), state.get("cursor", "")
    if place not in PLACES:
        place, cursor = PLACES[0], ""
    looks = list(islice(_looks(redis, place, cursor, repair=True), LOOKS_A_TURN))
    found = [finding for look in looks for finding in look.findings]
    for finding in found:
        logger.error("action=put_right job=%s found=%s", finding.job, finding.what)
    end = looks[-1]
    so_far = int(state.get("so_far", 0)) + len(found)
    listed = [*(Finding(**one) for one in json.loads(state.get("listed_so_far", "[]"))), *found][:LISTED]
    changes: dict[Any, Any] = {"place": end.place, "cursor": end.cursor, "so_far": so_far}
    changes["listed_so_far"] = json.dumps([asdict(one) for one in listed])
    if not end.place:
        changes |= {"so_far": 0, "listed_so_far": "[]", **_said(by, listed, so_far)}
    redis.hset(KEY, mapping=changes)
    return found


def _looks(redis: Redis, place: str, cursor: str, repair: bool) -> Iterator[Look]:
    """All looks from there to the end."""
    for at, following in pairwise([*PLACES[PLACES.index(place) :], ""]):
        more = True
        while more:
            findings, cursor = _look(redis, at, cursor, repair)
            more = bool(cursor)
            yield Look(findings, at if more else following, cursor)


def _look(redis: Redis, place: str, cursor: str, repair: bool) -> tuple[list[Finding], str]:
    """At the part that begins at the cursor; where the next begins, "" after the last."""
    kind, _, lane = place.partition(":")
    if kind == "letters":
        missing, cursor = dead_places.without_job(redis, cursor)
        return [Finding(*one) for one in missing], cursor
    if kind == "jobs":
        suspects, cursor = _misplaced_jobs(redis, cursor)
        return _judge(redis, suspects, repair), cursor
    status, prefix = STRUCTURES[kind]
    part = _part_of_list if kind == "waiting" else _part_of_set
    ids, cursor = part(redis, f"{prefix}:{lane}", cursor)
    if not ids:
        return [], cursor
    strangers: Any = redis.register_script(places.ENTRIES)(args=[status, lane, *ids])
    twice = [job_id for job_id, n in Counter(ids).items() if n > 1]
    findings = _judge(redis, [*_texts(strangers), *twice], repair)
    if kind == "dead":
        findings += [Finding(*one) for one in dead_places.without_letter(redis, lane, ids, repair)]
    return findings, cursor


def _part_of_list(redis: Redis, key: str, cursor: str) -> tuple[list[str], str]:
    """From the tail on: what is taken from the head meanwhile moves nothing that is still to be looked at.

    The parts overlap by what came to the tail meanwhile.
    """
    start = int(cursor or 0)
    ids = redis.lrange(key, -(start + ENTRIES_A_LOOK), -(start + 1))
    return _texts(ids), str(start + ENTRIES_A_LOOK) if len(ids) == ENTRIES_A_LOOK else ""


def _part_of_set(redis: Redis, key: str, cursor: str) -> tuple[list[str], str]:
    following, members = redis.zscan(key, int(cursor or 0), count=ENTRIES_A_LOOK)
    rows: Any = members
    ids = {member.decode().partition(":")[0] for member, _ in rows}
    return list(ids), str(following or "")


def _misplaced_jobs(redis: Redis, cursor: str) -> tuple[list[str], str]:
    following, keys = redis.scan(int(cursor or 0), match="rq:job:*", count=ENTRIES_A_LOOK)
    ids = [key.removeprefix("rq:job:") for key in _texts(keys)]
    ids = [job_id for job_id in ids if ":" not in job_id]  # RQ keeps a job's dependents under its key
    if not ids:
        return [], str(following or "")
    suspects = redis.register_script(places.JOBS)(args=[time.time(), len(Lane), *Lane, *ids])
    return _texts(suspects), str(following or "")


def _judge(redis: Redis, suspects: Sequence[str], repair: bool) -> list[Finding]:
    script = redis.register_script(places.PUT_RIGHT)
    findings = []
    unique = list(dict.fromkeys(suspects))
    for start in range(0, len(unique), SUSPECTS_A_CALL):
        ids = unique[start : start + SUSPECTS_A_CALL]
        rows: Any = script(args=[time.time(), int(repair), len(Lane), *Lane, *ids])
        findings += [Finding(job.decode(), what.decode()) for job, what in rows]
    return findings


def _texts(values: Any) -> list[str]:
    return [value.decode() for value in values]
