"""Our own statements on PostgreSQL, sent from the event loop: planned once for each connection, one round trip each.

A thread for each of them costs more than most of them do: the loop and the thread wait for each other's hold on the
interpreter. So does psycopg's cursor, which is made for every statement that there may be; here psycopg makes the
connection and reads the rows, and its `pq`, which is libpq, carries them.
See docs/adr/0015-the-workers-rows-in-one-statement.md.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import psycopg
from django.db import connection
from psycopg import pq, sql
from psycopg.adapt import Transformer

from queueops.loops import PerLoop

Rows = list[tuple[Any, ...]]

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

NAME = b"the_one"
WENT_WELL = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}


class Line:
    """A connection that has one statement, which it has planned, and runs it once at a time.

    As libpq's chapter on asynchronous processing has it: send, flush until all is out, read until it is not busy.
    """

    def __init__(self, opened: psycopg.AsyncConnection[Any]) -> None:
        self._connection = opened
        self._wire = opened.pgconn
        self._socket = self._wire.socket
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[pq.abc.PGresult] | None = None
        self._result: pq.abc.PGresult | None = None
        self._is_writing = False
        self._is_heeded = True
        self._loop.add_reader(self._socket, self._readable)

    @property
    def is_open(self) -> bool:
        return self._wire.status == pq.ConnStatus.OK

    async def prepare(self, statement: str) -> None:
        """Have the server plan what `run` runs. Raises psycopg's Error."""
        await self._ask(functools.partial(self._wire.send_prepare, NAME, statement.encode()))

    async def run(self, parameters: Sequence[bytes]) -> Rows:
        """Run it with these, in a transaction of its own; its rows. Raises psycopg's Error."""
        result = await self._ask(functools.partial(self._wire.send_query_prepared, NAME, parameters))
        rows = Transformer(self._connection)
        rows.set_pgresult(result)
        return rows.load_rows(0, result.ntuples, tuple)

    async def close(self) -> None:
        """End the connection. What is under way on it may be committed all the same."""
        self._heed_no_more()
        await self._connection.close()

    def _heed_no_more(self) -> None:
        if self._is_heeded:  # once: the socket's number is another's, later
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._is_heeded = False

    async def _ask(self, send: Callable[[], None]) -> pq.abc.PGresult:
        self._answer = self._loop.create_future()
        try:
            send()
            self._flush()
            result = await self._answer
        except BaseException:
            await self.close()  # an answer that is still to come would be taken for the next one's
            raise
        if result.status not in WENT_WELL:
            raise _error(result)
        return result

    def _flush(self) -> None:
        """Send what the socket takes now, and the rest when it takes more."""
        if is_writing := bool(self._wire.flush()):
            self._loop.add_writer(self._socket, self._writable)
        elif self._is_writing:
            self._loop.remove_writer(self._socket)
        self._is_writing = is_writing

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def _readable(self) -> None:
        try:
            self._wire.consume_input()
            if self._is_writing:
                self._flush()
            while not self._wire.is_busy():
                result = self._wire.get_result()
                if result is None:
                    self._tell()
                    return
                self._result = result
        except psycopg.Error as error:
            self._lose(error)

    def _tell(self) -> None:
        answer, self._answer = self._answer, None
        result, self._result = self._result, None
        if answer is not None and not answer.done() and result is not None:
            answer.set_result(result)

    def _lose(self, error: psycopg.Error) -> None:
        """The connection broke: nobody waits on it any more."""
        self._heed_no_more()
        self._wire.finish()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    try:
        kind = psycopg.errors.lookup(state)
    except KeyError:
        kind = psycopg.DatabaseError
    return kind(pq.error_message(result))


async def _close(lines: dict[str, list[Line]]) -> None:
    for line in chain.from_iterable(lines.values()):
        await line.close()


# Connections that are at rest, of each statement its own, which have planned it. There are as many as there were calls
# at once: callers gather what they have (`database.writer`).
_lines: PerLoop[dict[str, list[Line]]] = PerLoop(dict, _close)


async def execute(statement: str, parameters: Sequence[bytes]) -> Rows:
    """Run one statement, in a transaction of its own; its rows. Raises Django's DatabaseError, InterfaceError.

    parameters: as text without NUL, for `$1` and so on. Only where Django's database is PostgreSQL. The statement must
    find its rows by indexes, and few. After an OperationalError or InterfaceError nobody knows whether it committed.
    """
    resting = _lines().setdefault(statement, [])
    with _errors():
        line = _at_rest(resting) or await _open(statement)
        try:
            return await line.run(parameters)
        finally:
            if line.is_open:
                resting.append(line)


def _at_rest(lines: list[Line]) -> Line | None:
    """One that is there still, taken out; those that the server has ended meanwhile are dropped."""
    while lines:
        if (line := lines.pop()).is_open:
            return line
    return None


@functools.cache
def _errors() -> AbstractContextManager[None]:
    """Makes Django's errors of psycopg's. On a loop, Django's `connection` is another object for every task."""
    errors: AbstractContextManager[None] = connection.wrap_database_errors
    return errors


async def _open(statement: str) -> Line:
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.AsyncCursor, "autocommit": True}
    opened = await psycopg.AsyncConnection.connect(**parameters)
    try:
        await opened.execute(SET_UP)
        if role := connection.settings_dict["OPTIONS"].get("assume_role"):
            await opened.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        line = Line(opened)
        await line.prepare(statement)
    except BaseException:
        await opened.close()
        raise
    return line
