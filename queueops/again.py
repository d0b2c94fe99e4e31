"""Having jobs run once more whose work somebody reopened, from the transaction that reopens it.

The jobs are rows of the database tier, which workers move into Redis within seconds (`queueops.drain`): so they are
there exactly when the transaction commits, whether or not Redis can be reached.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from redis.exceptions import RedisError

from queueops import connections, fallback
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Batch, Job
from queueops.models import FallbackJob

FREE = """
-- ARGV: ids. Answers those of which there is no job, dead or alive, and forgets that they were seen a moment ago.
local free = {}
for _, id in ipairs(ARGV) do
  if redis.call('EXISTS', 'rq:job:' .. id) == 0 then
    redis.call('DEL', 'cad:seen:' .. id)
    free[#free + 1] = id
  end
end
return free
"""


class StillQueued(Exception):
    """The queue holds the job: it waits, runs, or is among the dead."""


def free(ids: Collection[str]) -> set[str]:
    """Those that the queue does not hold. While Redis is away only the database tier is asked."""
    held = set(FallbackJob.objects.filter(job__in=ids).values_list("job", flat=True))
    try:
        in_redis = {key.decode() for key in connections.client().eval(FREE, 0, *ids)}
    except (RedisError, OSError, EmbeddedValkeyError):
        in_redis = set(ids)  # the rows wait for its return, and workers take them from the database meanwhile
    return in_redis - held


def run_again(jobs: Sequence[Job]) -> None:
    """Have the jobs run when the caller's transaction commits. Raises StillQueued (then roll back), DatabaseError.

    Call it last: until the commit, everybody else who counts waits.
    """
    if len(free([job.id for job in jobs])) < len(jobs):
        raise StillQueued
    batch = Batch(jobs=tuple(jobs))
    [receipt] = fallback.write([fallback.Intake(batch=batch, rows=fallback.rows(batch.jobs))])
    if receipt.accepted < len(jobs):  # somebody else was quicker
        raise StillQueued
