"""Having a job run once more whose work somebody reopened, from the transaction that reopens it.

The job is a row of the database tier, which workers move into Redis within seconds (`queueops.drain`): so it is there
exactly when the transaction commits, whether or not Redis can be reached.
"""

from __future__ import annotations

from redis.exceptions import RedisError

from queueops import connections, fallback
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Batch, Job

FORGET = """
-- ARGV: id. Forgets that the job was seen a moment ago. Answers 0 when the queue holds it, dead or alive.
if redis.call('EXISTS', 'rq:job:' .. ARGV[1]) == 1 then return 0 end
redis.call('DEL', 'cad:seen:' .. ARGV[1])
return 1
"""


class StillQueued(Exception):
    """The queue holds the job: it waits, runs, or is among the dead."""


def run_again(job: Job) -> None:
    """Have the job run when the caller's transaction commits. Raises StillQueued (then roll back), DatabaseError.

    Call it last: until the commit, everybody else who counts waits.
    """
    try:
        if not connections.client().eval(FORGET, 0, job.id):
            raise StillQueued
    except (RedisError, OSError, EmbeddedValkeyError):
        pass  # the row waits for its return, and workers take it from the database meanwhile
    batch = Batch(jobs=(job,))
    [receipt] = fallback.write([fallback.Intake(batch=batch, rows=fallback.rows(batch.jobs))])
    if not receipt.accepted:  # the database tier holds it
        raise StillQueued
