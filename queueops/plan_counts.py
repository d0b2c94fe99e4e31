"""How many letters an order is about, without a page ever reading a million of them.

The oldest LOOKED_AT are looked at, which are handled first, of those that an index finds by one of the filters. Were
these all, the numbers are exact. Else they are the least, and say so; the worker that begins counts them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.db.models import Count, Q

from queueops.models import DeadLetterQuerySet
from queueops.searching import key_of_last
from queueops.selections import Selection

LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Counted:
    """n: how many go. left_out: how many stay, by the reason. is_all: no: there may be more of either.

    by_cause: how many go, by (title, fingerprint); by_account, too.
    """

    n: int
    left_out: dict[str, int]
    by_cause: Counter[tuple[str, str]]
    by_account: Counter[str]
    is_all: bool


def look(selection: Selection, user: Any, going: Q, staying: dict[str, Q], at_least: int = 0) -> Counted:
    """Of the letters that this user may see. going: the condition of those that go; staying: of the others, by reason.

    at_least: so many, if they are more than LOOKED_AT, are looked at before it is said that there may be more.
    """
    last = _last_looked_at(selection.parts(user), max(LOOKED_AT, at_least))
    matching = selection.letters(user)
    return count(matching if last is None else matching.filter(pk__lte=last), going, staying, is_all=last is None)


def count(letters: DeadLetterQuerySet, going: Q, staying: dict[str, Q], *, is_all: bool = True) -> Counted:
    """All of these, in one query."""
    counts = {name: Count("pk", filter=reason) for name, reason in staying.items()}
    groups = letters.order_by().values("cause_title", "fingerprint", "account")
    rows: Any = groups.annotate(n=Count("pk", filter=going or None), **counts)
    by_cause, by_account, left_out = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    # The database groups in any order; of as many letters each, the same come first every time.
    for row in sorted(rows, key=itemgetter("account", "cause_title", "fingerprint")):
        by_cause[row["cause_title"], row["fingerprint"]] += row["n"]
        by_account[row["account"]] += row["n"]
        left_out.update({name: row[name] for name in staying})
    return Counted(by_account.total(), dict(+left_out), +by_cause, +by_account, is_all)


def _last_looked_at(parts: Iterable[DeadLetterQuerySet], most: int) -> Any:
    """The key of the last letter of a part's oldest so many; None when one part has no others."""
    last = None
    for part in parts:
        last = key_of_last(part.order_by("pk"), most)
        if last is None:
            break
    return last
