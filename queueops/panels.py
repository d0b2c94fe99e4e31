"""Places on the overview for those who know more than queues: tables to show, and why a lane's jobs are put off.

Each is registered once, when its app is ready, and asked at every look; one query or two, bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table. link: where it leads, "" nowhere. look: "", good, warn or bad."""

    text: str
    link: str = ""
    look: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A table with a title. empty: what is said when it has no rows."""

    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    empty: str = "None."


MakePanel = Callable[[Any], Panel | None]  # of a user; None: nothing for this one
WhyPutOff = Callable[[Any], Mapping[str, str]]  # for a user, a sentence by lane where there is something to say

_panels: list[MakePanel] = []
_reasons: list[WhyPutOff] = []


def show(make: MakePanel) -> MakePanel:
    """Have this panel on the overview."""
    if make not in _panels:
        _panels.append(make)
    return make


def explain(why: WhyPutOff) -> WhyPutOff:
    """Ask this one, too, what a lane's jobs wait for that are put off."""
    if why not in _reasons:
        _reasons.append(why)
    return why


def panels(user: Any) -> list[Panel]:
    """Those of this user; without the database none."""
    return list(_made(user))


def _made(user: Any) -> Iterator[Panel]:
    for make in _panels:
        try:
            panel = make(user)
        except (DatabaseError, InterfaceError):
            continue
        if panel is not None:
            yield panel


def put_off(user: Any) -> dict[str, str]:
    """Why jobs of a lane are put off, by lane; the first that knows. Without the database nobody does."""
    found: dict[str, str] = {}
    for why in _reasons:
        try:
            found = {**why(user), **found}
        except (DatabaseError, InterfaceError):
            continue
    return found
