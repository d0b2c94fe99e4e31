"""What the server's own settings mean for "200 means kept": each way in which an acknowledged webhook could be lost.

Read at the start of web server and worker and by `manage.py check`; the console shows the same. A server that refuses
to tell (CONFIG is closed on most managed ones) is a risk of its own: nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from queueops import connections, replicas

PATTERNS = ("append*", "maxmemory-policy")


@dataclass(frozen=True, slots=True)
class Risk:
    """id: of the system check. words: what may happen. hint: what to do about it."""

    id: str
    words: str
    hint: str


UNKNOWN = Risk(
    "queueops.W002",
    "Redis does not tell how it is set up: whether 200 means kept is unknown.",
    "Make sure at its provider: appendonly yes, appendfsync always, maxmemory-policy noeviction.",
)
NOT_WRITTEN = Risk(
    "queueops.W003",
    "Redis writes nothing to disk (appendonly no): when it ends, acknowledged webhooks are lost.",
    "Set: appendonly yes, appendfsync always.",
)
WRITTEN_LATER = Risk(
    "queueops.W004",
    "Redis writes to disk once a second (appendfsync everysec): a crash of its machine loses up to a second of "
    "acknowledged webhooks.",
    "Set: appendfsync always. Concurrent webhooks share one write.",
)
WRITTEN_SOME_TIME = Risk(
    "queueops.W004",
    "Redis leaves it to its system when to write to disk (appendfsync no): a crash of its machine loses up to half a "
    "minute of acknowledged webhooks.",
    "Set: appendfsync always. Concurrent webhooks share one write.",
)
EVICTS_ALL = Risk(
    "queueops.W005",
    "Redis throws away waiting webhooks when its memory is full (maxmemory-policy {}).",
    "Set: maxmemory-policy noeviction. A full server then refuses, and the database takes what comes.",
)
EVICTS_MARKS = Risk(
    "queueops.W005",
    "Redis throws away what it knows of duplicates and of living workers when its memory is full "
    "(maxmemory-policy {}).",
    "Set: maxmemory-policy noeviction.",
)
FAILOVER = Risk(
    "queueops.W006",
    "Redis has replicas, and nobody waits for them: a failover loses the acknowledged webhooks that had not reached "
    "the new master.",
    "Set REDIS_REPLICAS_TO_WAIT_FOR to how many must have a webhook before it is acknowledged.",
)
TOO_FEW = Risk(
    "queueops.W007",
    "REDIS_REPLICAS_TO_WAIT_FOR={} and Redis has {}: every webhook waits in vain and goes to the database.",
    "Start the missing replicas, or lower it.",
)


def risks() -> list[Risk]:
    """What this server risks now; nothing while it does not answer, which others say. Not of the embedded Valkey."""
    try:
        with connections.new_client(connections.PATIENCE_SECONDS, connections.PATIENCE_SECONDS) as redis:
            return read(redis)
    except (RedisError, OSError):
        return []


def read(redis: Redis) -> list[Risk]:
    """The same of this server, in one round trip. Raises RedisError, OSError."""
    with redis.pipeline(transaction=False) as pipeline:
        for pattern in PATTERNS:
            pipeline.config_get(pattern)
        pipeline.info("replication")
        *answers, replication = pipeline.execute(raise_on_error=False)
    for answer in (*answers, replication):
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer
    config: dict[str, str] = {}
    for answer in answers:
        config |= {} if isinstance(answer, ResponseError) else answer
    told: dict[str, Any] = {} if isinstance(replication, ResponseError) else replication
    return judge(config, told.get("connected_slaves"), replicas.wanted())


def judge(config: dict[str, str], connected: int | None, wanted: int) -> list[Risk]:
    """config: as CONFIG GET answers, empty when refused. connected: replicas, None when unknown."""
    unknown = [] if config else [UNKNOWN]
    evicts = _of_memory(config.get("maxmemory-policy", "noeviction"))
    return [*unknown, *_of_disk(config), *evicts, *_of_failover(connected, wanted)]


def _of_disk(config: dict[str, str]) -> list[Risk]:
    if config.get("appendonly", "yes") != "yes":
        return [NOT_WRITTEN]
    later = {"everysec": WRITTEN_LATER, "no": WRITTEN_SOME_TIME}.get(config.get("appendfsync", "always"))
    return [later] if later else []


def _of_memory(policy: str) -> list[Risk]:
    if policy == "noeviction":
        return []
    return [_about(EVICTS_ALL if policy.startswith("allkeys") else EVICTS_MARKS, policy)]


def _of_failover(connected: int | None, wanted: int) -> list[Risk]:
    if connected is not None and connected < wanted:
        return [_about(TOO_FEW, wanted, connected)]
    return [FAILOVER] if connected and not wanted else []


def _about(risk: Risk, *words: Any) -> Risk:
    return Risk(risk.id, risk.words.format(*words), risk.hint)
