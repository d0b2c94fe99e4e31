"""What an automation sends, as frozen values, and how much of it Meta takes (FACTS section 5)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TEXT_BYTES = 1000
MAX_TEMPLATE_CHARACTERS = 640
MAX_COMMENT_CHARACTERS = 2200
MAX_TITLE_CHARACTERS = 20
MAX_QUICK_REPLIES = 13
MAX_BUTTONS = 3
# Ours, not Meta's: a direct message is split where needed, but a dozen messages in a row help nobody.
MAX_DM_CHARACTERS = 10_000


class ActionError(ValueError):
    """An action that cannot be used; the message names the field and the limit, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class QuickReply:
    title: str
    payload: str


@dataclass(frozen=True, slots=True)
class UrlButton:
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class PostbackButton:
    title: str
    payload: str


Button = UrlButton | PostbackButton


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectMessage:
    """A direct message; `text` is a template. It has quick replies or buttons or neither, never both."""

    text: str
    quick_replies: tuple[QuickReply, ...] = ()
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateReply:
    """The one direct message that a comment may be answered with; `text` is a template."""

    text: str
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicReply:
    """A comment under the comment: one of `texts`, which are templates."""

    texts: tuple[str, ...]


Action = DirectMessage | PrivateReply | PublicReply
