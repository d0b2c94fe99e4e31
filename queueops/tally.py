"""The ledger's counts of what was taken or finished outside Redis; changed in the transaction they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, F, Q

from queueops.jobs import Lane
from queueops.models import FallbackCount, FallbackJob

IGNORED = "ignored:"  # and the name of what was ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """counts: the ledger's, by name. fallback: rows that wait or run. dead: rows that were given up, by lane."""

    counts: Counter[str]
    fallback: int
    dead: Counter[Lane]


def add(changes: Mapping[str, int]) -> None:
    """Add to the counts, in the caller's transaction.

    As its last act: until the commit, everybody else who counts waits here. In the order of the names, so that no two
    wait for each other.
    """
    for name in sorted(changes):
        if not changes[name]:
            continue
        row = FallbackCount.objects.filter(name=name)
        if not row.update(n=F("n") + changes[name]):
            FallbackCount.objects.bulk_create([FallbackCount(name=name)], ignore_conflicts=True)
            row.update(n=F("n") + changes[name])


def read(moved: Collection[UUID] = ()) -> Tally:
    """What the database knows. `moved` are rows that Redis has already and counts. Raises DatabaseError."""
    counts = Counter(dict(FallbackCount.objects.exclude(name__startswith=IGNORED).values_list("name", "n")))
    rows = FallbackJob.objects.exclude(pk__in=moved) if moved else FallbackJob.objects.all()
    given_up = Count("pk", filter=~Q(error=""))
    lanes = list(rows.values_list("lane").annotate(total=Count("pk"), dead=given_up))
    dead = Counter({Lane(lane): n for lane, _, n in lanes})
    return Tally(counts=counts, fallback=sum(total for _, total, _ in lanes) - dead.total(), dead=dead)


def ignored() -> Counter[str]:
    """What was ignored, by name."""
    rows = FallbackCount.objects.filter(name__startswith=IGNORED).values_list("name", "n")
    return Counter({name.removeprefix(IGNORED): n for name, n in rows})
