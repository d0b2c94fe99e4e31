"""Which lane an event waits in: who writes directly is served before who comments (docs/architecture.md)."""

from __future__ import annotations

from automations.events import Kind
from queueops.jobs import Lane

LANES: dict[Kind, Lane] = {
    Kind.MESSAGE: Lane.HIGH,
    Kind.QUICK_REPLY: Lane.HIGH,
    Kind.POSTBACK: Lane.HIGH,
    Kind.REFERRAL: Lane.HIGH,
    Kind.STORY_REPLY: Lane.DEFAULT,
    Kind.STORY_MENTION: Lane.DEFAULT,
    Kind.MENTION: Lane.DEFAULT,
    Kind.COMMENT: Lane.LOW,
    Kind.LIVE_COMMENT: Lane.LOW,
}


def lane(kind: Kind) -> Lane:
    """The lane of this kind."""
    return LANES[kind]
