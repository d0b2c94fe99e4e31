"""Statements of our own on PostgreSQL: prepared once, found by indexes, and on a connection that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, connection

from queueops import prepared

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

NEXT = "SELECT $1::int + 1"
PROCESS = "SELECT pg_backend_pid(), $1::text"


def test_it_prepares_a_statement_once(run):
    runs = "SELECT generic_plans + custom_plans, $1::text FROM pg_prepared_statements"

    async def thrice() -> list[Any]:
        return [await prepared.execute(runs, [b"mine"]) for _ in range(3)]

    (first,), (second,), (third,) = run(thrice())
    assert second[0] - first[0] == third[0] - second[0] == 1


def test_calls_at_once_have_answers_of_their_own(run):
    async def at_once() -> list[Any]:
        return await asyncio.gather(*(prepared.execute(NEXT, [str(n).encode()]) for n in range(20)))

    assert run(at_once()) == [[(n + 1,)] for n in range(20)]


def test_what_the_socket_does_not_take_at_once_follows(run):
    text = b"x" * 30_000_000

    assert run(prepared.execute("SELECT length($1::text), $1::text", [text])) == [(len(text), text.decode())]


def test_it_reads_no_table_whole_however_small_it_was_when_the_plan_was_made(run):
    plan = run(prepared.execute("EXPLAIN SELECT * FROM automations_event WHERE key = $1", [b"k1"]))

    assert not [line for (line,) in plan if "Seq Scan" in line]
    assert [line for (line,) in plan if "Index" in line]


def test_its_times_are_those_of_django(run):
    ((at,),) = run(prepared.execute("SELECT $1::timestamptz", [b"2026-01-01T12:00:00+02:00"]))

    assert at.isoformat() == "2026-01-01T10:00:00+00:00"


def test_it_raises_what_django_raises(run):
    with pytest.raises(DataError):
        run(prepared.execute("SELECT $1::text::json ->> 'text'", [b'{"text": "\\u0000"}']))


def test_a_statement_that_fails_costs_no_connection(run):
    async def again() -> list[Any]:
        divide = "SELECT pg_backend_pid(), 1 / $1::int"
        ((before, _),) = await prepared.execute(divide, [b"1"])
        with pytest.raises(DataError, match="division by zero"):
            await prepared.execute(divide, [b"0"])
        ((after, _),) = await prepared.execute(divide, [b"1"])
        return [before, after]

    before, after = run(again())
    assert before == after


def test_a_call_that_is_cancelled_leaves_its_answer_to_nobody(run):
    async def cancelled() -> Any:
        wait = "SELECT $2::text, pg_sleep($1::float)"
        task = asyncio.create_task(prepared.execute(wait, [b"60", b"old"]))
        async with asyncio.timeout(20):
            while not await _runs(b"%pg_sleep%"):
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await prepared.execute(wait, [b"0", b"new"])

    ((name, _),) = run(cancelled())
    assert name == "new"


async def _runs(statement: bytes) -> bool:
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active' AND pid <> pg_backend_pid()"
    )
    ((n,),) = await prepared.execute(active, [statement])
    return bool(n)


@pytest.fixture
def end() -> Callable[[int], None]:
    """Have the server end the connection that this process of its serves."""
    connection.ensure_connection()
    address = connection.connection.info.dsn

    def end(process: int) -> None:
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [process])

    return end


def test_a_connection_that_the_server_has_ended_fails_one_call_and_not_the_next(run, end):
    async def cut() -> list[Any]:
        ((before, _),) = await prepared.execute(PROCESS, [b""])
        end(before)
        with pytest.raises(OperationalError):
            await prepared.execute(PROCESS, [b""])
        ((after, _),) = await prepared.execute(PROCESS, [b""])
        return [before, after]

    before, after = run(cut())
    assert before != after


def test_a_connection_that_was_seen_to_end_fails_no_call(run, end):
    async def cut() -> list[Any]:
        ((before, _),) = await prepared.execute(PROCESS, [b""])
        ((line,),) = prepared._lines().values()
        end(before)
        async with asyncio.timeout(20):
            while line.is_open:
                await asyncio.sleep(0.001)
        ((after, _),) = await prepared.execute(PROCESS, [b""])
        return [before, after]

    before, after = run(cut())
    assert before != after
