"""What the domain counts for monitors: calls to the Graph API by Meta's code, events by what became of them."""

from __future__ import annotations

import logging

from automations.reasons import Reason
from queueops import metrics
from queueops.counted import Counts

# Of the lines for each change of state, see `queueops.states`; within a job, whose key is added.
logger = logging.getLogger("queueops.states")

CALL = "graph_call:"
OUTCOME = "outcome:"

COUNTS = (
    Counts(
        "graph_calls_total",
        "Calls to the Graph API by Meta's error code; ok: taken, no_answer: refused connection, time-out or reset.",
        ("code",),
        prefix=CALL,
    ),
    Counts(
        "event_outcomes_total",
        "Ends of events by outcome and, where not all was sent, why; of dead ones by what their cause asks for.",
        ("outcome", "reason"),
        prefix=OUTCOME,
    ),
)


def called(status: int = 200, code: int = 0) -> None:
    """Count one call. status: HTTP's, 0 without an answer; code: Meta's, 0 when it gave none."""
    said = str(code) if code else "ok" if 200 <= status < 300 else f"http_{status}" if status else "no_answer"
    metrics.count(f"{CALL}{said}")
    logger.info("action=graph_called code=%s", said)


def ended(outcome: str, reason: str = Reason.NONE) -> None:
    """Count an event that came to its end. outcome: of `Event.FINAL`, or dead. reason: `Reason`, or a verdict."""
    metrics.count(f"{OUTCOME}{outcome}:{reason}" if reason else f"{OUTCOME}{outcome}")
    logger.info("action=event_ended outcome=%s reason=%s", outcome, reason)
