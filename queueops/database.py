"""The database from the event loop: Django's ORM in a few threads, and writes of concurrent jobs gathered into one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connection, connections

from queueops.loops import PerLoop

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 4
ITEMS_A_BATCH = 200

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def threads() -> int:
    """How many threads talk to the database: one for SQLite, which has one writer anyway."""
    return 1 if connection.vendor == "sqlite" else THREADS


def pool() -> ThreadPoolExecutor:
    """The threads that talk to the database, each with a connection of its own."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(threads(), thread_name_prefix="database")
        return _pool


def close() -> None:
    """End the threads and their connections; the next use starts new ones."""
    global _pool
    with _lock:
        ending, _pool = _pool, None
    if ending is None:
        return
    everybody = threading.Barrier(threads())
    for _ in range(threads()):
        ending.submit(_close_connections, everybody)
    ending.shutdown(wait=True)


def _close_connections(everybody: threading.Barrier) -> None:
    everybody.wait()  # so that each thread does this once
    connections.close_all()


async def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` in one of the database threads."""

    def call() -> R:
        close_old_connections()
        return function(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(pool(), call)


class Writer(Generic[Item, Result]):
    """Gathers the items of concurrent jobs and hands them to `write` together: one transaction for many jobs.

    `write` gets a list and answers a list of the same length. When it raises, each item is written alone, so that one
    poison item costs its neighbours nothing but time. Make one for each event loop (see `writer`).
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._write = write
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Write the item; returns once its transaction is committed, raises what its own write raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        # One transaction at a time: what comes meanwhile shares the next. More at once would only make each smaller.
        while self._waiting:
            group, self._waiting = self._waiting[:ITEMS_A_BATCH], self._waiting[ITEMS_A_BATCH:]
            await self._write_group(group)

    async def _write_group(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await run(self._write, [item for item, _ in group])
        except (DatabaseError, InterfaceError, ValueError, TypeError) as error:
            if len(group) == 1:
                _settle(group[0][1], error)
                return
            for pair in group:
                await self._write_group([pair])
            return
        for (_, future), result in zip(group, results, strict=True):
            _settle(future, result)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


_writers: PerLoop[dict[Any, Writer[Any, Any]]] = PerLoop(dict)


def writer(write: Callable[[Sequence[Item]], Sequence[Result]]) -> Writer[Item, Result]:
    """The running loop's writer for this function."""
    writers = _writers()
    if write not in writers:
        writers[write] = Writer(write)
    return writers[write]
