"""Jobs by their ids, while the queue still holds them."""

from __future__ import annotations

from collections.abc import Sequence
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
    return find_many(redis, [job_id]).get(job_id)


def find_many(redis: Redis, ids: Sequence[str]) -> dict[str, Held]:
    """Those of the jobs that the queue holds and that are ours, in one round trip. Raises RedisError."""
    with redis.pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.hmget(f"rq:job:{job_id}", "data", "origin", "status")
        answers: list[Any] = pipeline.execute()
    held = {
        job_id: read(data, lane.decode(), status.decode())
        for job_id, (data, lane, status) in zip(ids, answers, strict=True)
        if data is not None and lane is not None and status is not None
    }
    return {job_id: one for job_id, one in held.items() if one is not None}


def read(data: bytes, lane: str, status: str) -> Held | None:
    """The job of RQ's `data` field; None when it is not one of ours."""
    try:
        _, _, args, _ = orjson.loads(data)
        payload, receipt = args
    except ValueError:  # also JSON's: a job that somebody enqueued with RQ itself
        return None
    if not (isinstance(payload, dict) and isinstance(receipt, dict)):
        return None
    return Held(lane, status, payload, receipt)
