"""The job as this package moves it: an id, a lane, a function by its path and arguments that JSON can carry."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from queueops.errors import Cause

P = ParamSpec("P")
R = TypeVar("R")


class Lane(enum.StrEnum):
    """RQ's queues in the order in which they are served."""

    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"

    @property
    def raised(self) -> Lane:
        """One lane up, for tenants that come first."""
        return {Lane.HIGH: Lane.HIGH, Lane.DEFAULT: Lane.HIGH, Lane.LOW: Lane.DEFAULT}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One unit of work on its way into a lane.

    `id` is the identity: a second job with the same id is a duplicate while the first is remembered. It may hold
    only letters, digits, `_` and `-` (RQ's rule). `tenant` is whose work it is: some tenants go one lane up.
    """

    id: str
    lane: Lane
    func: str
    payload: dict[str, Any]
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """News that nearly always nobody waits for; then it is ignored under this name, and its note kept for a while.

    When somebody awaits the key (`queueops.awaited`), the job is taken in instead; and wherever that cannot be known.
    """

    name: str
    key: str
    note: str
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request hands over, all or nothing: the jobs to keep, and what was looked at and put aside.

    `ignored` counts by name what was recognised and needs no answer, and every `heard` as well. `kept` are things that
    nobody could use, kept as they came for the console: (reason, raw bytes).
    """

    jobs: tuple[Job, ...] = ()
    heard: tuple[Heard, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    kept: tuple[tuple[str, bytes], ...] = ()

    def all_awaited(self) -> Batch:
        """The same for a tier that cannot know what is awaited: the job of everything that was heard is work."""
        if not self.heard:
            return self
        ignored = Counter(self.ignored) - Counter(one.name for one in self.heard)
        return replace(self, jobs=(*self.jobs, *(one.job for one in self.heard)), heard=(), ignored=dict(ignored))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch, once it is on disk."""

    accepted: int
    duplicate: int
    ignored: int


class Done(enum.StrEnum):
    """What a job returns: which count of the ledger it ends in."""

    COMPLETED = "completed"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One attempt that did not end well, as told to the job's `on_failure`."""

    dead: bool
    at: datetime
    reason: str
    attempt: int
    retry_at: datetime | None = None
    cause: Cause | None = None


class Verb(enum.StrEnum):
    """What an operator did with a dead letter."""

    RETRIED = "retried"
    DISCARDED = "discarded"


OnFailure = Callable[..., Awaitable[None]]
OnOperator = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Who may not call now, and until when. asked_at: when this was so. everybody: None when all may."""

    asked_at: datetime
    everybody: datetime | None = None
    by_account: dict[str, datetime] = field(default_factory=dict)

    def until(self, account: str) -> datetime:
        """When the account may call again; `asked_at` when it may."""
        ends = (self.by_account.get(account), self.everybody)
        return max([self.asked_at, *(end for end in ends if end is not None)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Knows:
    """What a function knows about its jobs beyond running them: asked when one is given up, and by the console.

    `expires_at(*the job's arguments)`: from when on a retry does nothing any more, None when never or not known.
    `delivered_at(job ids)`: when the jobs' work went out, of those for which nothing is left to do.
    `validate_payload(*arguments)` raises ValueError, in words for the person who changed them, for what the job could
    not read. `automation_of(job id)`: id and name of the automation it was at, None before one was chosen.
    `waits()`: which accounts may not call now, and until when.
    """

    expires_at: Callable[..., datetime | None] | None = None
    delivered_at: Callable[[Sequence[str]], dict[str, datetime]] | None = None
    validate_payload: Callable[..., None] | None = None
    automation_of: Callable[[str], tuple[str, str] | None] | None = None
    waits: Callable[[], Waits] | None = None


NOTHING = Knows()


def task(
    *, on_failure: OnFailure, on_operator: OnOperator | None = None, knows: Knows = NOTHING
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Mark a coroutine function as a job that wants to hear what happens to it, and knows what operators ask.

    `on_failure(*the job's arguments, failure)` is awaited before a failed job moves into the scheduled registry or the
    dead letters; `on_operator(*the job's arguments, verb)` is called when an operator moves its dead letter.
    """

    def mark(func: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        func.on_failure = on_failure  # type: ignore[attr-defined]
        func.on_operator = on_operator  # type: ignore[attr-defined]
        func.knows = knows  # type: ignore[attr-defined]
        return func

    return mark
