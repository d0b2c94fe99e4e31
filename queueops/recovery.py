"""Bringing back the jobs of workers that died: by their missed heartbeat, never by a job's age alone.

A worker writes `alive_at` into its RQ hash every HEARTBEAT_SECONDS. One that has been silent for SILENT_SECONDS, has
no hash any more, or had a process id on this host that is gone, is dead: its started jobs go back to the head of
their lanes. A job that is merely slow has a worker that is alive and vouches for it, and is left alone.

A job may be what kills its workers (out of memory, a crash of a library). The first death costs it nothing; from the
second on each counts as a failed attempt, and one without attempts left becomes a dead letter.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from redis import Redis
from rq.utils import as_text

from queueops import loops, moves
from queueops.errors import Cause, Reject
from queueops.jobs import Lane
from queueops.rq_jobs import rq_now
from queueops.runner import Claimed, give_up

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
# For how long a claim or a heartbeat vouches for a job. Nobody vouches for one whose claim was never heard of, because
# the connection broke: it comes back after this time.
VOUCH_SECONDS = 60.0
SILENT_SECONDS = 30.0
# Over how long those are spread whose workers died more than once.
SUSPECTS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many stuck jobs of which lane went back, and how many became dead letters."""

    back: dict[Lane, int]
    given_up: dict[Lane, int]


def recover(redis: Redis, older_than: float = 0.0, dry_run: bool = False) -> Recovered:
    """Give the stuck jobs back, or up (or only count them). Raises RedisError.

    older_than: seconds since a worker last vouched for the job. A job is stuck only if its worker is gone, too.
    Without the database those that are to be given up stay where they are, for the next time.
    """
    now = time.time()
    counts, doomed = redis.register_script(moves.RECOVER)(
        args=[
            now,
            now - SILENT_SECONDS,
            now - older_than + VOUCH_SECONDS,
            int(dry_run),
            "\n".join(dead_on_this_host(redis)),
            settings.QUEUE_MAX_ATTEMPTS,
            SUSPECTS_SECONDS,
            *Lane,
        ]
    )
    given_up = Counter(Lane(row[0].decode()) for row in doomed if dry_run or _give_up(redis, row))
    return Recovered(dict(zip(Lane, counts, strict=True)), {lane: given_up[lane] for lane in Lane})


class WorkerDied(Reject):
    """Whoever ran the job did not live to say how it ended."""

    def __init__(self, times: int) -> None:
        reason = f"Its worker died {times} times while running it."
        super().__init__(reason, Cause(title="Its worker died", verdict="bug"))


def _give_up(redis: Redis, row: Sequence[Any]) -> bool:
    """Settle the job in its dead worker's place: first its dead letter, then its move, as a worker does it.

    A kill in between leaves it started, and the next recovery does both again; the letter is written once.
    """
    lane, job_id, execution, worker = (value.decode() for value in row[:4])
    job = Claimed(lane, job_id, execution, row[4], 0.0, row[5])
    try:
        settled = loops.in_background(give_up(job, WorkerDied(row[6])))
    except (DatabaseError, InterfaceError) as error:
        logger.warning("action=dead_letter_waits job=%s error=%s", job_id, error)
        return False
    ended = orjson.dumps([(settled.how, lane, job_id, execution, 1, settled.detail, settled.attempts)])
    now = time.time()
    exchange = redis.register_script(moves.EXCHANGE)
    lost, _, _ = exchange(args=[worker, rq_now(), now, now, ended, 0, "", "", "", 1, *Lane])
    return not lost


def dead_on_this_host(redis: Redis) -> list[str]:
    """Names of workers that ran on this host and whose process no longer exists."""
    host = socket.gethostname()
    dead = []
    for key in map(as_text, redis.smembers("rq:workers")):
        where, pid = redis.hmget(key, "hostname", "pid")
        if where and pid and as_text(where) == host and not _exists(int(pid)):
            dead.append(key.removeprefix("rq:worker:"))
    return dead


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
