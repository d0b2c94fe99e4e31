"""The writes of concurrent jobs: gathered, and one bad one is nobody else's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from django.db import DatabaseError

from queueops import database

pytestmark = pytest.mark.usefixtures("threads")


async def submit(write: database.Write[str, str], *items: str) -> list[str | BaseException]:
    async def in_thread(items: Sequence[str]) -> database.Results[str]:
        return await database.write_in_thread(write, items)

    writer = database.writer(in_thread)
    return await asyncio.gather(*(writer.submit(item) for item in items), return_exceptions=True)


def test_what_jobs_write_at_the_same_time_is_written_together(run):
    groups: list[list[str]] = []

    def write(items: Sequence[str]) -> list[str]:
        groups.append(list(items))
        return [item.upper() for item in items]

    assert run(submit(write, "a", "b", "c")) == ["A", "B", "C"]
    assert groups == [["a", "b", "c"]]


@pytest.mark.parametrize("error", [DatabaseError, ValueError, TypeError])
def test_an_item_that_cannot_be_written_fails_alone(run, error):
    def write(items: Sequence[str]) -> list[str]:
        if "poison" in items:
            raise error("poison")
        return [item.upper() for item in items]

    assert [str(one) for one in run(submit(write, "a", "poison", "c"))] == ["A", "poison", "C"]


def test_an_exception_among_the_results_is_raised_to_its_own_item(run):
    def write(items: Sequence[str]) -> list[str | Exception]:
        return [ValueError(item) if item == "b" else item for item in items]

    a, b = run(submit(write, "a", "b"))

    assert a == "a"
    assert isinstance(b, ValueError)


def test_a_mistake_in_the_writing_leaves_nobody_waiting(run):
    def write(items: Sequence[str]) -> list[str]:
        raise LookupError("a mistake")

    assert [type(one) for one in run(submit(write, "a", "b"))] == [LookupError, LookupError]
