"""Today's numbers on the first page of administration."""

from types import SimpleNamespace
from typing import Any

from app.core.principal import Principal
from app.reports.permissions import REPORTS_READ
from app.reports.rows import NAMES, label_of, list_rows
from app.statistics.service import SHOWN
from app.unit_of_work import Work
from app.web.charts import chart


def load_today(_: Work, who: Principal) -> dict[str, Any] | None:
    """Return today's numbers with a chart of the last days."""
    if not who.has(REPORTS_READ):
        return None
    rows = list_rows("day")
    labels = [label_of("day", row.begin, year=rows[-1].begin.year) for row in rows]
    shown = [
        SimpleNamespace(
            text=text,
            value=getattr(rows[-1], name) or 0,
            drawn=chart(text, labels, [getattr(row, name) for row in rows]),
        )
        for name, text in NAMES.items()
    ]
    return {"shown": shown, "days": SHOWN["day"]}
