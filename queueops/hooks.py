"""What a job's function knows about itself (`jobs.task`), asked by the path that a dead letter keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string


def of(func: str, name: str) -> Callable[..., Any] | None:
    """The function's hook of this name; None when it has none, or is gone: a letter outlives the code that wrote it."""
    try:
        hook: Callable[..., Any] | None = getattr(import_string(func), name, None)
    except ImportError:
        return None
    return hook
