"""The jobs that the worker benchmark runs, for every queue library the same."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

SECONDS = 0.05

_started = False


def _mark_start() -> None:
    """Write down when this process ran its first job; the clock is the machine's, so the bench can compare."""
    global _started
    _started = True
    path = Path(os.environ.get("BENCH_STARTED", os.devnull))
    if not path.exists():  # RQ's worker forks for every job: only the first one counts
        path.write_text(str(time.monotonic()))


async def noop(*_: object) -> None:
    """Nothing."""
    if not _started:
        _mark_start()


async def wait(*_: object) -> None:
    """What a call to another server is to the worker: 50 ms of waiting."""
    if not _started:
        _mark_start()
    await asyncio.sleep(SECONDS)


def noop_sync(*_: object) -> None:
    """Nothing, for workers that run plain functions."""
    if not _started:
        _mark_start()


async def hold(*_: object) -> None:
    """In flight until the worker is stopped."""
    await asyncio.sleep(3600)
