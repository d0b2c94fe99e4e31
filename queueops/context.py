"""What a running job may know about its own run, without naming the queue library."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Run:
    """lane: where the job was claimed from. attempt: counts from 1. job: its id, which is its event's key."""

    lane: str
    attempt: int
    job: str = ""


# Unset when a stock RQ worker, or nobody's worker, runs the function.
current: ContextVar[Run | None] = ContextVar("current", default=None)
