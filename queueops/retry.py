"""When a failed job runs again: a pure function of what it raised and how often it was tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from queueops.errors import Reject, RetryLater

LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `max_attempts`; the nth failure waits `backoff_seconds * 2^(n-1)`, spread by jitter."""

    max_attempts: int
    backoff_seconds: float

    def delay(
        self, error: BaseException, attempt: int, jitter: Callable[[float, float], float] = random.uniform
    ) -> float | None:
        """Seconds until the next attempt, None to give up. `attempt` counts from 1 and includes the failed one.

        A `RetryLater` states its own delay, which wins and uses no attempt; a `Reject` gives up at once.
        """
        if isinstance(error, RetryLater):
            return max(error.after, 0.0)
        if isinstance(error, Reject) or attempt >= self.max_attempts:
            return None
        longest: float = min(self.backoff_seconds * 2.0 ** (attempt - 1), LONGEST_SECONDS)
        # Half fixed, half random: failures of one moment do not come back in one moment.
        return longest / 2 + jitter(0, longest / 2)
