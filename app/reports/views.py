"""Reports of sign-ups, sign-ins, failures and active users by day, week or month."""

from types import SimpleNamespace
from typing import get_args

from flask import Response, request
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.reports.permissions import REPORTS_READ
from app.reports.rows import NAMES, as_lists, label_of, list_rows
from app.reports.service import ReportSubscriptions
from app.statistics.service import Unit, total
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import requires
from app.web.charts import chart
from app.web.exports import attachment, csv_lines
from app.web.pages import page
from app.web.redirects import done

UNITS: tuple[Unit, ...] = get_args(Unit)


@bp.get("/reports")
@requires(REPORTS_READ)
def reports() -> ResponseReturnValue:
    by, services = _read_unit(), reading()
    rows = list_rows(by)
    labels = [label_of(by, row.begin, year=rows[-1].begin.year) for row in rows]
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
    by = _read_unit()
    return attachment(csv_lines([by, *NAMES], as_lists(list_rows(by))), f"report-by-{by}.csv")


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


def _read_unit() -> Unit:
    by = request.args.get("by", "day")
    return by if by in UNITS else "day"
