"""One element of `changes[]`, or an entry of the flat form, into one event or notice (FACTS section 4b)."""

from __future__ import annotations

from typing import Any

from automations.events import Comment, LiveComment, Mention, Notice, NoticeKind
from webhooks.messaging import TEST_ACCOUNT, TEST_EVENT, Item, read_messaging
from webhooks.untrusted import identifier, mapping, text, unknown

OWN_COMMENT = Notice(NoticeKind.OWN_COMMENT)
STORY_INSIGHTS = Notice(NoticeKind.STORY_INSIGHTS)

COMMENTS: dict[str, type[Comment]] = {"comments": Comment, "live_comments": LiveComment}
# Fields whose value is an element of `messaging[]`. Meta's pages differ in the names.
MESSAGING_FIELDS = frozenset(
    {
        "messages",
        "message_echoes",
        "message_edit",
        "message_edits",
        "message_reactions",
        "messaging_reactions",
        "messaging_handover",
        "messaging_handovers",
        "messaging_optins",
        "messaging_policy_enforcement",
        "messaging_postbacks",
        "messaging_referral",
        "messaging_referrals",
        "messaging_seen",
        "standby",
    }
)


def read_change(account: str, at_ms: int | None, change: dict[str, Any]) -> Item:
    """The change (an object with `field` and `value`) as one item.

    `account` is `entry.id`, "" when it has none; `at_ms` is `entry.time`, the only stamp that a comment has.
    """
    field = text(change.get("field"))
    value = change.get("value")
    if account == TEST_ACCOUNT:
        return TEST_EVENT
    if field in MESSAGING_FIELDS:
        return read_messaging(account, value, standby=field == "standby")
    if field == "story_insights":
        return STORY_INSIGHTS
    if type(value) is not dict:
        return unknown(f"{field[:100] or 'change'}: its value is not an object", change)
    if field in COMMENTS:
        return _comment(COMMENTS[field], account, at_ms, value)
    if field == "mentions":
        return _mention(account, at_ms, value)
    return unknown(f"change: cannot read field {field[:100]!r}", change)


def _comment(cls: type[Comment], account: str, at_ms: int | None, value: dict[str, Any]) -> Item:
    sender = mapping(value.get("from"))
    person = identifier(sender.get("id"))
    if "self_ig_scoped_id" in sender or (person and person == account):
        return OWN_COMMENT
    comment_id = identifier(value.get("id")) or identifier(value.get("comment_id"))
    if not (account and comment_id):
        return unknown("comment: no usable " + ("comment id" if account else "account id"), value)
    media = mapping(value.get("media"))
    media_id = identifier(media.get("id"))
    parent_id = identifier(value.get("parent_id"))
    return cls(
        account=account,
        person=person,  # "" where Meta withholds `from`: a private reply needs only the comment's id
        source_id=comment_id,
        at_ms=at_ms,
        text=text(value.get("text")),
        username=text(sender.get("username")),
        media_id=media_id,
        original_media_id=identifier(media.get("original_media_id")),
        media_product_type=text(media.get("media_product_type")),
        parent_id="" if parent_id in (media_id, comment_id) else parent_id,
    )


def _mention(account: str, at_ms: int | None, value: dict[str, Any]) -> Item:
    media_id = identifier(value.get("media_id"))
    comment_id = identifier(value.get("comment_id"))
    if not (account and (media_id or comment_id)):
        return unknown("mention: no usable " + ("media or comment id" if account else "account id"), value)
    return Mention(
        account=account,
        person="",
        source_id=comment_id or media_id,
        at_ms=at_ms,
        media_id=media_id,
        comment_id=comment_id,
    )
