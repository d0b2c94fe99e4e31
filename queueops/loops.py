"""One of each for an event loop: clients and tasks belong to the loop they were made on, and end with it.

A worker has one loop for its whole life; a stock RQ worker runs every coroutine on a new one.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_closers: dict[AbstractEventLoop, list[Callable[[], Awaitable[None]]]] = {}


class PerLoop(Generic[T]):
    """Calling it answers the running loop's one; `make` makes it at the first call, `close` ends it with the loop."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[Any]] | None = None) -> None:
        self._make = make
        self._close = close
        self._made: dict[AbstractEventLoop, T] = {}

    def __call__(self) -> T:
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            # What is made on a loop refers to it, so weak references would never let go of either.
            _forget_closed(self._made)
            _forget_closed(_closers)
            self._made[loop] = self._make()
            end_with_loop(self._end)
        return self._made[loop]

    async def _end(self) -> None:
        one = self._made.pop(asyncio.get_running_loop())
        if self._close is not None:
            await self._close(one)


def end_with_loop(close: Callable[[], Awaitable[None]]) -> None:
    """Have it called by `close_all` of the running loop."""
    _closers.setdefault(asyncio.get_running_loop(), []).append(close)


def _forget_closed(by_loop: dict[AbstractEventLoop, Any]) -> None:
    for loop in [loop for loop in by_loop if loop.is_closed()]:
        del by_loop[loop]


async def close_all() -> None:
    """End everything that was made for the running loop, the last made first."""
    for close in reversed(_closers.pop(asyncio.get_running_loop(), [])):
        await close()


async def cancel(*tasks: asyncio.Task[Any], seconds: float = math.inf) -> set[asyncio.Task[Any]]:
    """Cancel the tasks and return when all have ended, or after so many seconds with those that have not.

    Once may not be enough: a client library that is just reading or disconnecting can swallow a cancellation.
    """
    waiting = set(tasks)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.1)
    return waiting


_lock = threading.Lock()
_background: AbstractEventLoop | None = None


def in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on the one loop that this process has for callers without a loop; its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background_loop()).result()


def _background_loop() -> AbstractEventLoop:
    global _background
    with _lock:
        if _background is None:
            _background = asyncio.new_event_loop()
            thread = threading.Thread(target=_background.run_forever, name="background-loop", daemon=True)
            thread.start()
            atexit.register(_end, _background, thread)
        return _background


def _end(loop: AbstractEventLoop, thread: threading.Thread) -> None:
    if thread.is_alive():  # not in a forked process
        asyncio.run_coroutine_threadsafe(close_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _forget_background() -> None:
    """A forked process starts without its parent's threads."""
    global _background
    _background = None


os.register_at_fork(after_in_child=_forget_background)
