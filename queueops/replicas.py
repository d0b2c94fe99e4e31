"""Waiting until replicas have what was just written, so that a failover loses nothing that was acknowledged.

`WAIT` after a script, on the same connection: it answers how many replicas have everything that this connection wrote
(docs/adr/0027-redis-as-people-run-it.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

# A server may be 100 ms late with it. Together less than connections.PATIENCE_SECONDS: the refusal has to come before
# the connection is given up for dead.
WAIT_MS = 100


class TooFewReplicas(RedisError):
    """What was written is on the master, and on fewer replicas than REDIS_REPLICAS_TO_WAIT_FOR."""

    def __init__(self, has: int, wanted: int) -> None:
        super().__init__(f"{has} of {wanted} replicas had it within {WAIT_MS} ms (REDIS_REPLICAS_TO_WAIT_FOR)")


def wanted() -> int:
    """How many replicas must have a webhook before it is acknowledged; 0: nobody waits."""
    n: int = settings.REDIS_REPLICAS_TO_WAIT_FOR
    return n


def both(answer: Any, has: Any, wanted: int) -> Any:
    """A script's answer and that of the WAIT behind it as one: the script's, or the error of either."""
    if isinstance(answer, Exception):
        return answer
    if isinstance(has, Exception):
        return has
    return answer if has >= wanted else TooFewReplicas(has, wanted)


def run(redis: Redis, script: str, args: Sequence[Any]) -> Any:
    """Run the script and wait for the replicas; its answer. Raises RedisError, TooFewReplicas for one."""
    n = wanted()
    registered = redis.register_script(script)
    if not n:
        return registered(args=args)
    with redis.pipeline(transaction=False) as pipeline:
        registered(args=args, client=pipeline)
        pipeline.wait(n, WAIT_MS)
        first, has = pipeline.execute(raise_on_error=False)
    answer = both(first, has, n)
    if isinstance(answer, Exception):
        raise answer
    return answer


class Pair:
    """The two answers as they come in, told as one."""

    __slots__ = ("_answer", "_answered", "_wanted")

    def __init__(self, wanted: int, answered: Callable[[Any], None]) -> None:
        self._wanted = wanted
        self._answered = answered
        self._answer: Any = None

    def script(self, answer: Any) -> None:
        self._answer = answer

    def wait(self, has: Any) -> None:
        self._answered(both(self._answer, has, self._wanted))
