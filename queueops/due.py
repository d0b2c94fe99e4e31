"""Having jobs run now that were put off: what they waited for has come."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.utils import timezone

from queueops import connections
from queueops.models import FallbackJob

MAKE_DUE = """
-- ARGV: now (s), ids…
-- Those that are scheduled for later become due; the scheduler puts them into their lanes. Answers how many.
local n = 0
for i = 2, #ARGV do
  local lane = redis.call('HGET', 'rq:job:' .. ARGV[i], 'origin')
  if lane then n = n + redis.call('ZADD', 'rq:scheduled:' .. lane, 'XX', 'LT', 'CH', ARGV[1], ARGV[i]) end
end
return n
"""


def make_due(jobs: Sequence[str]) -> int:
    """Of these jobs, run those that are scheduled for later now; how many. Raises RedisError, OSError."""
    return int(connections.client().eval(MAKE_DUE, 0, f"{time.time():.3f}", *jobs))


def make_due_in_database(tenant: str) -> int:
    """The same for what the database tier holds of this tenant; how many."""
    now = timezone.now()
    return FallbackJob.objects.free(now).filter(tenant=tenant, error="", run_after__gt=now).update(run_after=now)
