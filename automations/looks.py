"""The trace of a decision: each rule that was looked at, as `GET /api/events/{key}` shows it (CONTRACT section 3).

JSON-safe, storable in any of our databases, and bounded, whatever people wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from automations.texts import cut, storable

MAX_KEYWORDS_SHOWN = 20
MAX_CHARACTERS_SHOWN = 200


class Failed(TypedDict):
    """Why a rule does not answer: the first condition that failed, what it asked for, and what came.

    condition: post, keyword or payload; outranked for a rule that matches, with the winner's name as `expected` and
    its own rank as `seen`; not_listed for the entry that stands for the rules beyond the limit.
    """

    condition: str
    expected: str | list[str]
    seen: str


class Look(TypedDict):
    """One rule. `matched` is true for the one that answers, and only there `failed` is None."""

    automation: str
    name: str
    matched: bool
    failed: Failed | None


def rest(count: int) -> Look:
    """The last entry, for the rules that are not listed."""
    failed: Failed = {"condition": "not_listed", "expected": "", "seen": ""}
    return {"automation": "", "name": f"and {count} more rules", "matched": False, "failed": failed}


def shown(text: str) -> str:
    return storable(cut(text, MAX_CHARACTERS_SHOWN))


def shown_keywords(keywords: Sequence[str]) -> list[str]:
    shown_ones = [shown(keyword) for keyword in keywords[:MAX_KEYWORDS_SHOWN]]
    if len(keywords) > MAX_KEYWORDS_SHOWN:
        shown_ones.append(f"… and {len(keywords) - MAX_KEYWORDS_SHOWN} more")
    return shown_ones
