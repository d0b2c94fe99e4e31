"""Line charts as SVG that the server draws: no library and no script, dark mode by the stylesheet, gaps as gaps.

A chart says what it shows to those who cannot see it (title and description), and its values to a pointer that rests on
it. Lines differ in colour and in their dashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# The picture in its own units: the page scales it, so these are about a phone's pixels.
WIDTH, HEIGHT = 400, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 8, 20
TICKS = 4

Words = Callable[[float | None], str]
# Seconds between two marks of the time axis, and how the instants are written there.
TIME_STEPS = ((600, "%H:%M"), (1800, "%H:%M"), (14_400, "%H:%M"), (86_400, "%d %b"), (1_209_600, "%d %b"))


@dataclass(frozen=True, slots=True)
class Ticks:
    """distances: from small to large. words: short ones, for there is little room."""

    distances: Sequence[float]
    words: Words


@dataclass(frozen=True, slots=True)
class Line:
    """values: one for each step of the chart, None where nothing is known. css: its class, `cad-line-<css>`."""

    name: str
    css: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """since: Unix seconds of the first value. step: seconds from one to the next. words: a value as people read it.

    ticks: the distances that levels may have, and how they are written beside the axis; without them 1, 2 or 5 times a
    power of ten, in words.
    """

    title: str
    lines: Sequence[Line]
    since: int
    step: int
    words: Words
    note: str = ""
    ticks: Ticks | None = None
    _drawn: list[SafeString] = field(default_factory=list, repr=False, compare=False)

    @property
    def length(self) -> int:
        return max((len(line.values) for line in self.lines), default=0)

    @property
    def is_empty(self) -> bool:
        return all(value is None for line in self.lines for value in line.values)

    def svg(self) -> SafeString:
        """The picture; drawn once, for a chart is kept as long as what it shows stays the same."""
        if not self._drawn:
            self._drawn.append(self._draw())
        return self._drawn[0]

    def _draw(self) -> SafeString:
        highest = max((value for line in self.lines for value in line.values if value is not None), default=0)
        top, tick = _scale(highest, self.ticks.distances if self.ticks else ())
        return format_html(
            '<svg class="cad-chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}{}{}{}</svg>',
            WIDTH,
            HEIGHT,
            self.title,
            " ".join(self.descriptions()),
            _levels(top, tick, self.ticks.words if self.ticks else self.words),
            _times(self),
            format_html_join("", '<path class="cad-line cad-line-{}" d="{}"/>', self._paths(top)),
            format_html_join(
                "",
                '<rect class="cad-strip" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
                self._strips(),
            ),
        )

    def descriptions(self) -> list[str]:
        """A sentence for each line: its last value and its highest."""
        return [self._description(line) for line in self.lines]

    def _description(self, line: Line) -> str:
        known = [value for value in line.values if value is not None]
        if not known:
            return f"{line.name}: nothing known."
        return f"{line.name}: last {self.words(known[-1])}, highest {self.words(max(known))}."

    def _x(self, place: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / max(self.length, 1)

    def _paths(self, top: float) -> Iterator[tuple[str, str]]:
        for line in self.lines:
            yield line.css, "".join(self._segments(line, top))

    def _segments(self, line: Line, top: float) -> Iterator[str]:
        """A gap ends the line; a value between two gaps is a dot (a line to itself, with round ends)."""
        before: float | None = None
        for place, value in enumerate(line.values):
            if value is not None:
                at = f"{self._x(place):.1f} {_y(value, top):.1f}"
                yield f"M{at}L{at}" if before is None else f"L{at}"
            before = value

    def _strips(self) -> Iterator[tuple[str, int, str, int, str]]:
        """What the pointer rests on: one for each step, as high as the chart."""
        width = (WIDTH - LEFT - RIGHT) / max(self.length, 1)
        for place in range(self.length):
            values = [(line.name, line.values[place]) for line in self.lines]
            if any(value is not None for _, value in values):
                said = "; ".join(f"{name} {self.words(value)}" for name, value in values)
                yield (
                    f"{self._x(place) - width / 2:.1f}",
                    TOP,
                    f"{width:.1f}",
                    HEIGHT - TOP - BOTTOM,
                    f"{written(self.since + place * self.step)}: {said}",
                )


def written(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M} UTC"


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value / top, 0.0), 1.0)


def _scale(highest: float, distances: Sequence[float]) -> tuple[float, float]:
    """The top of the chart and the distance of its levels, of which there are at most TICKS; 1 and 1 without values."""
    if highest <= 0:
        return 1.0, 1.0
    rough = highest / TICKS
    if distances:
        tick = next((distance for distance in distances if distance >= rough), distances[-1])
        return tick * math.ceil(highest / tick), tick
    power = 10.0 ** math.floor(math.log10(rough))
    tick = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return tick * math.ceil(highest / tick * (1 - 1e-9)), tick


def _levels(top: float, tick: float, words: Words) -> SafeString:
    levels = [tick * n for n in range(round(top / tick) + 1)]
    return format_html_join(
        "",
        '<line class="cad-grid-line" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="cad-tick" x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, f"{y:.1f}", f"{y:.1f}", LEFT - 5, f"{y + 3.5:.1f}", words(level))
            for level, y in ((level, _y(level, top)) for level in levels)
        ),
    )


def _times(chart: Chart) -> SafeString:
    """Marks at round instants, at most nine of them."""
    until = chart.since + chart.length * chart.step
    step, form = next(((s, f) for s, f in TIME_STEPS if (until - chart.since) / s <= 9), TIME_STEPS[-1])
    first = -(-chart.since // step) * step
    marks = []
    for instant in range(first, until, step):
        x = LEFT + (WIDTH - LEFT - RIGHT) * (instant - chart.since) / max(until - chart.since, 1)
        if LEFT + 10 <= x <= WIDTH - 18:
            marks.append((f"{x:.1f}", HEIGHT - 6, f"{datetime.fromtimestamp(instant, UTC):{form}}"))
    return format_html_join("", '<text class="cad-tick" x="{}" y="{}" text-anchor="middle">{}</text>', marks)
