"""From actions to calls: exactly the requests of FACTS section 5, ready to be recorded and then sent.

Planning is a pure function: the same actions, target, variables and choice give the same calls under the same step
numbers, so that a retry finds the deliveries of the attempt before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from automations.action_json import parse_action
from automations.actions import (
    MAX_COMMENT_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    MAX_TEXT_BYTES,
    Action,
    ActionError,
    Button,
    DirectMessage,
    PrivateReply,
    PublicReply,
    UrlButton,
)
from automations.placeholders import VARIABLES, render, render_url
from automations.texts import split_text

__all__ = [
    "VARIABLES",
    "Action",
    "ActionError",
    "Call",
    "DirectMessage",
    "PrivateReply",
    "PublicReply",
    "Refused",
    "Target",
    "parse_action",
    "plan",
    "render",
    "split_text",
]

Kind = Literal["dm", "private_reply", "public_reply"]
Choose = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where answers go; "" is what there is none of.

    account: the Instagram user id that sends. reply_under: the comment that a public reply goes under: the parent of
    a reply to a comment, otherwise the comment itself (Meta takes replies to top-level comments only).
    """

    account: str
    person: str = ""
    comment_id: str = ""
    reply_under: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A POST to `path` under the Graph API's version. step counts from 1 through everything an automation sends."""

    step: int
    kind: Kind
    recipient: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be sent, and why, in words for the account's owner. Nothing was cut to make it fit."""

    step: int
    kind: Kind
    recipient: str
    reason: str


def plan(
    actions: Sequence[Action], target: Target, variables: Mapping[str, str], choose: Choose
) -> list[Call | Refused]:
    """The calls that the actions ask for, in their order.

    `choose` picks one of a public reply's variants; it must pick the same one when the same event is tried again.
    A direct message over 1000 bytes becomes several, quick replies and buttons under the last; a private reply is one
    message or refused.
    """
    planned: list[Call | Refused] = []
    for action in actions:
        step = len(planned) + 1
        match action:
            case DirectMessage():
                planned += _direct_messages(step, action, target, variables)
            case PrivateReply():
                planned.append(_private_reply(step, action, target, variables))
            case PublicReply():
                planned.append(_public_reply(step, choose(action.texts), target, variables))
    return planned


def _direct_messages(
    step: int, action: DirectMessage, target: Target, variables: Mapping[str, str]
) -> Sequence[Call | Refused]:
    if not target.person:
        return [
            Refused(step, "dm", "", "Meta withheld who wrote this, so there is nobody to send a direct message to.")
        ]
    text = render(action.text, variables)
    if not text.strip():
        return [Refused(step, "dm", target.person, _EMPTY)]
    is_long_for_buttons = bool(action.buttons) and len(text) > MAX_TEMPLATE_CHARACTERS
    try:
        # Bytes are never fewer than characters, so pieces of 640 bytes fit beside buttons.
        *first, last = split_text(text, MAX_TEMPLATE_CHARACTERS if is_long_for_buttons else MAX_TEXT_BYTES)
    except ValueError as error:
        return [Refused(step, "dm", target.person, str(error))]
    messages = [*({"text": piece} for piece in first), _message(last, action.buttons, variables)]
    if action.quick_replies:
        messages[-1]["quick_replies"] = [
            {"content_type": "text", "title": reply.title, "payload": reply.payload} for reply in action.quick_replies
        ]
    recipient = {"id": target.person}
    path = _messages_path(target)
    return [
        Call(number, "dm", target.person, path, {"recipient": recipient, "message": message})
        for number, message in enumerate(messages, start=step)
    ]


def _private_reply(step: int, action: PrivateReply, target: Target, variables: Mapping[str, str]) -> Call | Refused:
    if not target.comment_id:
        return Refused(
            step, "private_reply", "", "There is no comment to answer: use a direct message for this trigger."
        )
    text = render(action.text, variables)
    reason = _unfit(text, has_buttons=bool(action.buttons))
    if reason:
        return Refused(step, "private_reply", target.comment_id, reason)
    body = {
        "recipient": {"comment_id": target.comment_id},
        "message": _message(text, action.buttons, variables),
    }
    return Call(step, "private_reply", target.comment_id, _messages_path(target), body)


def _public_reply(step: int, template: str, target: Target, variables: Mapping[str, str]) -> Call | Refused:
    if not target.reply_under:
        return Refused(step, "public_reply", "", "There is no comment to reply to: this trigger has no public replies.")
    text = render(template, variables)
    if not text.strip():
        return Refused(step, "public_reply", target.reply_under, _EMPTY)
    if len(text) > MAX_COMMENT_CHARACTERS:
        return Refused(
            step, "public_reply", target.reply_under, _too_long(len(text), "characters", MAX_COMMENT_CHARACTERS)
        )
    return Call(step, "public_reply", target.reply_under, f"{_quoted(target.reply_under)}/replies", {"message": text})


def _unfit(text: str, *, has_buttons: bool) -> str:
    """Why the text cannot be one message; "" when it can."""
    size = len(text) if text.isascii() else len(text.encode())
    if not text.strip():
        return _EMPTY
    if size > MAX_TEXT_BYTES:
        return _too_long(size, "bytes", MAX_TEXT_BYTES)
    if has_buttons and len(text) > MAX_TEMPLATE_CHARACTERS:
        return _too_long(len(text), "characters", MAX_TEMPLATE_CHARACTERS)
    return ""


_EMPTY = "With its variables filled in, the text is empty: give them fallbacks, such as {{username|there}}."


def _too_long(size: int, unit: str, most: int) -> str:
    return f"With its variables filled in, the text has {size} {unit}; Instagram takes at most {most}. Shorten it."


def _messages_path(target: Target) -> str:
    return f"{_quoted(target.account)}/messages"


def _quoted(some_id: str) -> str:
    """Meta's ids are digits, which need no quoting; whatever else comes cannot change the path."""
    return some_id if some_id.isascii() and some_id.isalnum() else quote(some_id, safe="")


def _message(text: str, buttons: Sequence[Button], variables: Mapping[str, str]) -> dict[str, Any]:
    if not buttons:
        return {"text": text}
    payload = {
        "template_type": "button",
        "text": text,
        "buttons": [_button(button, variables) for button in buttons],
    }
    return {"attachment": {"type": "template", "payload": payload}}


def _button(button: Button, variables: Mapping[str, str]) -> dict[str, str]:
    if isinstance(button, UrlButton):
        return {"type": "web_url", "title": button.title, "url": render_url(button.url, variables)}
    return {"type": "postback", "title": button.title, "payload": button.payload}
