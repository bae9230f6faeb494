"""Rows of a report, kept for some seconds, and their labels."""

from datetime import date
from typing import Any

from app.core.cache import cache
from app.statistics.service import ReportRow, Statistics, Unit
from app.unit_of_work import reading

KEPT_SECONDS = 30
NAMES = {"sign_ups": "Sign-ups", "sign_ins": "Sign-ins", "failures": "Failed sign-ins", "active": "Active users"}


def label_of(by: Unit, begin: date, *, year: int) -> str:
    """`25 Nov`, with its year if that is not `year`; a month as `Nov 2026`."""
    if by == "month":
        return f"{begin:%b %Y}"
    return f"{begin.day} {begin:%b}" if begin.year == year else f"{begin.day} {begin:%b %Y}"


def list_rows(by: Unit) -> list[ReportRow]:
    kept = cache.read_aside(f"report:{by}", lambda: as_lists(reading()[Statistics].report(by)), seconds=KEPT_SECONDS)
    try:
        return [ReportRow(date.fromisoformat(begin), *counts) for begin, *counts in kept]
    except (TypeError, ValueError):  # Written by another release.
        return reading()[Statistics].report(by)


def as_lists(rows: list[ReportRow]) -> list[list[Any]]:
    return [[row.begin.isoformat(), *(getattr(row, name) for name in NAMES)] for row in rows]
