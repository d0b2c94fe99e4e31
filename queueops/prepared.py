"""Our own statements on PostgreSQL, planned once for each connection and sent in one round trip."""

from __future__ import annotations

import select
import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import connection

_ready: WeakSet[psycopg.Connection[Any]] = WeakSet()


def execute(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement, in a transaction of its own unless there is one; its rows. Raises Django's DatabaseError.

    Only on Django's connection to PostgreSQL. The statement must find its rows by indexes, and few.
    """
    if connection.connection is not None and _is_spoken_to(connection.connection) and not connection.is_usable():
        connection.close()
    connection.ensure_connection()
    # Django's own cursor writes the parameters into the statement, so that nothing could be prepared.
    with connection.wrap_database_errors, psycopg.Cursor(_prepared(connection.connection)) as cursor:
        cursor.execute(sql.encode(), parameters, prepare=True)
        return cursor.fetchall()


def _is_spoken_to(raw: psycopg.Connection[Any]) -> bool:
    """Whether the server said something unasked, as it does when it ends. Saves Django's `SELECT 1` each time."""
    if raw.closed:
        return True
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _prepared(raw: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    if raw not in _ready:
        # Only what says `prepare=True`: by default Django prepares nothing, and then not even that is.
        raw.prepare_threshold = sys.maxsize
        # A plan is kept while the tables grow: one made when they were small would read them whole from then on. What
        # is left to the planner without these is one look-up in an index for each row.
        for way in ("seqscan", "hashjoin", "mergejoin", "material"):
            raw.execute(f"SET enable_{way} = off")
        if not connection.in_atomic_block:  # what is set in a transaction is undone with it
            _ready.add(raw)
    return raw
