"""What a running job may know about its own run, without naming the queue library."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """lane: where the job was claimed from. attempt: counts from 1."""

    lane: str
    attempt: int


# Unset when a stock RQ worker, or nobody's worker, runs the function.
current: ContextVar[Run | None] = ContextVar("current", default=None)
