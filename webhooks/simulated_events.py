"""One made-up event in Meta's form (FACTS section 4), and what is in it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from zlib import crc32

from automations.events import Kind, NoticeKind

PEOPLE_PER_ACCOUNT = 2000
MEDIA_PER_ACCOUNT = 20

# Half of these hold one keyword of the demo rules as a whole word; some of the others hold it within a word.
DM_TEXTS = (
    "hello",
    "Hi!",
    "HELLO \U0001f44b",
    "What is the PRICE?",
    "link please \U0001f525",
    "Could you send me the link, gracias",
    "äöå, price?",
    "عايز link",
    "thanks, that was quick",
    "Do you deliver to São Paulo?",
    "this is high quality \U0001f60d",
    "your shop is linked in my bio",
    "привет",
    "今日は開いていますか",
    "\U0001f44d\U0001f3fd",
    "bit pricey for me",
)
COMMENT_TEXTS = (
    "LINK",
    "link please \U0001f64f",
    "Price?",
    "what's the price of the blue one",
    "Link \U0001f525\U0001f525\U0001f525",
    "¿price?",
    "@maria.example look",
    "so beautiful \U0001f60d",
    "blinking lights!",
    "priceless",
    "çok güzel",
    "すごい",
)
STORY_REPLY_TEXTS = ("price", "PRICE please", "the Price?", "wow", "\u2764\ufe0f", "where is this?")
QUICK_REPLIES = (("Yes, send it", "FLOW_42_STEP_2_YES"), ("No thanks", "FLOW_42_STEP_2_NO"))

# The webhook's field, and where the media is.
COMMENTS = {Kind.COMMENT: ("comments", "FEED"), Kind.LIVE_COMMENT: ("live_comments", "LIVE")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an event says. `kind` is the name that `Kind` or `NoticeKind` gives it; `payload` is that of a button."""

    kind: str
    account: str
    person: str
    source_id: str
    text: str = ""
    payload: str = ""
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """`form` is one element of `messaging` or `changes`, as `shape` says."""

    content: Content
    shape: str
    form: dict[str, Any]


def make(random: Random, kind: Kind | NoticeKind, account: str, at_ms: int, person: str = "") -> Made:
    """A new event of this kind on this account; `at_ms` is when it happened, in milliseconds since 1970.

    Without a `person` one of the account's PEOPLE_PER_ACCOUNT.
    """
    person = person or f"7{crc32(account.encode()) % 10**9:09d}{random.randrange(PEOPLE_PER_ACCOUNT):06d}"
    content = Content(kind=kind.value, account=account, person=person, source_id="")
    if kind in COMMENTS:
        return _comment(random, Kind(kind), content)
    return _messaging(random, kind, replace(content, source_id=_mid(random)), at_ms)


def _comment(random: Random, kind: Kind, content: Content) -> Made:
    content = replace(content, source_id=_object_id(random), text=random.choice(COMMENT_TEXTS))
    field, product = COMMENTS[kind]
    media = f"17{crc32(content.account.encode()):010d}{random.randrange(MEDIA_PER_ACCOUNT):05d}"
    value = {
        "from": {"id": content.person, "username": f"person{content.person[-4:]}.example"},
        "media": {"id": media, "media_product_type": product},
        "id": content.source_id,
        "text": content.text,
    }
    return Made(content, "changes", {"field": field, "value": value})


def _messaging(random: Random, kind: Kind | NoticeKind, content: Content, at_ms: int) -> Made:
    sender, recipient = content.person, content.account
    if kind is NoticeKind.ECHO:
        sender, recipient = recipient, sender
    form: dict[str, Any] = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": at_ms}
    if kind is NoticeKind.READ:
        form["read"] = {"mid": content.source_id}
    elif kind is NoticeKind.REACTION:
        form["reaction"] = {"mid": content.source_id, "action": "react", "reaction": "love", "emoji": "\u2764\ufe0f"}
    elif kind is Kind.POSTBACK:
        title, payload = random.choice(QUICK_REPLIES)
        content = replace(content, text=title, payload=payload)
        form["postback"] = {"mid": content.source_id, "title": title, "payload": payload}
    else:
        content, form["message"] = _message(random, kind, content)
    return Made(content, "messaging", form)


def _message(random: Random, kind: Kind | NoticeKind, content: Content) -> tuple[Content, dict[str, Any]]:
    """The content with its words, and the form's `message`."""
    message: dict[str, Any] = {"mid": content.source_id}
    text, payload = random.choice(DM_TEXTS), ""
    story = _object_id(random)
    url = f"https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id={story}&signature=EXAMPLE"
    if kind is Kind.STORY_MENTION:
        return content, message | {"attachments": [{"type": "story_mention", "payload": {"url": url}}]}
    if kind is NoticeKind.ECHO:
        # A keyword in it, as in our own answers: it must not be answered again.
        text = "Here is your link: https://example.com/offer"
        message["is_echo"] = True
    elif kind is Kind.STORY_REPLY:
        text = random.choice(STORY_REPLY_TEXTS)
        message["reply_to"] = {"story": {"url": url, "id": story}}
    elif kind is Kind.QUICK_REPLY:
        text, payload = random.choice(QUICK_REPLIES)
        message["quick_reply"] = {"payload": payload}
    return replace(content, text=text, payload=payload), message | {"text": text}


def _mid(random: Random) -> str:
    """160 characters, about as long as Meta's."""
    middle = base64.b64encode(random.randbytes(87), altchars=b"ZA").decode()
    return f"aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx{middle}ZD"


def _object_id(random: Random) -> str:
    return f"18{random.randrange(10**15):015d}"
