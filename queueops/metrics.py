"""Counts and durations, gathered in the process and added to Redis once a second, by minute, for two hours.

A thread of their own writes them, so that nothing of it is on anybody's way, and the last ones of a burst arrive, too.

`cad:minute:<unix minute>` holds `n:<name>` (counts), `ms:<name>:<bucket>` (durations) and `us:<name>` (their sum in
microseconds); `n:arrived:<lane>` comes from the script that takes jobs in (`taking`). A bucket is a power of 1.2, so a
percentile read from them is within 10 % of the true one. `cad:totals` holds the same since the beginning, for those who
compute rates themselves. A crash loses at most the last second of these; nothing that must add up (see `ledger`) is
kept here. `queueops.rollups` keeps the minutes for longer.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
from collections import Counter
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
_fresh: Counter[str] = Counter()
_written: Counter[str] = Counter()
_writer: threading.Thread | None = None


def count(name: str, n: int = 1) -> None:
    """Add n to a count of this minute."""
    _add({f"n:{name}": n})


def observe(name: str, milliseconds: float, *counted: str) -> None:
    """Add one duration to this minute's histogram, and one to each of the counts `counted`."""
    bucket = math.ceil(math.log(max(milliseconds, 0.001)) / BASE)
    counts = {f"ms:{name}:{bucket}": 1, f"us:{name}": round(milliseconds * 1000)}
    _add(counts | {f"n:{one}": 1 for one in counted})


def here(name: str) -> int:
    """A count of this process alone, since it began."""
    with _lock:
        return _written[f"n:{name}"] + _fresh[f"n:{name}"]


def _add(counts: dict[str, int]) -> None:
    with _lock:
        for name, n in counts.items():
            _fresh[name] += n
    if _writer is None:
        _start_writer()


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
    _written.clear()


os.register_at_fork(after_in_child=_forget_writer)


def _write_for_ever() -> None:
    while True:
        time.sleep(FLUSH_SECONDS)
        flush()


def flush() -> None:
    """Write what was gathered; while Redis is away it waits here."""
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


def percentiles(total: Counter[str], name: str) -> dict[str, float]:
    """p50, p95 and p99 of a duration in milliseconds; 0.0 when there were none."""
    prefix = f"ms:{name}:"
    buckets = sorted((int(key.removeprefix(prefix)), n) for key, n in total.items() if key.startswith(prefix))
    everything = sum(n for _, n in buckets)
    return {f"p{p}": _percentile(buckets, everything * p / 100) for p in (50, 95, 99)}


def _percentile(buckets: list[tuple[int, int]], rank: float) -> float:
    seen = 0
    for bucket, n in buckets:
        seen += n
        if seen >= rank:
            # The middle of the bucket's range, (1.2^(b-1), 1.2^b].
            return round(math.exp((bucket - 0.5) * BASE), 3)
    return 0.0
