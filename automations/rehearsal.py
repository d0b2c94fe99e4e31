"""What an automation would do with a text, among its neighbours: the real rules and the real plan, and nothing sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from automations.events import EVENT_TYPES, FIELD_NAMES, Event, Kind
from automations.looks import Look
from automations.lookups import RULE_FIELDS, rules_from
from automations.matching import RuleSet
from automations.models import Automation
from automations.planning import TRIGGERS, calls, subject
from automations.replies import Call, Refused

KINDS: dict[str, list[Kind]] = {
    trigger.value: [kind for kind, answered_by in TRIGGERS.items() if answered_by == trigger]
    for trigger in Automation.Trigger
}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """looks: each rule, the one that answers first. wins: whether that is this automation. sends: by the winner."""

    winner: str
    wins: bool
    looks: list[Look]
    sends: list[str]


def rules_with(draft: Automation) -> RuleSet:
    """The account's active rules for the draft's trigger, and the draft in its place, active or not. One query."""
    others = Automation.objects.filter(account=draft.account_id, trigger=draft.trigger, is_active=True)
    rows: list[Any] = list(others.exclude(pk=draft.pk).order_by("id").values_list(*RULE_FIELDS))
    rows.append([getattr(draft, name) for name in RULE_FIELDS])
    return rules_from(json.dumps(rows, default=str).encode())


def imagined(draft: Automation, kind: Kind, text: str, post: str) -> Event:
    """An event as if somebody had written this; for buttons and links the text is the payload."""
    event_type = EVENT_TYPES[kind]
    said = {"text": text, "payload": text, "media_id": post, "username": "maria.example"}
    known = {name: value for name, value in said.items() if name in FIELD_NAMES[event_type]}
    return event_type(account=draft.account.instagram_id, person="1", source_id="1", at_ms=None, **known)


def rehearse(automation: Automation, kind: Kind, text: str, post: str = "") -> Rehearsal:
    """Which of the account's rules would answer this text, and why each other would not.

    kind: one of KINDS of the automation's trigger. post: a post's or story's id, "" for one that no rule names.
    """
    event = imagined(automation, kind, text, post)
    decision = rules_with(automation).decide(subject(event))
    rule = decision.rule
    account = automation.account
    return Rehearsal(
        winner=rule.name if rule else "",
        wins=rule is not None and rule.id == str(automation.pk),
        looks=decision.looks,
        sends=in_words(calls(event, rule, account.instagram_id, account.username)) if rule else [],
    )


def in_words(planned: Sequence[Call | Refused]) -> list[str]:
    """What each step would say, or why it could not go."""
    return [
        f"{_kind(step)}: “{_text(step.body)}”" if isinstance(step, Call) else f"{_kind(step)} cannot go: {step.reason}"
        for step in planned
    ]


def _kind(step: Call | Refused) -> str:
    return step.kind.replace("_", " ").replace("dm", "direct message").capitalize()


def _text(body: dict[str, Any]) -> str:
    message = body.get("message", "")
    if isinstance(message, str):
        return message
    return str(message.get("text") or message.get("attachment", {}).get("payload", {}).get("text", ""))
