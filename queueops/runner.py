"""Running one claimed job: call it, and say where it goes next. The only place that catches every exception."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.utils.module_loading import import_string

from queueops import context, database, deadletters, metrics
from queueops.errors import JobError, RetryLater
from queueops.jobs import Done, Failure, OnFailure
from queueops.retry import Policy

logger = logging.getLogger(__name__)

# How long a job waits when not even its failure could be recorded (the database is away): no attempt is used.
UNRECORDED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job as the claim answered it."""

    lane: str
    id: str
    execution: str
    data: bytes
    timeout: float
    attempts: int
    claimed_at: float = field(default_factory=time.time, kw_only=True)
    dispatched: bool = True  # by `queueops.dispatch`, and not enqueued with RQ itself


@dataclass(frozen=True, slots=True)
class Settled:
    """Where a job goes: `how` and `detail` as `moves.SETTLE` reads them."""

    job: Claimed
    how: str
    detail: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What the job's data says: the function by its path, and its arguments."""

    path: str
    args: list[Any]
    kwargs: dict[str, Any]


def _work(data: bytes) -> Work:
    """Raises ValueError when it is not what RQ's JSON serializer writes."""
    path, _, args, kwargs = orjson.loads(data)
    return Work(path, args, kwargs)


def _unreadable(data: bytes) -> Work:
    """Stands in for data that nobody can read, so that its dead letter can be written."""
    return Work("", [data.decode(errors="replace").replace("\x00", "\ufffd")], {})


@functools.cache
def _function(path: str) -> Callable[..., Any]:
    function: Callable[..., Any] = import_string(path)
    return function


def _on_failure(path: str) -> OnFailure | None:
    try:
        return getattr(_function(path), "on_failure", None)
    except ImportError:
        return None


async def run(job: Claimed) -> Settled:
    """Run the job to its end, whatever happens in it; cancelling gives it back to its lane."""
    started = time.perf_counter()
    attempt = job.attempts + 1
    token = context.current.set(context.Run(job.lane, attempt))
    try:
        settled = await _call(job)
    except asyncio.CancelledError:
        return Settled(job, "back")
    except Exception as error:  # noqa: BLE001 - a job may raise anything; here it is decided what that means
        settled = await _failed(job, attempt, error)
    finally:
        context.current.reset(token)
    metrics.observe("process", (time.perf_counter() - started) * 1000)
    metrics.count(settled.how)
    return settled


async def _call(job: Claimed) -> Settled:
    work = _work(job.data)
    function = _function(work.path)
    async with asyncio.timeout(job.timeout):
        if inspect.iscoroutinefunction(function):
            done = await function(*work.args, **work.kwargs)
        else:
            done = await database.run(function, *work.args, **work.kwargs)
    return Settled(job, Done(done or Done.COMPLETED).value)


async def _failed(job: Claimed, attempt: int, error: Exception) -> Settled:
    policy = Policy(settings.QUEUE_MAX_ATTEMPTS, settings.QUEUE_BACKOFF_SECONDS)
    now = datetime.now(UTC)
    delay = policy.delay(error, attempt)
    used = job.attempts if isinstance(error, RetryLater) else attempt
    failure = Failure(
        dead=delay is None,
        at=now,
        reason=_reason(error, job.timeout),
        attempt=attempt,
        retry_at=None if delay is None else now + timedelta(seconds=delay),
        cause=error.cause if isinstance(error, JobError) else None,
    )
    if not isinstance(error, JobError):
        logger.error("action=job_raised job=%s lane=%s attempt=%d", job.id, job.lane, attempt, exc_info=error)
    try:
        await _record(job, failure, error)
    except Exception:
        logger.exception("action=failure_unrecorded job=%s retry_in=%.0f", job.id, UNRECORDED_SECONDS)
        return Settled(job, "retry", f"{time.time() + UNRECORDED_SECONDS:.3f}", job.attempts)
    if delay is None:
        logger.warning("action=job_dead job=%s lane=%s attempts=%d error=%s", job.id, job.lane, attempt, failure.reason)
        return Settled(job, "dead", failure.reason, attempt)
    return Settled(job, "retry", f"{time.time() + delay:.3f}", used)


async def _record(job: Claimed, failure: Failure, error: Exception) -> None:
    try:
        work = _work(job.data)
    except ValueError:
        work = _unreadable(job.data)
    if failure.dead:
        await database.run(deadletters.write, job.id, work.path, job.lane, work.args, failure, error)
    on_failure = _on_failure(work.path)
    if on_failure is not None:
        await on_failure(*work.args, failure)


def _reason(error: BaseException, timeout: float) -> str:
    """The error in one line, in words for the person who reads it."""
    if isinstance(error, JobError):
        return error.reason
    if isinstance(error, TimeoutError):
        return f"Did not finish within {timeout:.0f} s."
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
