"""What a job's function knows about its jobs (`jobs.task`), asked by the path that a dead letter keeps."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from queueops.jobs import NOTHING, Knows, OnOperator


def of(func: str) -> Knows:
    """NOTHING when it tells nothing, or is gone: a letter outlives the code that wrote it."""
    knows: Knows = getattr(_function(func), "knows", NOTHING)
    return knows


def on_operator(func: str) -> OnOperator | None:
    """Whom to tell what an operator did with the job."""
    told: OnOperator | None = getattr(_function(func), "on_operator", None)
    return told


def _function(func: str) -> Any:
    try:
        return import_string(func)
    except ImportError:
        return None
