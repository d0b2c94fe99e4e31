"""Whether Redis is to be asked at all: once it has failed, nobody waits for it until a probe says that it is back.

The probe is a small write, because a Redis that is full (OOM), a replica (READONLY), loading its data (LOADING) or
unable to write to its disk (MISCONF) still answers a PING.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from queueops import connections, replicas

logger = logging.getLogger(__name__)

PROBE_KEY = "cad:probe"
PROBE_SECONDS = 0.5


PROBE = f"return redis.call('SET', '{PROBE_KEY}', '1', 'EX', 60)"


def answers() -> bool:
    """Whether Redis takes a webhook now: a write that reaches as many replicas as must have it.

    Known within some connections.PATIENCE_SECONDS.
    """
    try:
        replicas.run(connections.impatient_client(), PROBE, ())
    except (RedisError, OSError):
        return False
    return True


def is_writable() -> bool:
    """Whether Redis takes a write now: all that a worker needs, with or without replicas."""
    try:
        connections.impatient_client().set(PROBE_KEY, "1", ex=60)
    except (RedisError, OSError):
        return False
    return True


class Breaker:
    """Closed: ask. Open: do not, a thread probes until it may be closed again."""

    def __init__(self, probe: Callable[[], bool] = answers, every: float = PROBE_SECONDS) -> None:
        self._probe = probe
        self._every = every
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    def open(self, reason: str) -> None:
        """Redis has failed. Said once, however many requests notice."""
        with self._lock:
            if self.is_open:
                return
            self._closed.clear()
        logger.error("action=redis_away reason=%s", reason)
        threading.Thread(target=self._probe_until_back, name="redis-probe", daemon=True).start()

    def close(self) -> None:
        """Redis is back."""
        with self._lock:
            if not self.is_open:
                return
            self._closed.set()
        logger.warning("action=redis_back")

    def _probe_until_back(self) -> None:
        # Waits on the breaker itself: closed by somebody else, the thread ends at once.
        while not self._closed.wait(self._every):
            if self._probe():
                self.close()
