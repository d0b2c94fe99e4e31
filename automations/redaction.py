"""What of a decision's trace people wrote, taken out for those who may not see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from queueops.privacy import HIDDEN, without_quotes

# Conditions whose `seen` is an id, a button's payload that we wrote, or a rank. Whatever comes new is hidden at first.
NOT_WRITTEN_BY_PEOPLE = frozenset({"post", "payload", "outranked", "not_listed"})


def hidden_text(trace: dict[str, Any]) -> dict[str, Any]:
    """What takes the place of people's words in `GET /api/events/{key}`."""
    return {
        "rules": without_text(trace["rules"]),
        "reason": trace["reason"] and without_quotes(trace["reason"]),
        "attempts": attempts_without_quotes(trace["attempts"]),
    }


def without_text(looks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules looked at (`looks.Look`), with what was seen replaced where it is what somebody wrote."""
    return [_without_text(look) for look in looks]


def attempts_without_quotes(attempts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The failed attempts (`records.note_failure`), without what their errors may quote."""
    return [{**attempt, "result": without_quotes(str(attempt.get("result", "")))} for attempt in attempts]


def _without_text(look: dict[str, Any]) -> dict[str, Any]:
    failed = look.get("failed")
    if not failed or not failed.get("seen") or failed.get("condition") in NOT_WRITTEN_BY_PEOPLE:
        return look
    return {**look, "failed": {**failed, "seen": HIDDEN}}
