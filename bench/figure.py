"""A figure: two medians, measured alternately, and the ratio of the two."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look: rounds of each figure, seconds of a round under load, and how many of what is counted."""

    rounds: int
    seconds: float
    requests: int
    jobs: int
    users: int
    many_users: int
    many_listed: int
    imported: int


THOROUGH = Effort(
    rounds=9,
    seconds=3,
    requests=200,
    jobs=300,
    users=1_000,
    many_users=1_000_000,
    many_listed=100_000,
    imported=100_000,
)
QUICK = Effort(rounds=1, seconds=0.2, requests=4, jobs=3, users=20, many_users=200, many_listed=200, imported=50)


@dataclass(frozen=True, slots=True)
class Figure:
    """`baseline` and `ours` are medians in `unit`; `target` bounds their ratio, from below where more is better."""

    what: str
    unit: str
    baseline: float
    ours: float
    target: float | None = None
    more_is_better: bool = True

    @property
    def ratio(self) -> float:
        return self.ours / self.baseline

    @property
    def verdict(self) -> str:
        """Empty for a figure without a target."""
        if self.target is None:
            return ""
        return "yes" if (self.ratio >= self.target if self.more_is_better else self.ratio <= self.target) else "no"


def interleaved(rounds: int, baseline: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """The medians of both, measured alternately, so that other load on the machine affects both alike."""
    pairs = [_pair(baseline, ours, ours_first=bool(number % 2)) for number in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def _pair(baseline: Callable[[], float], ours: Callable[[], float], *, ours_first: bool) -> tuple[float, float]:
    if ours_first:
        measured = ours()
        return baseline(), measured
    return baseline(), ours()
