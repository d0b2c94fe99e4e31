"""What a job may raise to say how it ended. The runner reads it; it never asks the job anything else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a job failed, in the words of whoever refused: kept on its dead letter and shown to operators.

    `code` and `subcode` are the peer's own numbers (0 when it gave none); `verdict` is one of `retry`, `wait`,
    `reject`, `pause_account`, `needs_owner`, `probably_sent`, or `bug` for an exception of ours.
    """

    title: str
    verdict: str
    code: int = 0
    subcode: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class JobError(Exception):
    """Base of what jobs raise on purpose; any other exception is a bug and is retried like a `TryAgain`."""

    def __init__(self, reason: str, cause: Cause | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


class TryAgain(JobError):
    """The job failed, a later attempt may succeed: uses one attempt, delayed by the back-off."""


class RetryLater(JobError):
    """The job must wait `after` seconds and uses no attempt: throttled, paused, not yet due."""

    def __init__(self, reason: str, after: float, cause: Cause | None = None) -> None:
        super().__init__(reason, cause)
        self.after = after


class Reject(JobError):
    """No attempt can succeed: straight to the dead letters."""
