"""Bringing back the jobs of workers that died: by their missed heartbeat, never by a job's age alone.

A worker writes `alive_at` into its RQ hash every HEARTBEAT_SECONDS. One that has been silent for SILENT_SECONDS, has
no hash any more, or had a process id on this host that is gone, is dead: its started jobs go back to the head of
their lanes. A job that is merely slow has a worker that is alive and vouches for it, and is left alone.
"""

from __future__ import annotations

import os
import socket
import time

from redis import Redis
from rq.utils import as_text

from queueops import moves
from queueops.jobs import Lane

HEARTBEAT_SECONDS = 5.0
# For how long a claim or a heartbeat vouches for a job. Nobody vouches for one whose claim was never heard of, because
# the connection broke: it comes back after this time.
VOUCH_SECONDS = 60.0
SILENT_SECONDS = 30.0


def recover(redis: Redis, older_than: float = 0.0, dry_run: bool = False) -> dict[Lane, int]:
    """Give the stuck jobs back (or only count them); how many of which lane.

    older_than: seconds since a worker last vouched for the job. A job is stuck only if its worker is gone, too.
    """
    now = time.time()
    counts = redis.register_script(moves.RECOVER)(
        args=[
            now,
            now - SILENT_SECONDS,
            now - older_than + VOUCH_SECONDS,
            int(dry_run),
            "\n".join(dead_on_this_host(redis)),
            *Lane,
        ]
    )
    return dict(zip(Lane, counts, strict=True))


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
