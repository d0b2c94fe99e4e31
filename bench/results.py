"""Pairs of measurements, the median of their ratios, and how a row of the table is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")

# Two identical stacks differ by so much from run to run.
NOISE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. ours, peer: one figure for each pair, in `unit`; `peer` is empty without one.

    target: the least that the ratio must be, None where none is stated. `lower_is_better` turns the ratio around, so
    that more than 1 always means that ours is ahead.
    """

    measure: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    peer_name: str = ""
    target: float | None = None
    lower_is_better: bool = False
    missing: str = ""

    @property
    def ratios(self) -> list[float]:
        pairs = [(mine, theirs) for mine, theirs in zip(self.ours, self.peer, strict=False) if mine and theirs]
        return [theirs / mine if self.lower_is_better else mine / theirs for mine, theirs in pairs]

    @property
    def ratio(self) -> float | None:
        return median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """`ahead` and `behind` only beyond the noise; with a target whether that is reached."""
        if self.ratio is None:
            return self.missing
        if self.target is not None:
            return f"{self._against_target(self.ratio, self.target)} (≥ {self.target:g} x)"
        if abs(self.ratio - 1) <= NOISE:
            return "level"
        return "ahead" if self.ratio > 1 else "behind"

    @staticmethod
    def _against_target(ratio: float, target: float) -> str:
        if ratio >= target:
            return "reached"
        # Of two identical stacks one is behind the other half of the time.
        return "level" if target == 1 and ratio >= 1 - NOISE else "MISSED"


def alternate(pairs: int, *sides: Callable[[int], T]) -> list[list[T]]:
    """Measure A B A B …: `pairs` rounds over all sides, each called with the round's number; one list for each side."""
    found: list[list[T]] = [[] for _ in sides]
    for number in range(pairs):
        for side, results in zip(sides, found, strict=True):
            results.append(side(number))
    return found


@dataclass(frozen=True, slots=True)
class Measure:
    """What a row is about: `figure` is its name in the results of both sides; the rest as in Row."""

    measure: str
    unit: str
    figure: str
    target: float | None = None
    lower_is_better: bool = False


def compared(
    ours: Sequence[dict[str, float]], peer: Sequence[dict[str, float]], peer_name: str, missing: str, *measures: Measure
) -> list[Row]:
    """One row for each measure; `missing` says why when there is no peer."""
    return [
        Row(
            measure=one.measure,
            unit=one.unit,
            ours=figures(ours, one.figure),
            peer=figures(peer, one.figure),
            peer_name=peer_name,
            target=one.target,
            lower_is_better=one.lower_is_better,
            missing=missing,
        )
        for one in measures
    ]


def figures(results: Sequence[dict[str, float]], name: str) -> tuple[float, ...]:
    return tuple(result[name] for result in results)
