"""Counts and durations, gathered in the process and added to Redis once a second, by minute, for two hours.

A thread of their own writes them, so that nothing of it is on anybody's way, and the last ones of a burst arrive, too.

`cad:minute:<unix minute>` holds `n:<name>` (counts), `ms:<name>:<bucket>` (durations) and `us:<name>` (their sum in
microseconds); `n:arrived:<lane>` comes from the script that takes jobs in (`taking`). A duration that is measured by
lane has the name `<name>:<lane>`, and whoever asks for `<name>` gets all lanes together. A bucket is a power of 1.2, so
a percentile read from them is within 10 % of the true one. `cad:totals` holds the same since the beginning, for those
who compute rates themselves. A crash loses at most the last second of these; nothing that must add up (see `ledger`) is
kept here. `queueops.rollups` keeps the minutes for longer.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable

from django.conf import settings
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from queueops import connections
from queueops.embedded import EmbeddedValkeyError

logger = logging.getLogger(__name__)

MINUTE_KEY = "cad:minute:%d"
TOTALS_KEY = "cad:totals"
KEEP_SECONDS = 7200
FLUSH_SECONDS = 1.0
BASE = math.log(1.2)

_lock = threading.Lock()
# What was counted and timed since it was last added up. Appending is atomic: nothing on anybody's way waits for a lock.
_counted: deque[tuple[str, int]] = deque()
_timed: deque[tuple[str, float, tuple[str, ...]]] = deque()
_fresh: Counter[str] = Counter()
_written: Counter[str] = Counter()
_writer: threading.Thread | None = None


def count(name: str, n: int = 1) -> None:
    """Add n to a count of this minute."""
    _counted.append((name, n))
    if _writer is None:
        _start_writer()


def observe(name: str, milliseconds: float, *counted: str) -> None:
    """Add one duration to this minute's histogram, and one to each of the counts `counted`."""
    _timed.append((name, milliseconds, counted))
    if _writer is None:
        _start_writer()


def here(name: str) -> int:
    """A count of this process alone, since it began."""
    with _lock:
        _add_up()
        return _written[f"n:{name}"] + _fresh[f"n:{name}"]


def _add_up() -> None:
    """With the lock."""
    for _ in range(len(_counted)):
        name, n = _counted.popleft()
        _fresh[f"n:{name}"] += n
    for _ in range(len(_timed)):
        name, milliseconds, counted = _timed.popleft()
        bucket = math.ceil(math.log(max(milliseconds, 0.001)) / BASE)
        _fresh[f"ms:{name}:{bucket}"] += 1
        _fresh[f"us:{name}"] += round(milliseconds * 1000)
        for one in counted:
            _fresh[f"n:{one}"] += 1


def _start_writer() -> None:
    global _writer
    with _lock:
        if _writer is None:
            _writer = threading.Thread(target=_write_for_ever, name="metrics", daemon=True)
            _writer.start()
            atexit.register(flush)


def _forget_writer() -> None:
    """A forked process starts without its parent's threads, and without what the parent has yet to write."""
    global _writer, _fresh
    _writer, _fresh = None, Counter()
    for kept in (_written, _counted, _timed):
        kept.clear()


os.register_at_fork(after_in_child=_forget_writer)


def _write_for_ever() -> None:
    while True:
        time.sleep(FLUSH_SECONDS)
        flush()


def flush() -> None:
    """Write what was gathered; while Redis is away it waits here, added up."""
    with _lock:
        _add_up()
    try:
        redis = connections.client()
        redis.ping()  # before anything is taken out of the hands of the next try
        with redis.pipeline(transaction=False) as pipeline:
            write(pipeline)
            pipeline.execute()
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        logger.warning("action=metrics_unwritten error=%s", error)


def write(pipeline: Pipeline) -> None:
    """Queue what was gathered onto `pipeline` and start anew."""
    global _fresh
    with _lock:
        _add_up()
        fresh, _fresh = _fresh, Counter()
        _written.update(fresh)
    if not fresh or not settings.QUEUE_ENABLE_METRICS:
        return
    key = MINUTE_KEY % (time.time() // 60)
    for name, n in fresh.items():
        pipeline.hincrby(key, name, n)
        pipeline.hincrby(TOTALS_KEY, name, n)
    pipeline.expire(key, KEEP_SECONDS)


def minute_keys(minutes: int) -> list[str]:
    """The keys of the last `minutes` minutes, the running one last."""
    now = int(time.time() // 60)
    return [MINUTE_KEY % minute for minute in range(now - minutes + 1, now + 1)]


def merge(hashes: Iterable[dict[bytes, bytes]]) -> Counter[str]:
    """Several minutes added up."""
    total: Counter[str] = Counter()
    for fields in hashes:
        for name, n in fields.items():
            total[name.decode()] += int(n)
    return total


def totals(redis: Redis) -> Counter[str]:
    """Everything since the beginning. Raises RedisError."""
    return merge([redis.hgetall(TOTALS_KEY)])  # type: ignore[list-item] # redis-py's type is sync and async in one


def histogram(total: Counter[str], name: str) -> Counter[int]:
    """How many of a duration by bucket; of `wait` those of all lanes, of `wait:high` those of one."""
    prefix = f"ms:{name}:"
    found: Counter[int] = Counter()
    for key, n in total.items():
        if key.startswith(prefix):
            found[int(key.rpartition(":")[2])] += n
    return found


def without_lanes(total: Counter[str]) -> Counter[str]:
    """The same with each duration of all lanes together: a third of the names."""
    found: Counter[str] = Counter()
    for key, n in total.items():
        kind, *name = key.split(":")
        short = {"ms": f"ms:{name[0]}:{name[-1]}", "us": f"us:{name[0]}"}.get(kind, key)
        found[short] += n
    return found


def percentiles(total: Counter[str], name: str) -> dict[str, float]:
    """p50, p95 and p99 of a duration in milliseconds; 0.0 when there were none."""
    buckets = histogram(total, name)
    return {f"p{p}": _percentile(buckets, buckets.total() * p / 100) for p in (50, 95, 99)}


def _percentile(buckets: Counter[int], rank: float) -> float:
    seen = 0
    for bucket, n in sorted(buckets.items()):
        seen += n
        if seen >= rank:
            # The middle of the bucket's range, (1.2^(b-1), 1.2^b].
            return round(math.exp((bucket - 0.5) * BASE), 3)
    return 0.0
