"""The trace of a decision: each rule that was looked at, as `GET /api/events/{key}` shows it (CONTRACT section 3).

JSON-safe, storable in any of our databases, and bounded, whatever people wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from automations.texts import cut, storable
from queueops.privacy import HIDDEN

MAX_KEYWORDS_SHOWN = 20
MAX_CHARACTERS_SHOWN = 200
# Shared pairs of letters, of all there are, from which on a word may be a misspelt keyword.
ALIKE = 0.4


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


def nearest(looks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The rule that came closest to answering, None when no rule was looked at.

    That is the one with a keyword most like a word that was written, else the first for this very post or any.
    """
    failed = [look for look in looks if look.get("failed") and look["failed"].get("condition") != "not_listed"]
    by_words = [look for look in failed if look["failed"]["condition"] in ("keyword", "payload")]
    return max(by_words, key=_likeness) if by_words else next(iter(failed), None)


def in_words(failed: Mapping[str, Any]) -> str:
    """The first condition that failed, as part of a sentence: `keyword expected link, price; seen “nice pic”`."""
    condition, expected, seen = failed.get("condition", ""), failed.get("expected", ""), failed.get("seen", "")
    if condition == "outranked":
        return f"it matches as well, and {expected} comes before it (this one: {seen})"
    if condition == "not_listed":
        return "not listed"
    listed = ", ".join(map(str, expected)) if isinstance(expected, list) else str(expected)
    found = f"“{seen}”" if seen and seen != HIDDEN else seen or "nothing"
    return f"{condition} expected {listed or 'nothing'}; seen {found}"


def _likeness(look: Mapping[str, Any]) -> float:
    failed = look["failed"]
    seen, expected = failed.get("seen", ""), failed.get("expected", "")
    if seen == HIDDEN:
        return 0.0
    written = [_pairs(word) for word in seen.split()]
    keywords = [_pairs(keyword) for keyword in (expected if isinstance(expected, list) else [expected])]
    shares = (2 * len(one & other) / (len(one) + len(other)) for one in keywords for other in written if one or other)
    best = max(shares, default=0.0)
    return best if best >= ALIKE else 0.0


def _pairs(word: str) -> set[str]:
    folded = f" {word.casefold().strip('.,;:!?#@')} "
    return {folded[at : at + 2] for at in range(len(folded) - 1)}
