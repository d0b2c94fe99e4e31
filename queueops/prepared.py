"""Our own statements on PostgreSQL, sent from the event loop: planned once for each connection, one round trip each.

A thread for each of them costs more than most of them do: the loop and the thread wait for each other's hold on the
interpreter. See docs/adr/0015-the-workers-rows-in-one-statement.md.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

from queueops.loops import PerLoop

Line = psycopg.AsyncCursor[Any]  # with a connection of its own

# As Django sets up its own connections. And a plan is kept while the tables grow: one made when they were small would
# read them whole from then on. What is left to the planner without these is one look-up in an index for each row. And
# compiling a plan takes longer than running any of these.
SET_UP = """
SET TIME ZONE 'UTC';
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET jit = off;
"""


async def _close(lines: dict[str, list[Line]]) -> None:
    for line in chain.from_iterable(lines.values()):
        await line.connection.close()


# Connections that are at rest, of each statement its own, which have planned it. There are as many as there were calls
# at once: callers gather what they have (`database.writer`).
_lines: PerLoop[dict[str, list[Line]]] = PerLoop(dict, _close)


async def execute(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement, in a transaction of its own; its rows. Raises Django's DatabaseError, InterfaceError.

    Only where Django's database is PostgreSQL. The statement must find its rows by indexes, and few. After an
    OperationalError or InterfaceError nobody knows whether it was committed.
    """
    resting = _lines().setdefault(statement, [])
    with _errors():
        line = resting.pop() if resting else await _open()
        try:
            await line.execute(statement.encode(), parameters, prepare=True)
            return await line.fetchall()
        finally:
            if not line.connection.closed:
                resting.append(line)


@functools.cache
def _errors() -> AbstractContextManager[None]:
    """Makes Django's errors of psycopg's. On a loop, Django's `connection` is another object for every task."""
    errors: AbstractContextManager[None] = connection.wrap_database_errors
    return errors


async def _open() -> Line:
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.AsyncCursor, "autocommit": True}
    opened = await psycopg.AsyncConnection.connect(**parameters)
    try:
        # Only what says `prepare=True`: by default Django prepares nothing, and then not even that is.
        opened.prepare_threshold = sys.maxsize
        await opened.execute(SET_UP)
        if role := connection.settings_dict["OPTIONS"].get("assume_role"):
            await opened.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    except BaseException:
        await opened.close()
        raise
    return psycopg.AsyncCursor(opened)
