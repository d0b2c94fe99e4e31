"""What Meta's usage headers say: how much of a limit is used up, and when calls are let through again.

FACTS section 7: percentages of a rolling hour, minutes until access is regained; sent "once enough calls have been
made". Read as text, since Meta's own sample repeats a key of the JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

BUSINESS_HEADER = "X-Business-Use-Case-Usage"
APP_HEADER = "X-App-Usage"

MAX_STATED_WAIT_SECONDS = 24 * 3600.0

OBJECT = re.compile(r"\{[^{}]*\}")
TYPE = re.compile(r'"type"\s*:\s*"([^"]*)"')
PERCENT = re.compile(r'"(?:call_count|total_time|total_cputime)"\s*:\s*"?(\d{1,6})')
REGAIN_MINUTES = re.compile(r'"estimated_time_to_regain_access"\s*:\s*"?(\d{1,6})')

# Limits of the same business that sending does not use.
OTHER_TYPES = frozenset({"ads_insights", "ads_management", "custom_audience", "leadgen"})


@dataclass(frozen=True, slots=True)
class Usage:
    """percent: of the limit that is nearest. wait_seconds: until calls are let through again, None when not stated."""

    percent: int
    wait_seconds: float | None


def read(text: str) -> Usage:
    """What the headers say about sending; `text` may hold several of them."""
    ours = [found for found in OBJECT.findall(text) if not OTHER_TYPES.intersection(TYPE.findall(found))]
    return Usage(max((int(percent) for found in ours for percent in PERCENT.findall(found)), default=0), _wait(ours))


def stated_wait(text: str) -> float | None:
    """Seconds until Meta lets calls through again; None when it states none."""
    return _wait([text])


def _wait(texts: Iterable[str]) -> float | None:
    seconds = (60.0 * int(minutes) for text in texts for minutes in REGAIN_MINUTES.findall(text))
    return min(max(seconds, default=0.0), MAX_STATED_WAIT_SECONDS) or None
