"""One element of `messaging[]` or `standby[]` into one event or notice (FACTS section 4a)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automations.events import (
    Echo,
    Event,
    Message,
    Notice,
    NoticeKind,
    Postback,
    QuickReply,
    Referral,
    StoryMention,
    StoryReply,
    Unknown,
)
from webhooks.untrusted import MESSAGE_ID_LENGTH, identifier, mapping, milliseconds, names, text, unknown

Item = Event | Echo | Notice | Unknown
Reader = Callable[[str, str, dict[str, Any], dict[str, Any]], Item]

ENVELOPE = frozenset({"sender", "recipient", "timestamp"})
# What the App Dashboard's "Test" button sends.
TEST_ACCOUNT = "0"
TEST_PARTIES = ("12334", "23245")
REF_LENGTH = 200

ECHO = Notice(NoticeKind.ECHO)
STANDBY = Notice(NoticeKind.STANDBY)
TEST_EVENT = Notice(NoticeKind.TEST_EVENT)

NOTICES = {
    "reaction": Notice(NoticeKind.REACTION),
    "read": Notice(NoticeKind.READ),
    "message_edit": Notice(NoticeKind.EDIT),
    "optin": Notice(NoticeKind.OPTIN),
    "pass_thread_control": Notice(NoticeKind.HANDOVER),
    "take_thread_control": Notice(NoticeKind.HANDOVER),
    "request_thread_control": Notice(NoticeKind.HANDOVER),
    "app_roles": Notice(NoticeKind.HANDOVER),
    "policy_enforcement": Notice(NoticeKind.POLICY),
}
# Flags of a message that make it a notice. An unsent message of the account's own is an echo first, with nothing in it.
FLAGS = {
    "is_echo": ECHO,
    "is_self": ECHO,
    "is_deleted": Notice(NoticeKind.DELETION),
    "is_unsupported": Notice(NoticeKind.UNSUPPORTED),
}


def read_messaging(account: str, event: Any, *, standby: bool = False) -> Item:
    """The element as one item. `account` is `entry.id`, "" when it has none: the recipient is then the account."""
    if type(event) is not dict:
        return unknown("messaging: not an object", event)
    person = identifier(mapping(event.get("sender")).get("id"))
    recipient = identifier(mapping(event.get("recipient")).get("id"))
    account = account or recipient
    if account == TEST_ACCOUNT or (person, recipient) == TEST_PARTIES:
        return TEST_EVENT
    if standby:
        return STANDBY
    return _read_known(account, person, event)


def _read_known(account: str, person: str, event: dict[str, Any]) -> Item:
    for key, reader in READERS.items():
        if type(event.get(key)) is dict:
            if event.get("is_self") or (person and person == account):
                return _echo(account, event, event[key])
            return reader(account, person, event, event[key])
    for key, notice in NOTICES.items():
        if type(event.get(key)) is dict:
            return notice
    return unknown(f"messaging: cannot read {names(event, ENVELOPE)}", event)


def _echo(account: str, event: dict[str, Any], message: dict[str, Any]) -> Item:
    """What the account itself sent: whom and what, where that can be told; else only that it did."""
    person = identifier(mapping(event.get("recipient")).get("id"))
    mid = identifier(message.get("mid"), MESSAGE_ID_LENGTH)
    at_ms = milliseconds(event.get("timestamp"))
    words = text(message.get("text"))
    if not (account and person and mid and at_ms and words) or person == account or message.get("is_deleted"):
        return ECHO
    return Echo(account=account, person=person, source_id=mid, at_ms=at_ms, text=words)


def _message(account: str, person: str, event: dict[str, Any], message: dict[str, Any]) -> Item:
    for flag, notice in FLAGS.items():
        if message.get(flag):
            return notice
    mid = identifier(message.get("mid"), MESSAGE_ID_LENGTH)
    if not (account and person and mid):
        return unknown("message: " + _missing(account, person), event)
    at_ms = milliseconds(event.get("timestamp"))
    words = text(message.get("text"))
    payload = mapping(message.get("quick_reply")).get("payload")
    if type(payload) is str:
        return QuickReply(account=account, person=person, source_id=mid, at_ms=at_ms, text=words, payload=text(payload))
    reply_to = mapping(message.get("reply_to"))
    story = reply_to.get("story")
    if type(story) is dict:
        media_id = identifier(story.get("id"))
        return StoryReply(account=account, person=person, source_id=mid, at_ms=at_ms, text=words, media_id=media_id)
    attachments = _attachment_types(message.get("attachments"))
    if "story_mention" in attachments:
        return StoryMention(account=account, person=person, source_id=mid, at_ms=at_ms)
    return Message(
        account=account,
        person=person,
        source_id=mid,
        at_ms=at_ms,
        text=words,
        attachments=attachments,
        reply_to_mid=identifier(reply_to.get("mid"), MESSAGE_ID_LENGTH),
        referral_ref=text(mapping(message.get("referral")).get("ref")),
    )


def _attachment_types(attachments: Any) -> tuple[str, ...]:
    if type(attachments) is not list:
        return ()
    return tuple(found for attachment in attachments if (found := text(mapping(attachment).get("type"))))


def _postback(account: str, person: str, event: dict[str, Any], postback: dict[str, Any]) -> Item:
    mid = identifier(postback.get("mid"), MESSAGE_ID_LENGTH)
    if not (account and person and mid):
        return unknown("postback: " + _missing(account, person), event)
    return Postback(
        account=account,
        person=person,
        source_id=mid,
        at_ms=milliseconds(event.get("timestamp")),
        text=text(postback.get("title")),
        payload=text(postback.get("payload")),
        referral_ref=text(mapping(postback.get("referral")).get("ref")),
    )


def _referral(account: str, person: str, event: dict[str, Any], referral: dict[str, Any]) -> Item:
    if not (account and person):
        return unknown("referral: " + _missing(account, person), event)
    at_ms = milliseconds(event.get("timestamp"))
    ref = text(referral.get("ref"))
    return Referral(
        account=account,
        person=person,
        # It has no id of Meta's: who came through which link, and when, tells it from every other.
        source_id=f"{person}:{at_ms}:{ref[:REF_LENGTH]}",
        at_ms=at_ms,
        payload=ref,
    )


def _missing(account: str, person: str) -> str:
    if not account:
        return "no usable account id"
    return "no usable mid" if person else "no usable sender id"


READERS: dict[str, Reader] = {"message": _message, "postback": _postback, "referral": _referral}
