"""What an event is to the rules, and what a rule that answers it would send: nothing is asked, written or sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from automations.events import Comment, Event, Kind
from automations.matching import Rule, Subject
from automations.models import Automation
from automations.replies import Call, Refused, Target, plan

# A kind that is not in it is answered by no rule.
TRIGGERS: dict[Kind, Automation.Trigger] = {
    Kind.MESSAGE: Automation.Trigger.DM,
    Kind.QUICK_REPLY: Automation.Trigger.PAYLOAD,
    Kind.POSTBACK: Automation.Trigger.PAYLOAD,
    Kind.REFERRAL: Automation.Trigger.REFERRAL,
    Kind.STORY_REPLY: Automation.Trigger.STORY_REPLY,
    Kind.STORY_MENTION: Automation.Trigger.STORY_MENTION,
    Kind.COMMENT: Automation.Trigger.COMMENT,
    Kind.LIVE_COMMENT: Automation.Trigger.LIVE_COMMENT,
}


def subject(event: Event) -> Subject:
    """The event as rules see it."""
    media = (getattr(event, "media_id", ""), getattr(event, "original_media_id", ""))
    return Subject(
        text=getattr(event, "text", ""),
        payload=getattr(event, "payload", ""),
        media_ids=frozenset(filter(None, media)),
    )


def is_own(event: Event, username: str) -> bool:
    """Whether it is a comment of the account's own, which no rule answers. username: the account's."""
    return isinstance(event, Comment) and bool(event.username) and event.username == username


def calls(event: Event, rule: Rule, account: str, username: str) -> list[Call | Refused]:
    """What the rule sends for the event, step by step. account, username: the account's id and name."""
    comment_id = event.source_id if isinstance(event, Comment) else ""
    target = Target(
        account=account,
        person=event.person,
        comment_id=comment_id,
        # Meta attaches an answer to a reply to its top-level comment, and refuses one posted to the reply itself.
        reply_under=(event.parent_id or comment_id) if isinstance(event, Comment) else "",
    )
    variables = {
        "username": getattr(event, "username", ""),
        "text": getattr(event, "text", ""),
        "payload": getattr(event, "payload", ""),
        "account": username,
    }
    return plan(rule.actions, target, variables, partial(_variant, event))


def _variant(event: Event, texts: Sequence[str]) -> str:
    """The same event always gets the same one: a later attempt must not become another message."""
    return texts[0] if len(texts) == 1 else texts[int(event.key[:8], 16) % len(texts)]
