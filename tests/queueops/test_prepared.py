"""Statements of our own on PostgreSQL: prepared once, found by indexes, and on a connection that is there."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DataError, connection

from queueops import prepared

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

PREPARED = "SELECT statement FROM pg_prepared_statements"


def rows(sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_it_prepares_the_statement_once_and_nothing_else():
    assert [prepared.execute("SELECT %s::int + 1", [n]) for n in (1, 2)] == [[(2,)], [(3,)]]
    rows("SELECT 1")

    assert [statement for (statement,) in rows(PREPARED)].count("SELECT $1::int + 1") == 1
    assert not any(statement == "SELECT 1" for (statement,) in rows(PREPARED))


def test_it_reads_no_table_whole_however_small_it_was_when_the_plan_was_made():
    plan = prepared.execute("EXPLAIN SELECT * FROM automations_event WHERE key = %s", ["k1"])

    assert "Index" in plan[0][0]


def test_it_raises_what_django_raises():
    with pytest.raises(DataError):
        prepared.execute("SELECT %s::text::json ->> 'text'", ['{"text": "\\u0000"}'])


def test_it_uses_no_connection_that_the_server_has_ended():
    ((pid,),) = prepared.execute("SELECT pg_backend_pid()", [])
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    assert prepared.execute("SELECT pg_backend_pid() <> %s", [pid]) == [(True,)]
