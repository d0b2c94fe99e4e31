"""What happened on Instagram, as frozen values. The edge translates Meta's words into these; nothing below sees JSON.

Four families: an `Event` may be answered by an automation; an `Echo` tells that the account sent a message; a `Notice`
is recognised and never answered; an `Unknown` is what nobody here can read, counted and kept. Every id is a string.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar


class Kind(enum.StrEnum):
    """The kinds that may be answered. Stored, shown and sent over the API by these names."""

    MESSAGE = "message"
    QUICK_REPLY = "quick_reply"
    POSTBACK = "postback"
    REFERRAL = "referral"
    STORY_REPLY = "story_reply"
    STORY_MENTION = "story_mention"
    MENTION = "mention"
    COMMENT = "comment"
    LIVE_COMMENT = "live_comment"


class NoticeKind(enum.StrEnum):
    """What is recognised for what it is and never answered."""

    ECHO = "echo"
    OWN_COMMENT = "own_comment"
    STANDBY = "standby"
    READ = "read"
    REACTION = "reaction"
    EDIT = "edit"
    DELETION = "deletion"
    UNSUPPORTED = "unsupported"
    TEST_EVENT = "test_event"
    OPTIN = "optin"
    HANDOVER = "handover"
    POLICY = "policy"
    STORY_INSIGHTS = "story_insights"
    CHANGED_FIELDS = "changed_fields"


@lru_cache(maxsize=4096)  # asked for several times while an event is under way
def _key(account: str, kind: str, source_id: str) -> str:
    return hashlib.blake2b(f"{account}\n{kind}\n{source_id}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a person did that an automation may answer.

    account: the professional account's id (`entry.id`). person: the Instagram-scoped id of who did it, "" where Meta
    withholds it. source_id: Meta's message id or comment id (for a referral or mention, which have none, a value made
    of their own fields). at_ms: Meta's own stamp in milliseconds, None when it gave none: for messages the time of
    the event, for comments `entry.time`, the time of sending.
    """

    kind: ClassVar[Kind]

    account: str
    person: str
    source_id: str
    at_ms: int | None

    @property
    def key(self) -> str:
        """The event's identity: the same for every delivery of it, whatever the batch, tier or `entry.time`."""
        return _key(self.account, self.kind.value, self.source_id)

    def as_payload(self) -> dict[str, Any]:
        """JSON-safe; `from_payload` turns it back into the same value."""
        # Not `asdict`, which copies every value: this runs for each webhook.
        cls = type(self)
        return {"kind": cls.kind.value, **dict(zip(FIELD_NAMES[cls], FIELDS_OF[cls](self), strict=True))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Event):
    """A direct message; `text` is "" when it has only attachments (their types, such as `image` or `ig_post`)."""

    kind: ClassVar[Kind] = Kind.MESSAGE

    text: str = ""
    attachments: tuple[str, ...] = ()
    reply_to_mid: str = ""
    referral_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickReply(Event):
    """A quick reply was tapped: `text` is the button's title."""

    kind: ClassVar[Kind] = Kind.QUICK_REPLY

    text: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postback(Event):
    """An ice breaker, persistent-menu entry or template button was tapped."""

    kind: ClassVar[Kind] = Kind.POSTBACK

    text: str = ""
    payload: str = ""
    referral_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral(Event):
    """An ig.me link or advert opened an existing thread; `payload` is Meta's `ref`."""

    kind: ClassVar[Kind] = Kind.REFERRAL

    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryReply(Event):
    """A message in answer to one of the account's stories."""

    kind: ClassVar[Kind] = Kind.STORY_REPLY

    text: str = ""
    media_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryMention(Event):
    """A person mentioned the account in their story. The media may not be stored (Meta, Story Mention)."""

    kind: ClassVar[Kind] = Kind.STORY_MENTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention(Event):
    """The account was mentioned in a caption (`comment_id` "") or a comment on somebody else's media: ids only."""

    kind: ClassVar[Kind] = Kind.MENTION

    media_id: str = ""
    comment_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Event):
    """A comment under one of the account's posts. `parent_id` is "" for a top-level comment.

    `original_media_id` is the post behind an advert (`media_id` is then the advert's own).
    """

    kind: ClassVar[Kind] = Kind.COMMENT

    text: str = ""
    username: str = ""
    media_id: str = ""
    original_media_id: str = ""
    media_product_type: str = ""
    parent_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveComment(Comment):
    """A comment on a running live video."""

    kind: ClassVar[Kind] = Kind.LIVE_COMMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """A message that the account sent, through us or by hand: to `person`, under Meta's message id `source_id`.

    It is never answered. It tells of a call whose outcome is unknown that the message was sent.
    """

    account: str
    person: str
    source_id: str
    at_ms: int
    text: str

    @property
    def key(self) -> str:
        """Its identity, the same for every delivery of it."""
        return _key(self.account, NoticeKind.ECHO.value, self.source_id)

    @property
    def words_key(self) -> str:
        """What it has in common with the message that it may be of."""
        return words_key(self.account, self.person, self.text)

    @property
    def note(self) -> str:
        """What must be kept of it besides its `words_key`."""
        return f"{self.at_ms} {self.source_id}"

    def as_payload(self) -> dict[str, Any]:
        """JSON-safe; `echo_from_payload` turns it back into the same value."""
        return {
            "kind": NoticeKind.ECHO.value,
            "account": self.account,
            "person": self.person,
            "source_id": self.source_id,
            "at_ms": self.at_ms,
            "text": self.text,
        }


def words_key(account: str, person: str, text: str) -> str:
    """One key for one text of an account to a person. Instagram trims what it shows."""
    return hashlib.blake2b(f"{account}\n{person}\n{text.strip()}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Notice:
    """Recognised and never answered."""

    kind: NoticeKind


@dataclass(frozen=True, slots=True)
class Unknown:
    """Unreadable or not known yet: `reason` says where and what, `raw` is the part of the body as it came."""

    reason: str
    raw: bytes


EVENT_TYPES: dict[str, type[Event]] = {
    cls.kind.value: cls
    for cls in (Message, QuickReply, Postback, Referral, StoryReply, StoryMention, Mention, Comment, LiveComment)
}

FIELD_NAMES = {cls: tuple(field.name for field in fields(cls)) for cls in EVENT_TYPES.values()}
FIELDS_OF = {cls: attrgetter(*names) for cls, names in FIELD_NAMES.items()}


def from_payload(payload: dict[str, Any]) -> Event:
    """The event that `as_payload` wrote. Raises KeyError or TypeError on anything else."""
    values = dict(payload)
    cls = EVENT_TYPES[values.pop("kind")]
    if "attachments" in values:
        values["attachments"] = tuple(values["attachments"])
    return cls(**values)


def echo_from_payload(payload: dict[str, Any]) -> Echo:
    """The echo that `as_payload` wrote. Raises TypeError on anything else."""
    return Echo(**{name: value for name, value in payload.items() if name != "kind"})
