"""Reports of sign-ups, sign-ins, failures and active users by day, week or month."""

from datetime import date
from types import SimpleNamespace
from typing import Any, get_args

from flask import Response, request
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core.cache import cache
from app.core.principal import Principal
from app.reports.permissions import REPORTS_READ
from app.reports.service import ReportSubscriptions
from app.statistics.service import SHOWN, ReportRow, Statistics, Unit, total
from app.unit_of_work import Work, reading, unit_of_work
from app.web import current_user
from app.web.access import requires
from app.web.charts import chart
from app.web.exports import attachment, csv_lines
from app.web.pages import page
from app.web.redirects import done

KEPT_SECONDS = 30
UNITS: tuple[Unit, ...] = get_args(Unit)
NAMES = {"sign_ups": "Sign-ups", "sign_ins": "Sign-ins", "failures": "Failed sign-ins", "active": "Active users"}


@bp.get("/reports")
@requires(REPORTS_READ)
def reports() -> ResponseReturnValue:
    by, services = _asked(), reading()
    rows = _rows(by)
    labels = [_label(by, row.begin, year=rows[-1].begin.year) for row in rows]
    return page(
        "admin/reports.html",
        by=by,
        units=UNITS,
        names=NAMES,
        charts={
            text: SimpleNamespace(
                drawn=chart(f"{text} by {by}", labels, [getattr(row, name) for row in rows]),
                total=None if name == "active" else total(rows, name),
            )
            for name, text in NAMES.items()
        },
        ends=(labels[0], labels[-1]),
        rows=list(zip(reversed(labels), reversed(rows), strict=True)),
        is_subscribed=services[ReportSubscriptions].is_subscribed(current_user.signed_in().user_id),
    )


@bp.get("/reports.csv")
@requires(REPORTS_READ)
def export_report() -> Response:
    by = _asked()
    return attachment(csv_lines([by, *NAMES], _plain(_rows(by))), f"report-by-{by}.csv")


@bp.post("/reports/subscription")
@requires(REPORTS_READ)
def subscribe() -> ResponseReturnValue:
    """Start or stop the weekly email."""
    user_id = current_user.signed_in().user_id
    wants = request.form.get("wanted") == "yes"
    with unit_of_work() as work:
        subscriptions = work[ReportSubscriptions]
        (subscriptions.subscribe if wants else subscriptions.unsubscribe)(user_id)
    return done("You'll get a report by email every Monday." if wants else "Weekly email stopped.", to="admin.reports")


def _label(by: Unit, begin: date, *, year: int) -> str:
    """`25 Nov`, with its year if that is not `year`; a month as `Nov 2026`."""
    if by == "month":
        return f"{begin:%b %Y}"
    return f"{begin.day} {begin:%b}" if begin.year == year else f"{begin.day} {begin:%b %Y}"


def load_today(_: Work, who: Principal) -> dict[str, Any] | None:
    """Return today's numbers with a chart of the last days."""
    if not who.has(REPORTS_READ):
        return None
    rows = _rows("day")
    labels = [_label("day", row.begin, year=rows[-1].begin.year) for row in rows]
    shown = [
        SimpleNamespace(
            text=text,
            value=getattr(rows[-1], name) or 0,
            drawn=chart(text, labels, [getattr(row, name) for row in rows]),
        )
        for name, text in NAMES.items()
    ]
    return {"shown": shown, "days": SHOWN["day"]}


def _rows(by: Unit) -> list[ReportRow]:
    kept = cache.read_aside(f"report:{by}", lambda: _plain(reading()[Statistics].report(by)), seconds=KEPT_SECONDS)
    try:
        return [ReportRow(date.fromisoformat(begin), *counts) for begin, *counts in kept]
    except (TypeError, ValueError):  # Written by another release.
        return reading()[Statistics].report(by)


def _plain(rows: list[ReportRow]) -> list[list[Any]]:
    return [[row.begin.isoformat(), *(getattr(row, name) for name in NAMES)] for row in rows]


def _asked() -> Unit:
    by = request.args.get("by", "day")
    return by if by in UNITS else "day"
