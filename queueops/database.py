"""The database from the event loop: Django's ORM in a few threads, and writes of concurrent jobs gathered into one."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
)

from queueops.gathering import Gathered
from queueops.loops import PerLoop

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")
Result = TypeVar("Result")
Results = Sequence[Result | Exception]
Write = Callable[[Sequence[Item]], Results[Result]]

# What an item or the connection may be to blame for.
ERRORS = (DatabaseError, InterfaceError, ValueError, TypeError)

THREADS = 4
ITEMS_A_BATCH = 200
STATEMENTS_AT_ONCE = 2  # of one kind: while one is committed, the next is made

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


@functools.cache
def vendor() -> str:
    """Django's name for the kind of database. On a loop, its `connection` is another object for every task."""
    return connection.vendor


def threads() -> int:
    """How many threads talk to the database: one for SQLite, which has one writer anyway."""
    return 1 if vendor() == "sqlite" else THREADS


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

    # With the job's context: what is logged there, and what must not be, depends on it.
    return await asyncio.get_running_loop().run_in_executor(pool(), copy_context().run, call)


async def write_in_thread(write: Write[Item, Result], items: Sequence[Item]) -> Results[Result]:
    """`write_all` in one of the database threads."""
    return await run(write_all, write, items)


def write_all(write: Write[Item, Result], items: Sequence[Item]) -> Results[Result]:
    """Write the items together or, when that fails, each alone; what an item's own write raised is its result.

    So one poison item costs its neighbours nothing but time. `write` gets a list and answers one of the same length.
    An item alone, too, is written a second time when the connection was lost: nobody knows whether that was before its
    commit or after, so `write` must know its own items again.
    """
    try:
        return write(items)
    except ERRORS as error:
        may_differ = len(items) > 1 or isinstance(error, (OperationalError, InterfaceError))
        if not may_differ or not _is_there():
            return [error] * len(items)
        return [_write_alone(write, item) for item in items]


def _write_alone(write: Write[Item, Result], item: Item) -> Result | Exception:
    try:
        return write([item])[0]
    except ERRORS as error:
        return error


def ping() -> None:
    """Ask the database for nothing; a connection that broke is made anew. Raises DatabaseError, InterfaceError."""
    close_old_connections()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _is_there() -> bool:
    """Whether the database can be reached."""
    try:
        ping()
    except (DatabaseError, InterfaceError):
        return False
    return True


_writers: PerLoop[dict[Any, Gathered[Any, Any]]] = PerLoop(dict)


def writer(write: Callable[[Sequence[Item]], Awaitable[Results[Result]]]) -> Gathered[Item, Result]:
    """The running loop's own for this function: writes the items of concurrent jobs together.

    An item's result is there once its transaction is committed.
    """
    writers = _writers()
    if write not in writers:
        writers[write] = Gathered(write, ITEMS_A_BATCH, at_once=min(STATEMENTS_AT_ONCE, threads()))
    return writers[write]
