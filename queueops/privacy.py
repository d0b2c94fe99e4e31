"""What people wrote is shown to those who may see it; everybody else sees that there is something, and why not what.

Nor is it found by them: a list says whether a text occurs as surely as a page does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import Q

Row = TypeVar("Row", bound=Any)

SEE_TEXT = "queueops.see_text"
HIDDEN = "hidden: it takes the permission “Can see what people wrote”"

# Our own words about an error quote nobody; an error of Python's may quote what was worked on: `ValueError: …`.
QUOTING = re.compile(r"^(?P<name>[A-Za-z_]\w*): .*", re.DOTALL)
BUG = "bug"  # the verdict of an error that nobody foresaw (`deadletters.write`)


def may_see_text(user: Any) -> bool:
    return bool(user.has_perm(SEE_TEXT))


def shown(user: Any, text: str) -> str:
    """The text, or that there is one."""
    return text if may_see_text(user) else masked(text)


def masked(value: Any) -> Any:
    """In place of what people wrote: that there is something."""
    return value and HIDDEN


def without_quotes(error: str) -> str:
    """An error in one line, without what it may quote; its name stays."""
    return QUOTING.sub(rf"\g<name>: {HIDDEN}", error)


def errors_shown(user: Any, rows: Iterable[Row]) -> list[Row]:
    """Rows with an `error`, about to be shown to this user."""
    shown_rows = list(rows)
    if not may_see_text(user):
        for row in shown_rows:
            row.error = without_quotes(row.error)
    return shown_rows


def errors_with(user: Any, text: str) -> Q:
    """Finds dead letters by a part of their error, among those whose error this user is shown."""
    found = Q(error__icontains=text)
    return found if may_see_text(user) else found & ~Q(cause_verdict=BUG)
