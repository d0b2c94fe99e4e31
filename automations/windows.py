"""Until when Meta lets us answer. Checked before every call; Meta's own answer remains the last word.

FACTS section 6: 24 hours after the person's last message; one private reply per comment within 7 days. An Instagram
live video lasts at most 4 hours, and its comments take a private reply only while it runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from automations.events import Event, Kind

MESSAGE_WINDOW = timedelta(hours=24)
PRIVATE_REPLY_WINDOW = timedelta(days=7)
LIVE_WINDOW = timedelta(hours=4)

# Meta gives up on a notification after 36 hours (FACTS section 3), so a stamp far older than that is not when it
# happened: dashboard samples, documentation bodies and replays carry such stamps. See docs/adr/0009-whose-clock.md.
BELIEVED_AGE = timedelta(days=30)
BELIEVED_AHEAD = timedelta(minutes=5)

# What counts as the person writing to us. A comment does not, nor does opening a thread by a link.
OPENS_WINDOW = frozenset({Kind.MESSAGE, Kind.QUICK_REPLY, Kind.POSTBACK, Kind.STORY_REPLY, Kind.STORY_MENTION})

COMMENTS = frozenset({Kind.COMMENT, Kind.LIVE_COMMENT})


def happened_at(event: Event, received_at: datetime) -> datetime:
    """When the event happened: Meta's stamp where it can be believed, otherwise when we received it."""
    if event.at_ms is None:
        return received_at
    try:
        stamp = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return received_at
    believable = received_at - BELIEVED_AGE <= stamp <= received_at + BELIEVED_AHEAD
    return stamp if believable else received_at


def closes_at(kind: str, event_kind: Kind, happened: datetime, last_inbound_at: datetime | None) -> datetime | None:
    """When the window for a delivery of this kind (`dm`, `private_reply`, `public_reply`) closes.

    None: it is closed because the person never wrote to us.
    """
    if kind == "dm":
        if event_kind in OPENS_WINDOW:
            return max(happened, last_inbound_at or happened) + MESSAGE_WINDOW
        return last_inbound_at + MESSAGE_WINDOW if last_inbound_at else None
    # A public reply has no window of Meta's; one that comes a week late helps nobody.
    return happened + (LIVE_WINDOW if event_kind is Kind.LIVE_COMMENT else PRIVATE_REPLY_WINDOW)


def last_answer_at(event_kind: Kind, happened: datetime) -> datetime | None:
    """From when on nothing can be sent in answer to the event; None when that depends on what the person wrote else."""
    kind = "private_reply" if event_kind in COMMENTS else "dm"
    return closes_at(kind, event_kind, happened, None)


def closed_reason(kind: str, closes: datetime | None) -> str:
    """Why nothing may be sent any more, for the person who asks."""
    if closes is None:
        return "This person has never written to the account, so Meta allows no direct message (24-hour window)."
    what = {"dm": "24-hour window", "private_reply": "window for a private reply"}.get(kind, "time for a public reply")
    return f"The {what} closed at {closes:%Y-%m-%d %H:%M} UTC."
