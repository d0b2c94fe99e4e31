"""Running one claimed job: call it, and say where it goes next. The only place that catches every exception."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError
from django.utils.module_loading import import_string

from queueops import attempts, context, database, deadletters, metrics, outage, scrubbing, states
from queueops.errors import JobError, Reject, RetryLater
from queueops.jobs import Done, Failure, OnFailure
from queueops.retry import Policy

logger = logging.getLogger(__name__)

# How long a job waits when its failure could not be recorded although the database is there: no attempt is used.
UNRECORDED_SECONDS = 5.0


class Overdue(Exception):
    """The job was cancelled because it took longer than its time-out."""

    def __init__(self, timeout: float) -> None:
        super().__init__(f"Did not finish within {timeout:.0f} s.")


class Stopped(Reject):
    """Somebody stopped the job (RQ's command `stop-job`): it is not tried again by itself."""

    def __init__(self) -> None:
        super().__init__("Stopped by an operator.")


@dataclass(slots=True, eq=False)
class Claimed:
    """A job as the claim answered it. claimed_at: Unix time. started: on the monotonic clock."""

    lane: str
    id: str
    execution: str
    data: bytes
    timeout: float
    attempts: int
    dispatched: bool = True  # by `queueops.dispatch`, and not enqueued with RQ itself
    claimed_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    vouched: bool = False  # a heartbeat has written about it
    recording_since: float = 0.0  # it has failed, and that is being written down
    cut_off: Overdue | Stopped | None = None  # why its task was cancelled; None: because the worker stops


@dataclass(slots=True, eq=False)
class Settled:
    """Where a job goes: `how` and `detail` as `moves.EXCHANGE` reads them."""

    job: Claimed
    how: str
    detail: str = ""
    attempts: int = 0


@dataclass(slots=True, eq=False)
class Work:
    """What the job's data says: the function by its path, and its arguments."""

    path: str
    args: list[Any]
    kwargs: dict[str, Any]


def _work(data: bytes) -> Work:
    """Raises ValueError when it is not what RQ's JSON serializer writes."""
    path, _, args, kwargs = orjson.loads(data)
    return Work(path, args, kwargs)


def work_to_show(data: bytes) -> Work:
    """What the data says; for data that nobody can read a stand-in, so that its dead letter can be written."""
    try:
        return _work(data)
    except ValueError:
        return Work("", [data.decode(errors="replace").replace("\x00", "\ufffd")], {})


@functools.cache
def _function(path: str) -> Callable[..., Any]:
    function: Callable[..., Any] = import_string(path)
    return function


_is_async = functools.cache(inspect.iscoroutinefunction)


def _on_failure(path: str) -> OnFailure | None:
    try:
        return getattr(_function(path), "on_failure", None)
    except ImportError:
        return None


async def run(job: Claimed) -> Settled:
    """Run the job to its end, whatever happens in it, with a timer of its own. Call it in a task of its own."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: a coroutine runs in a task
    timer = asyncio.get_running_loop().call_later(job.timeout, cut_off, task, job, Overdue(job.timeout))
    try:
        return await run_untimed(job)
    finally:
        timer.cancel()


def cut_off(task: asyncio.Task[Any], job: Claimed, why: Overdue | Stopped) -> None:
    """Cancel a job so that it ends as a failure, and not back in its lane."""
    job.cut_off = why
    task.cancel()


async def run_untimed(job: Claimed) -> Settled:
    """The same for a caller that looks after the time-out itself (`queueops.slots`): a timer a job costs a tenth.

    It changes its task's context. Cancelling gives the job back to its lane, unless `job.cut_off` says why it was.
    """
    context.current.set(context.Run(job.lane, job.attempts + 1, job.id))
    states.started(job.id, job.lane, job.attempts + 1)
    try:
        settled = await _call(job)
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - a job may raise anything
        if _is_being_cancelled() and job.cut_off is None and isinstance(error, asyncio.CancelledError):
            return Settled(job, "back")
        settled = await _failed(job, _why(job, error))
    states.ended(job.id, job.lane, settled.how, settled.detail)
    metrics.observe(
        f"process:{job.lane}", (time.monotonic() - job.started) * 1000, settled.how, f"{settled.how}:{job.lane}"
    )
    return settled


def _is_being_cancelled() -> bool:
    """Whether somebody cancelled this task; otherwise it was the job that raised CancelledError by itself.

    The task goes on: what it waits for next must not take it for cancelled.
    """
    task = asyncio.current_task()
    cancelled = False
    while task is not None and task.cancelling():
        cancelled = True
        task.uncancel()
    return cancelled


def _why(job: Claimed, error: BaseException) -> BaseException:
    """What ended the job: whoever cut it off, whatever the job made of that."""
    if job.cut_off is None:
        return error
    job.cut_off.__cause__ = error  # for its traceback: where it was
    return job.cut_off


async def _call(job: Claimed) -> Settled:
    work = _work(job.data)
    function = _function(work.path)
    if _is_async(function):
        done = await function(*work.args, **work.kwargs)
    else:
        done = await database.run(_in_thread, job, function, work)
    return Settled(job, "completed" if done is None else Done(done).value)


_in_threads: set[Claimed] = set()


def is_in_threads() -> bool:
    """Whether a plain function still runs, be it that of a job that was cut off: a thread cannot be."""
    return bool(_in_threads)


def _in_thread(job: Claimed, function: Callable[..., Any], work: Work) -> Any:
    _in_threads.add(job)
    try:
        return function(*work.args, **work.kwargs)
    finally:
        _in_threads.discard(job)


async def _failed(job: Claimed, error: BaseException) -> Settled:
    job.recording_since = time.monotonic()
    if isinstance(error, outage.ERRORS) and await outage.watch().ask():
        return Settled(job, "back")
    attempt = job.attempts + 1
    policy = Policy(settings.QUEUE_MAX_ATTEMPTS, settings.QUEUE_BACKOFF_SECONDS)
    delay = policy.delay(error, attempt)
    used = job.attempts if isinstance(error, RetryLater) else attempt
    failure = _failure(error, attempt, delay)
    if not isinstance(error, JobError):
        logger.error("action=job_raised job=%s lane=%s attempt=%d", job.id, job.lane, attempt, exc_info=error)
    try:
        await _record(job, failure, error)
    except (DatabaseError, InterfaceError):
        if await outage.watch().ask():
            return Settled(job, "back")
        logger.exception("action=failure_unrecorded job=%s retry_in=%.0f", job.id, UNRECORDED_SECONDS)
        return Settled(job, "retry", f"{time.time() + UNRECORDED_SECONDS:.3f}", job.attempts)
    if delay is None:
        return _dead(job, failure, "stopped" if isinstance(error, Stopped) else "dead")
    return Settled(job, "retry", f"{time.time() + delay:.3f}", used)


async def give_up(job: Claimed, error: Reject) -> Settled:
    """Write the dead letter of a job that is not run any more. Raises DatabaseError, InterfaceError."""
    failure = _failure(error, job.attempts + 1, None)
    await _record(job, failure, error)
    return _dead(job, failure, "dead")


def _failure(error: BaseException, attempt: int, delay: float | None) -> Failure:
    now = datetime.now(UTC)
    return Failure(
        dead=delay is None,
        at=now,
        reason=scrubbing.scrub(_reason(error)),
        attempt=attempt,
        retry_at=None if delay is None else now + timedelta(seconds=delay),
        cause=error.cause if isinstance(error, JobError) else None,
    )


def _dead(job: Claimed, failure: Failure, how: str) -> Settled:
    message = "action=job_dead job=%s lane=%s attempts=%d error=%s"
    logger.warning(message, job.id, job.lane, failure.attempt, failure.reason)
    return Settled(job, how, failure.reason, failure.attempt)


async def _record(job: Claimed, failure: Failure, error: BaseException) -> None:
    """Raises DatabaseError or InterfaceError when the database is away; what else goes wrong would do so again."""
    work = work_to_show(job.data)
    if failure.dead:
        await _heard(job, database.run(deadletters.write, job.id, work.path, job.lane, work.args, failure, error))
    elif not isinstance(error, RetryLater):  # which is no failure
        await _heard(job, database.run(attempts.note, job.id, failure, error))
    on_failure = _on_failure(work.path)
    if on_failure is not None:
        await _heard(job, on_failure(*work.args, failure))


async def _heard(job: Claimed, telling: Awaitable[None]) -> None:
    try:
        await telling
    except DataError:
        logger.exception("action=failure_unwritable job=%s", job.id)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        logger.exception("action=failure_untold job=%s", job.id)


def _reason(error: BaseException) -> str:
    """The error in one line, in words for the person who reads it."""
    if isinstance(error, JobError):
        return error.reason
    if isinstance(error, Overdue):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
