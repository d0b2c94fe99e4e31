"""What was promised, whether it is kept, and how fast the room for failure is used up.

Two objectives: OBJECTIVE_PERCENT of the answers within OBJECTIVE_SECONDS of their webhook, and no event unexplained.
The budget is what the first leaves to fail (1 % of 99 %); a burn rate of 1 uses it up in exactly the time it is for.
Windows and rates are those of Google's SRE workbook (chapter 5, "Alerting on SLOs"): a long window says that it
matters, a short one that it still goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Q

from queueops import metrics, rollups
from queueops.models import Rollup

# Minutes, by the words for them.
WINDOWS = {"5 min": 5, "30 min": 30, "1 h": 60, "6 h": 360, "24 h": 1440, "3 d": 4320, "7 d": 10080}
SHOWN = ("1 h", "24 h", "7 d")
# From which rows a window is added up: the finest that it takes some ninety of.
SPAN_OF = {name: 1 if minutes <= 60 else 15 if minutes <= 1440 else 120 for name, minutes in WINDOWS.items()}
# Long window, short window, burn rate, how bad.
RULES = (("1 h", "5 min", 14.4, "page"), ("6 h", "30 min", 6.0, "page"), ("3 d", "6 h", 1.0, "ticket"))
# Of three answers at night one late is no trend.
LEAST_MISSED = 10


@dataclass(frozen=True, slots=True)
class Window:
    """The last so many minutes. met, missed: answers. known, explained: minutes of a known, of a right ledger."""

    name: str
    minutes: int
    met: int = 0
    missed: int = 0
    known: int = 0
    explained: int = 0

    @property
    def answers(self) -> int:
        return self.met + self.missed

    @property
    def share(self) -> float | None:
        """Of the answers that came in time, 0 to 1; None when there were none."""
        return self.met / self.answers if self.answers else None

    @property
    def burn(self) -> float | None:
        """How many times as fast as allowed the budget is used up."""
        share = self.share
        return None if share is None else (1 - share) / (1 - target())

    @property
    def explained_share(self) -> float | None:
        return self.explained / self.known if self.known else None


@dataclass(frozen=True, slots=True)
class Burn:
    """The budget is used up too fast. severity: page or ticket. rate: of the long window."""

    severity: str
    rate: float
    long: Window
    short: Window

    def __str__(self) -> str:
        return (
            f"{self.long.missed} of {self.long.answers} answers of the last {self.long.name} took longer "
            f"than {settings.OBJECTIVE_SECONDS} s or never came: {self.rate:.1f} times what the objective of "
            f"{settings.OBJECTIVE_PERCENT:g} % allows."
        )


def target() -> float:
    """The share of answers that must come in time, below 1."""
    percent: float = settings.OBJECTIVE_PERCENT
    return percent / 100


def answered(received_at: datetime) -> None:
    """Count an answer that was just given to what came in then."""
    seconds = (datetime.now(UTC) - received_at).total_seconds()
    kept = rollups.MET if seconds <= settings.OBJECTIVE_SECONDS else rollups.LATE
    metrics.observe("answer", seconds * 1000, kept)


def windows(now: float | None = None) -> dict[str, Window]:
    """All of WINDOWS by name, in one query of some 240 short rows. now: Unix time. Raises DatabaseError."""
    minute = int((time.time() if now is None else now) // 60)
    longest = {span: max(WINDOWS[name] for name, of in SPAN_OF.items() if of == span) for span in SPAN_OF.values()}
    wanted = Q()
    for span, minutes in longest.items():
        wanted |= Q(span=span, minute__gte=minute - minutes)
    rows = list(Rollup.objects.filter(wanted).values_list("span", "minute", "minutes", "met", "missed", "unexplained"))
    return {name: _window(name, minute, rows) for name in WINDOWS}


def _window(name: str, now: int, rows: Sequence[tuple[int, int, int, int, int, int | None]]) -> Window:
    since = now - WINDOWS[name]
    mine = [row for row in rows if row[0] == SPAN_OF[name] and row[1] >= since]
    return Window(
        name=name,
        minutes=WINDOWS[name],
        met=sum(row[3] for row in mine),
        missed=sum(row[4] for row in mine),
        known=sum(row[2] for row in mine if row[5] is not None),
        explained=sum(row[2] for row in mine if row[5] == 0),
    )


def burn(found: dict[str, Window] | None = None) -> Burn | None:
    """The worst of RULES that holds; None when none does, or nothing is known. found: `windows`, if they are at hand.

    Raises DatabaseError.
    """
    found = windows() if found is None else found
    for long, short, rate, severity in RULES:
        rates = [found[name].burn or 0.0 for name in (long, short)]
        if min(rates) > rate and found[long].missed >= LEAST_MISSED:
            return Burn(severity, rates[0], found[long], found[short])
    return None
