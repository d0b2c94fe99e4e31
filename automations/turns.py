"""How fast one account may send: Meta's published limits by class of call, and whose turn is when.

FACTS section 7. Public replies have no published number: Meta's own answers pace them (`automations.pacing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from automations.events import Kind
from automations.replies import Call
from queueops import quotas
from queueops.errors import RetryLater
from queueops.quotas import NoTurn, Quota

MEDIA_TYPES = frozenset({"audio", "video"})


@dataclass(frozen=True, slots=True)
class Limit:
    """One class of calls. `what` completes "750 …" in words; `setting` holds how many may go in `seconds`."""

    name: str
    setting: str
    seconds: float
    what: str

    @property
    def count(self) -> int:
        """0 is none."""
        count: int = getattr(settings, self.setting)
        return count

    def quota(self, account: str) -> Quota:
        return Quota(f"{account}:{self.name}", self.count, self.seconds)

    def __str__(self) -> str:
        return f"{self.count} {self.what}"


MESSAGES = Limit("messages", "PACING_MESSAGES_PER_SECOND", 1.0, "messages a second")
MEDIA = Limit("media", "PACING_MEDIA_PER_SECOND", 1.0, "audio and video messages a second")
PRIVATE_REPLIES = Limit("private_replies", "PACING_PRIVATE_REPLIES_PER_HOUR", 3600.0, "private replies an hour")
LIVE_REPLIES = Limit("live_replies", "PACING_MESSAGES_PER_SECOND", 1.0, "private replies a second to live comments")
LIMITS = (MESSAGES, MEDIA, PRIVATE_REPLIES, LIVE_REPLIES)


def names(account: str) -> list[str]:
    """The names of all of the account's quotas."""
    return [f"{account}:{limit.name}" for limit in LIMITS]


def limit_on(event_kind: Kind, call: Call) -> Limit | None:
    """The limit that the call counts against, None when there is none."""
    if call.kind == "public_reply":
        return None
    if call.kind == "private_reply":
        limit = LIVE_REPLIES if event_kind is Kind.LIVE_COMMENT else PRIVATE_REPLIES
    else:
        attachment = call.body["message"].get("attachment", {})
        limit = MEDIA if attachment.get("type") in MEDIA_TYPES else MESSAGES
    return limit if limit.count > 0 else None


class TooLate(Exception):
    """The turn would come after the window closes. reason: for the person who asks why nothing was sent."""

    def __init__(self, limit: Limit, closes: datetime) -> None:
        self.reason = (
            f"The account's limit of {limit} is reached: its turn would come after {closes:%Y-%m-%d %H:%M} UTC, "
            "when the window for it closes."
        )
        super().__init__(self.reason)


async def take(limit: Limit, account: str, holder: str, now: datetime, closes: datetime) -> None:
    """Take the holder's turn, or the turn that it got when it was put off.

    Raises RetryLater until its turn comes, or TooLate when that would be after the window closes.
    """
    try:
        wait = await quotas.reserve(limit.quota(account), holder, (closes - now).total_seconds())
    except NoTurn:
        raise TooLate(limit, closes) from None
    if wait > 0:
        raise RetryLater(f"The account's limit of {limit} is reached; its turn is at {_at(now, wait)} UTC.", wait)


def _at(now: datetime, wait: float) -> str:
    turn = now + timedelta(seconds=wait)
    day = "" if turn.date() == now.date() else f"{turn:%Y-%m-%d} "
    return f"{day}{turn:%H:%M}" if wait >= 60 else f"{day}{turn:%H:%M:%S}"
