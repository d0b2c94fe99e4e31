"""A catalogue of small jobs, by the path that a lane carries."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.db import OperationalError

from queueops import connections, context
from queueops.errors import Cause, Reject, RetryLater, TryAgain
from queueops.jobs import Failure, task

HERE = __name__

ran: list[Any] = []
failures: list[Failure] = []
in_flight = 0
most_in_flight = 0
released = threading.Event()


def forget() -> None:
    global most_in_flight
    ran.clear()
    failures.clear()
    released.clear()
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


async def deaf(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    raise LookupError("nobody hears of it")


@task(on_failure=deaf)
async def fail_unheard(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    ran.append(payload["name"])
    raise Reject("It broke")


async def cut_off(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    raise OperationalError("the database is away")


@task(on_failure=cut_off)
async def fail_unwritten(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    ran.append(payload["name"])
    raise Reject("It broke")


async def hang(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    await asyncio.Event().wait()


def plain_forever(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    _begun(payload)
    threading.Event().wait()


def _begun(payload: dict[str, Any]) -> None:
    """Tells another process, by a file."""
    if "begun" in payload:
        Path(payload["begun"]).touch()


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


async def ignore_cancellation(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """Takes `times` cancellations as if nothing was."""
    _begun(payload)
    for _ in range(payload["times"]):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ran.append("cancelled")


async def cancel_itself(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    raise asyncio.CancelledError


async def leave(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    sys.exit("enough")


async def time_out(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """Its own time-out, in the middle of what it is cut off for."""
    await asyncio.wait_for(asyncio.Event().wait(), 0.001)


@task(on_failure=note_failure)
async def hold(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """In flight until `release`."""
    ran.append(payload["name"])
    while not released.is_set():
        await asyncio.sleep(0.005)


def spin() -> None:
    """A plain function that is busy until somebody ends it."""
    ran.append("spin")
    while not released.wait(0.001):
        pass


async def no_failure_either(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    await asyncio.Event().wait()


@task(on_failure=no_failure_either)
async def fail_and_hang(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    ran.append(payload["name"])
    raise TryAgain("and nobody can write it down")


async def count_waits(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """Note how many connections wait in Redis in the job's second turn of the loop."""
    await asyncio.sleep(0)
    ran.append(connections.client().info("clients")["blocked_clients"])
