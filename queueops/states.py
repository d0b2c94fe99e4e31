"""A line of the log for each change of state of an event: received, started, ended. Written when LOG_EVENTS is on.

Off by default: a burst of 40,000 events would write 200,000 lines. What somebody must know of is logged in any case,
dead letters for example. All lines carry the event's key, as `job`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from queueops.jobs import Batch

# A logger of its own: its level, and so what it costs, is LOG_EVENTS (chatautodm/log_settings.py).
logger = logging.getLogger("queueops.states")


def are_told() -> bool:
    """Whether the lines are written."""
    return logger.isEnabledFor(logging.INFO)


def received(batch: Batch, taken: asyncio.Future[Any] | None = None) -> None:
    """The batch is kept, unless `taken` says otherwise. Duplicates are told apart only by the job that looks."""
    if not are_told() or (taken is not None and (taken.cancelled() or taken.exception() is not None)):
        return
    for job in batch.jobs:
        logger.info("action=event_received job=%s lane=%s", job.id, job.lane)


def started(job: str, lane: str, attempt: int) -> None:
    logger.info("action=job_started job=%s lane=%s attempt=%d", job, lane, attempt)


def ended(job: str, lane: str, how: str, detail: str) -> None:
    """how: completed, duplicate, retry, dead, stopped. detail: when it is tried again, or why it is dead."""
    logger.info("action=job_ended job=%s lane=%s how=%s detail=%s", job, lane, how, detail)
