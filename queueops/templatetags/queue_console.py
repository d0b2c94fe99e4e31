"""Filters for the console's pages: numbers, durations and JSON as people read them. None is a dash: not known."""

from __future__ import annotations

import json
from typing import Any

from django import template

register = template.Library()

UNKNOWN = "-"


@register.filter
def number(value: float | None) -> str:
    """12345.6 → 12,345.6; whole numbers without a point."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


@register.filter
def milliseconds(value: float | None) -> str:
    """0.42 → 0.42 ms; 1234 → 1.2 s."""
    if value is None:
        return UNKNOWN
    if value >= 1000:
        return duration(value / 1000)
    return f"{value:.3g} ms"


@register.filter
def duration(seconds: float | None) -> str:
    """75 → 1 min 15 s; 4.2 → 4.2 s."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def megabytes(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 1_048_576:,.1f} MB"


@register.filter
def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.1f} %"


@register.filter
def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def words(name: str) -> str:
    """no_match → no match."""
    return str(name).replace("_", " ")


@register.filter
def rate(value: float | str | None) -> str:
    """A number a minute: 0.4 → 0.4; 12.3 → 12. Django's "" of a missing value, too, is not known."""
    if value is None or value == "":
        return UNKNOWN
    return number(round(float(value), 1 if float(value) < 10 else None))


@register.filter
def at(values: list[Any], place: int) -> Any:
    """The value at that place, from 0."""
    return values[place]
