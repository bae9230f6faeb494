"""Bar charts as numbers for a template, which draws them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 100.0
STEP = 10.0
GAP = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """In the units of the chart, from its upper left corner; `bad_height` is the part at the foot that went wrong."""

    x: float
    width: float
    height: float
    bad_height: float
    title: str

    @property
    def y(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Chart:
    width: float
    top: int
    bars: list[Bar]
    summary: str

    @property
    def height(self) -> float:
        return HEIGHT


def chart(name: str, labels: Sequence[str], values: Sequence[int | None], *, bad: Sequence[int] | None = None) -> Chart:
    """Return a bar for each value, relative to the highest; `bad` is the failed part of each."""
    heights = [value or 0 for value in values]
    top = max(heights, default=0)
    scale = HEIGHT / top if top else 0.0
    bars = [
        Bar(
            round(number * STEP + GAP / 2, 2),
            STEP - GAP,
            round(value * scale, 2),
            round((bad[number] if bad else 0) * scale, 2),
            f"{label}: {value:,}",
        )
        for number, (label, value) in enumerate(zip(labels, heights, strict=True))
    ]
    highest = f", most {top:,} ({labels[heights.index(top)]})" if top else ""
    return Chart(len(bars) * STEP, top, bars, f"{name}, {labels[0]} to {labels[-1]}{highest}")
