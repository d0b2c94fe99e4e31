"""What the domain counts for monitors: calls to the Graph API by Meta's code, events by what became of them."""

from __future__ import annotations

import logging

from queueops import metrics
from queueops.exposition import Counts

# Of the lines for each change of state, see `queueops.states`; within a job, whose key is added.
logger = logging.getLogger("queueops.states")

CALL = "graph_call:"
OUTCOME = "outcome:"

COUNTS = (
    Counts(
        "graph_calls_total",
        "Calls to the Graph API by Meta's error code; ok: taken, no_answer: refused connection, time-out or reset.",
        "code",
        prefix=CALL,
    ),
    Counts("event_outcomes_total", "Events by their final outcome.", "outcome", prefix=OUTCOME),
)


def called(status: int = 200, code: int = 0) -> None:
    """Count one call. status: HTTP's, 0 without an answer; code: Meta's, 0 when it gave none."""
    said = str(code) if code else "ok" if 200 <= status < 300 else f"http_{status}" if status else "no_answer"
    metrics.count(f"{CALL}{said}")
    logger.info("action=graph_called code=%s", said)


def ended(outcome: str, n: int = 1) -> None:
    """Count events that came to their end. outcome: one of `Event.FINAL`."""
    metrics.count(f"{OUTCOME}{outcome}", n)
    logger.info("action=event_ended outcome=%s n=%d", outcome, n)
