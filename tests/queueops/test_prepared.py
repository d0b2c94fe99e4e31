"""Statements of our own on PostgreSQL: prepared once, found by indexes, and on a connection that is there."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, connection

from queueops import prepared

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

NEXT = "SELECT %s::int + 1"
OF_NEXT = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement = 'SELECT $1::int + 1'"


def test_it_prepares_a_statement_once(run):
    async def twice() -> list[Any]:
        answers = [await prepared.execute(NEXT, [n]) for n in (1, 2)]
        ((line,),) = prepared._lines().values()
        cursor = await line.execute(OF_NEXT)
        return [*answers, await cursor.fetchall()]

    assert run(twice()) == [[(2,)], [(3,)], [(2,)]]


def test_it_reads_no_table_whole_however_small_it_was_when_the_plan_was_made(run):
    plan = run(prepared.execute("EXPLAIN SELECT * FROM automations_event WHERE key = %s", ["k1"]))

    assert "Index" in plan[0][0]


def test_its_times_are_those_of_django(run):
    ((at,),) = run(prepared.execute("SELECT %s::timestamptz", ["2026-01-01T12:00:00+02:00"]))

    assert at.isoformat() == "2026-01-01T10:00:00+00:00"


def test_it_raises_what_django_raises(run):
    with pytest.raises(DataError):
        run(prepared.execute("SELECT %s::text::json ->> 'text'", ['{"text": "\\u0000"}']))


def test_a_connection_that_the_server_has_ended_fails_one_call_and_not_the_next(run):
    pid = "SELECT pg_backend_pid() + %s"
    connection.ensure_connection()
    address = connection.connection.info.dsn

    async def cut() -> list[Any]:
        ((before,),) = await prepared.execute(pid, [0])
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
        with pytest.raises(OperationalError):
            await prepared.execute(pid, [0])
        ((after,),) = await prepared.execute(pid, [0])
        return [before, after]

    before, after = run(cut())
    assert before != after
