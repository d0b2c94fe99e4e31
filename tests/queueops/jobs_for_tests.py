"""A catalogue of small jobs, by the path that a lane carries."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from queueops import context
from queueops.errors import Cause, Reject, RetryLater, TryAgain
from queueops.jobs import Failure, task

HERE = __name__

ran: list[Any] = []
failures: list[Failure] = []
in_flight = 0
most_in_flight = 0


def forget() -> None:
    global most_in_flight
    ran.clear()
    failures.clear()
    most_in_flight = 0


async def note_failure(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    failures.append(failure)


@task(on_failure=note_failure)
async def note(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    global in_flight, most_in_flight
    in_flight += 1
    most_in_flight = max(most_in_flight, in_flight)
    run = context.current.get()
    await asyncio.sleep(payload.get("seconds", 0))
    ran.append((payload["name"], run.lane if run else None))
    in_flight -= 1


@task(on_failure=note_failure)
async def fail(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    ran.append(payload["name"])
    raise TryAgain("Meta is away")


@task(on_failure=note_failure)
async def refuse(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    raise Reject("The token has expired", Cause(title="Expired", verdict="needs_owner", code=190, subcode=463))


@task(on_failure=note_failure)
async def wait(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    raise RetryLater("Throttled", after=3600)


async def bug(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    raise KeyError("no\x00body")


async def hang(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    await asyncio.Event().wait()


def plain(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    ran.append(payload["name"])


def add(a: int, b: int) -> int:
    return a + b


def breaks() -> None:
    raise RuntimeError("of its own accord")


async def exit_process(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    os._exit(9)


async def block_loop(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    time.sleep(payload["seconds"])
