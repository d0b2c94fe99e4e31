"""A waiting job as RQ keeps it: the one place that writes its hash, and how RQ writes a time."""

from __future__ import annotations

from datetime import UTC, datetime

# RQ's own cleanup (any stock worker, any page of django-rq) gives a job whose worker died back to its lane only while
# it has retries left, and fails it otherwise. How often a job may fail is our runner's business (queueops.retry).
RQ_RETRIES_LEFT = 1_000_000

# For the beginning of a script.
MAKE_JOB = """
local function make_job(key, now, lane, data, func, timeout, retries)
  redis.call('HSET', key, 'created_at', now, 'enqueued_at', now, 'data', data, 'origin', lane, 'status', 'queued',
    'timeout', timeout, 'result_ttl', '0', 'failure_ttl', '-1', 'retries_left', retries, 'description', func,
    'dispatched', '1')
end
"""


def rq_now() -> str:
    """This instant as RQ writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
