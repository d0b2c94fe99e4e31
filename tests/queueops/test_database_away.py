"""Without the database a worker claims nothing, gives back what it holds, says so once, and goes on by itself."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.db import OperationalError

from queueops import database, ledger, outage, stats
from queueops.jobs import Failure, task
from tests.queueops import outages
from tests.queueops.conftest import until

HERE = __name__
written: list[str] = []
failures: list[Failure] = []


async def note(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    failures.append(failure)


@task(on_failure=note)
async def write(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """A job that does nothing without the database, as every one that sends."""
    await database.run(database.ping)
    written.append(payload["name"])


@task(on_failure=note)
async def break_off(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    raise OperationalError("this connection was closed")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    written.clear()
    failures.clear()
    monkeypatch.setattr(outage, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr("queueops.recovery.HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr("tests.queueops.jobs_for_tests.HERE", HERE)


@pytest.fixture
def log(caplog):
    """What the worker logged; RQ's logger passes nothing on by itself."""
    logger = logging.getLogger("rq.worker")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def said(log: pytest.LogCaptureFixture, action: str) -> list[str]:
    return [record.getMessage() for record in log.records if f"action={action} " in record.getMessage()]


def test_jobs_wait_in_their_lane_while_the_database_is_away_and_are_done_when_it_is_back(
    redis, put, while_working, log
):
    names = [f"{n:02d}" for n in range(40)]

    def away_and_back() -> None:
        with outages.no_database():
            put("write", *names)
            until(lambda: said(log, "database_away"), "the outage")
            until(lambda: redis.llen("rq:queue:high") == 40, "what the worker held")
            until(lambda: [w["state"] for w in stats.read(redis)["workers"]] == ["no database"], "the worker's state")
            assert written == []
        until(lambda: len(written) == 40, "the end")

    while_working(away_and_back, concurrency=10)

    assert sorted(written) == names
    assert failures == []
    assert ledger.read(redis).completed == 40
    assert len(said(log, "database_away")) == len(said(log, "database_back")) == 1


def test_no_attempt_is_used_by_what_the_missing_database_stopped(redis, put, while_working, log):
    def away() -> None:
        with outages.no_database():
            put("write", "a")
            until(lambda: said(log, "database_away") and redis.llen("rq:queue:high"), "the outage")
            assert redis.hget("rq:job:a", "attempts") in (None, b"0")

    while_working(away)


def test_a_broken_connection_to_a_database_that_is_there_is_the_jobs_own_failure(redis, put, work, log):
    put("break_off", "a")

    work()

    assert [failure.attempt for failure in failures] == [1]
    assert ledger.read(redis).total("retrying") == 1
    assert said(log, "database_away") == []


def test_those_who_wonder_at_the_same_time_share_one_look(run, threads, monkeypatch):
    looks = []

    async def look() -> str:
        looks.append(1)
        await asyncio.sleep(0)
        return ""

    monkeypatch.setattr(outage, "_what_is_wrong", look)

    async def all_at_once() -> list[bool]:
        return list(await asyncio.gather(*(outage.watch().ask() for _ in range(50))))

    assert run(all_at_once()) == [False] * 50
    assert len(looks) == 1
