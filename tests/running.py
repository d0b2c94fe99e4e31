"""Coroutines for tests that have no loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from queueops import loops

T = TypeVar("T")


def run_alone(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop of its own, and close what it opened; its result."""
    return asyncio.run(_closing(coroutine))


async def _closing(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return await coroutine
    finally:
        await loops.close_all()
