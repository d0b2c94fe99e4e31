"""The snapshot, live: one tab at a time, with the rate of the last minutes as a line of bars."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from queueops import terminal
from queueops.asking import Asking
from queueops.switching import Order
from queueops.templatetags.queue_console import megabytes, number, percent

BARS = "▁▂▃▄▅▆▇█"
KEPT = 120
TABS = ("lanes", "ledger", "workers", "cache")


class Watch:
    """Which tab is open, what is being asked, and how much was completed when."""

    def __init__(self, carry_out: Callable[[Order], str]) -> None:
        """carry_out: does what was confirmed, and answers what is to be said about it."""
        self.tab = 0
        self.asking = Asking()
        self._carry_out = carry_out
        self._completed: deque[tuple[float, int]] = deque(maxlen=KEPT + 1)

    def note(self, snapshot: dict[str, Any], at: float) -> None:
        """Take a snapshot into account. at: seconds of any clock that only goes forward."""
        completed = snapshot["ledger"]["completed"]
        if completed is None:  # Redis is away: a gap, not a fall to nothing
            return
        if self._completed and completed < self._completed[-1][1]:
            self._completed.clear()  # Redis was emptied
        self._completed.append((at, completed))

    @property
    def rates(self) -> list[float]:
        """Completed in a second, from one snapshot to the next."""
        return [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(self._completed)]

    def press(self, key: str) -> bool:
        """Go where the key leads; False when it says to stop."""
        was_open = self.asking.is_open
        order = self.asking.press(key)
        if order is not None:
            self.asking.said = self._carry_out(order)
        if was_open:
            return True
        if key in {"right", "left"}:
            self.tab = (self.tab + (1 if key == "right" else -1)) % len(TABS)
        elif key.isdecimal() and 1 <= int(key) <= len(TABS):
            self.tab = int(key) - 1
        return key != "q"

    def view(self, snapshot: dict[str, Any]) -> RenderableType:
        """The open tab under the headline."""
        asked = [Text(self.asking.said, style="reverse")] if self.asking.said else []
        switched = [*terminal.pauses(), *asked]
        return Group(self._tabs(), terminal.headline(snapshot), self._rate(), *switched, Text(), *self._open(snapshot))

    def _tabs(self) -> Text:
        line = Text()
        for n, name in enumerate(TABS):
            line.append(f" {n + 1} {name} ", style="reverse" if n == self.tab else "")
        return line.append(f"   ↑↓ lane {self.asking.lane}: p pauses or resumes it   s mode   q stops", style="dim")

    def _rate(self) -> Text:
        rates = self.rates
        now = number(round(rates[-1], 1)) if rates else "-"
        return Text(f"{now}/s  {sparkline(rates)}")

    def _open(self, snapshot: dict[str, Any]) -> Sequence[RenderableType]:
        views: dict[str, Sequence[RenderableType]] = {
            "lanes": [terminal.lanes(snapshot), terminal.latency(snapshot)],
            "ledger": [terminal.ledger(snapshot)],
            "workers": terminal.workers(snapshot),
            "cache": [_cache(snapshot)],
        }
        return views[TABS[self.tab]]


def _cache(snapshot: dict[str, Any]) -> Text:
    cache, redis = snapshot["cache"], snapshot["redis"]
    return Text(
        f"look-ups of accounts and rules, last hour: {number(cache['hits'])} known, {number(cache['misses'])} asked, "
        f"{percent(cache['hit_rate'])} known\n"
        f"Redis: {'connected' if redis['connected'] else 'cannot be reached'}, "
        f"{megabytes(redis['used_memory_bytes'])}, written to disk: {redis['durability']}"
    )


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """The last `width` values as bars; the highest is a full one, and 0 the lowest."""
    shown = values[-width:]
    top = max(shown, default=0)
    return "".join(BARS[round((len(BARS) - 1) * max(value, 0) / top)] if top > 0 else BARS[0] for value in shown)
