"""What the filters in the address of the dead letters' list choose, as a selection for all that match."""

from __future__ import annotations

from datetime import datetime

from django.http import QueryDict
from django.utils import timezone

from queueops import searching
from queueops.models import DeadLetter
from queueops.selections import Selection

# The list's own name of a filter, and the selection's.
NAMES = {
    "lane": "lane",
    "kind": "kind",
    "account": "account",
    "automation": "automation",
    "cause_title": "title",
    "cause_code": "code",
    "attempts_from": "attempts_from",
    "attempts_to": "attempts_to",
    "cause_verdict": "verdict",
    "fingerprint": "fingerprint",
}
# Which page, in what order: that chooses nothing.
NOT_FILTERS = frozenset({"o", "p", "all", "e", "_changelist_filters"})
ENDS = {"from": ("since", "00:00:00"), "to": ("until", "23:59:59")}


def selection(query: QueryDict) -> Selection | None:
    """The same letters as the list shows with this query; None when that cannot be said, or none of them is dead."""
    filters = _period(query)
    for parameter in query:
        values = [value for value in query.getlist(parameter) if value]
        if not values or parameter in NOT_FILTERS or parameter.startswith("created_at_"):
            continue
        name = _name(parameter)
        if name is None or (name == "status" and DeadLetter.Status.DEAD not in values):
            return None
        if name == "q":
            filters[name] = searching.words(values[-1])
        elif name != "status":
            filters[name] = values
    return Selection(filters)


def _name(parameter: str) -> str | None:
    """The selection's name of a filter, or `status`; None for one that a selection does not have."""
    column, _, lookup = parameter.partition("__")
    if lookup not in ("", "exact"):
        return None
    return column if column in ("q", "status") else NAMES.get(column)


def _period(query: QueryDict) -> dict[str, list[str]]:
    """As `readonly.PeriodFilter` reads it: what cannot be read does not narrow."""
    found = {}
    for end, (name, when_no_time) in ENDS.items():
        day = query.get(f"created_at_{end}_0", "")
        time = query.get(f"created_at_{end}_1", "") or when_no_time
        try:
            at = datetime.fromisoformat(f"{day} {time}").replace(tzinfo=timezone.get_current_timezone())
        except ValueError:
            continue
        found[name] = [at.isoformat()]
    return found
