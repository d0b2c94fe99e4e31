from __future__ import annotations

import pytest

from queueops.errors import Reject, RetryLater, TryAgain
from queueops.retry import LONGEST_SECONDS, Policy

POLICY = Policy(max_attempts=3, backoff_seconds=2)


@pytest.mark.parametrize(
    ("error", "attempt", "shortest", "longest"),
    [
        (TryAgain("x"), 1, 1, 2),  # 2 * 2^0, half of it random
        (TryAgain("x"), 2, 2, 4),  # 2 * 2^1
        (KeyError("a bug of ours"), 1, 1, 2),
        (RetryLater("x", after=90), 1, 90, 90),  # a stated time wins
        (RetryLater("x", after=90), 50, 90, 90),  # and uses no attempt
        (RetryLater("x", after=-5), 1, 0, 0),
    ],
)
def test_a_failed_job_waits_longer_each_time_unless_told_how_long(error, attempt, shortest, longest):
    assert POLICY.delay(error, attempt, jitter=lambda low, high: low) == shortest
    assert POLICY.delay(error, attempt, jitter=lambda low, high: high) == longest


@pytest.mark.parametrize(("error", "attempt"), [(TryAgain("x"), 3), (KeyError("x"), 3), (Reject("never"), 1)])
def test_it_is_given_up_after_its_last_attempt_or_when_none_can_help(error, attempt):
    assert POLICY.delay(error, attempt) is None


def test_no_wait_is_longer_than_an_hour():
    assert Policy(100, 2).delay(TryAgain("x"), 60, jitter=lambda low, high: high) == LONGEST_SECONDS
