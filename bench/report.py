"""The figures as a table: on the terminal, and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from bench.figure import CORES, Figure
from bench.workspace import ROOT

HEADING = f"{'':<40} {'baseline':>9} {'ours':>9}  {'unit':<11} {'ratio':>6}  target  reached"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
FIGURES = re.compile(r"(?s)(?<=<!-- figures -->\n).*(?=<!-- /figures -->)")


def line(figure: Figure) -> str:
    return (
        f"{figure.what:<40} {_short(figure.baseline):>9} {_short(figure.ours):>9}  {figure.unit:<11} "
        f"{figure.ratio:>6.2f}  {_target(figure):<7} {figure.verdict}"
    )


def write(figures: Iterable[Figure]) -> None:
    """Replace the table of the document; the words around it are kept."""
    rows = [
        f"| {figure.what} | {_short(figure.baseline)} {figure.unit} | {_short(figure.ours)} {figure.unit} "
        f"| {figure.ratio:.2f} | {_target(figure)} | {figure.verdict} |"
        for figure in figures
    ]
    head = ["| what | baseline | ours | ratio | target | reached |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    table = "\n".join([machine(), "", *head, *rows, ""])
    DOCUMENT.write_text(FIGURES.sub(lambda _: table, DOCUMENT.read_text()))


def machine() -> str:
    """Where the figures come from, in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}: {CORES} cores ({platform.machine()}), {memory:.0f} GiB of memory, "
        f"{platform.system()}, Python {platform.python_version()}."
    )


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≥' if figure.more_is_better else '≤'} {figure.target:g}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
