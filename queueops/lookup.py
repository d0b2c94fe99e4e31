"""One job by its id, while the queue still holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from redis import Redis


@dataclass(frozen=True, slots=True)
class Held:
    """status: RQ's word for where it is, `queued`, `started`, `scheduled` or `failed`. receipt: when it was taken."""

    lane: str
    status: str
    payload: dict[str, Any]
    receipt: dict[str, Any]


def find(redis: Redis, job_id: str) -> Held | None:
    """The job, or None when the queue does not hold it or it is not one of ours. Raises RedisError."""
    found: Any = redis.hmget(f"rq:job:{job_id}", "data", "origin", "status")
    data, lane, status = found
    if data is None or lane is None or status is None:
        return None
    try:
        _, _, args, _ = orjson.loads(data)
        payload, receipt = args
    except ValueError:  # also JSON's: a job that somebody enqueued with RQ itself
        return None
    if not (isinstance(payload, dict) and isinstance(receipt, dict)):
        return None
    return Held(lane.decode(), status.decode(), payload, receipt)
