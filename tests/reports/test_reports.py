"""Reports: counting, pages, exports and weekly emails."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from sqlalchemy import select

from app.core.extensions import db
from app.core.principal import OPERATOR
from app.features import load_features
from app.jobs.models import Job
from app.jobs.schedule import tick
from app.jobs.tasks import NoOperation
from app.reports.tasks import SendWeeklyReports
from app.statistics.models import Statistic
from app.statistics.service import Statistics, begin_of
from app.statistics.tasks import CountStatistics
from app.unit_of_work import reading, unit_of_work
from app.web.exports import MARK
from app.web.query_params import day, day_after
from tests.support.browser import Browser
from tests.support.mailbox import work_off
from tests.support.statements import statements

SCHEDULE = load_features().schedule

pytestmark = pytest.mark.databases("sqlite", "postgresql")

REPORTS = "/admin/reports"


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.login(admin)
    return client


@pytest.fixture
def count(app):
    """Count like a worker on schedule."""

    def count():
        with app.app_context(), unit_of_work() as work:
            work.enqueue(CountStatistics())
        work_off(app)

    return count


@pytest.fixture
def report(app):
    def report(by):
        with app.app_context():
            return reading()[Statistics].report(by)

    return report


def last(rows):
    return rows[-1].sign_ups, rows[-1].sign_ins, rows[-1].failures, rows[-1].active


def test_counting_a_day_again_gives_the_same_numbers(app, client, new_browser, ada, count, report, clock):
    client.login(ada)
    new_browser().login(ada, "not that harbour")
    count()
    count()
    assert last(report("day")) == (1, 1, 1, 1)

    clock.advance(days=1)
    new_browser().login(ada)
    new_browser().login(ada)
    count()

    rows = report("day")
    assert last(rows) == (0, 2, 0, 1)
    assert (rows[-2].sign_ups, rows[-2].sign_ins, rows[-2].active) == (1, 1, 1)
    assert sum(row.sign_ins for row in report("month")) == 3


def test_missed_days_are_counted_later(app, client, ada, count, report, clock):
    client.login(ada)
    clock.advance(days=3)
    client.login(ada)
    count()
    clock.advance(days=2)
    count()

    rows = report("day")
    assert [row.sign_ins for row in rows[-6:]] == [1, 0, 0, 1, 0, 0]
    assert [row.active for row in rows[-6:]] == [None, None, None, 1, None, 0]


def test_active_users_of_day_week_and_month_are_counted_separately(client, ada, admin, count, report, clock):
    client.login(ada)
    clock.advance(days=8)
    client.login(admin)
    count()

    assert [report(by)[-1].active for by in ("day", "week", "month")] == [1, 1, 2]


@pytest.mark.settings(time_zone="America/New_York")
def test_day_follows_the_sites_time_zone(client, ada, count, report, clock):
    clock.now = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)  # Still the evening of the 24th there.
    client.login(ada)
    clock.advance(hours=4)
    count()

    rows = report("day")
    assert [(row.begin, row.sign_ins) for row in rows[-2:]] == [(date(2026, 11, 24), 1), (date(2026, 11, 25), 0)]


def test_periods_start_on_mondays_and_firsts():
    wednesday = date(2026, 11, 25)
    assert [begin_of(by, wednesday) for by in ("day", "week", "month")] == [
        wednesday,
        date(2026, 11, 23),
        date(2026, 11, 1),
    ]


@pytest.mark.parametrize(("by", "periods"), [("day", 30), ("week", 26), ("month", 12), ("odd", 30)])
def test_report_page_shows_charts_and_the_same_numbers_in_a_table(grace, count, by, periods):
    count()
    page = grace.page(f"{REPORTS}?by={by}")

    assert len(page.find_all("main svg[role=img]")) == 4
    assert len(page.find_all("main tbody tr")) == periods
    assert page.texts("main tbody tr:first-child td") == ["1", "1", "0", "1"]


def test_report_takes_one_query_for_any_amount_of_data(grace, count, app):
    count()
    with app.app_context(), statements() as queries:
        reading()[Statistics].report("month")
    assert len(queries) == 1


def test_report_export_has_the_same_numbers(grace, count):
    count()
    answer = grace.get(f"{REPORTS}.csv?by=week")

    assert answer.text.startswith(MARK)
    head, *rows = csv.reader(io.StringIO(answer.text.removeprefix(MARK)))
    assert head == ["week", "sign_ups", "sign_ins", "failures", "active"]
    assert len(rows) == 26
    assert rows[-1][1:] == ["1", "1", "0", "1"]
    assert rows[0][1:] == ["0", "0", "0", ""]


def test_reports_require_their_permission(signed_in):
    assert signed_in.get(REPORTS).status_code == 403
    assert signed_in.get(f"{REPORTS}.csv").status_code == 403
    assert signed_in.post(f"{REPORTS}/subscription", {"wanted": "yes"}, page="/account").status_code == 403


def test_jobs_page_shows_finished_jobs_by_hour(app, grace, count, clock):
    with app.app_context(), unit_of_work() as work:
        for process_expired in (work.job_queue.complete, lambda claim: work.job_queue.discard(claim, outcome="no")):
            process_expired(work.job_queue.claim(work.enqueue(NoOperation())))
    count()

    assert "1 done, 1 dead" in grace.page("/admin/jobs/workers").text("main")
    clock.advance(days=8)
    count()
    with app.app_context():
        kept = db.session.scalars(select(Statistic.period).where(Statistic.name == "jobs_done")).all()
        assert len(kept) == 2


# ── by mail ──


def send_reports(app):
    with app.app_context(), unit_of_work() as work:
        work.enqueue(SendWeeklyReports())


def test_weekly_report_is_sent_to_subscribers(app, grace, admin, ada, count, clock, mailbox):
    clock.now = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
    grace.login(admin)
    count()
    assert "every Monday" in grace.page(
        grace.post(f"{REPORTS}/subscription", {"wanted": "yes"}, page=REPORTS).location
    ).text("main")
    clock.advance(days=5)
    send_reports(app)

    (mail,) = [mail for mail in mailbox.all() if "week of" in mail.subject]
    assert (mail.to, mail.subject) == (admin.email, "Gatehouse: week of 16 November 2026")
    assert "Sign-ins: 1 (0)" in mail.text
    assert f"http://gatehouse.test{REPORTS}" in mail.text

    grace.login(admin)
    grace.post(f"{REPORTS}/subscription", {"wanted": "no"}, page=REPORTS)
    send_reports(app)
    assert len([mail for mail in mailbox.all() if "week of" in mail.subject]) == 1


def test_subscriber_who_lost_the_permission_gets_no_report(app, grace, admin, people, mailbox):
    grace.post(f"{REPORTS}/subscription", {"wanted": "yes"}, page=REPORTS)
    other = people.add("other@example.com", roles=("administrator",))
    with app.app_context(), unit_of_work() as work:
        work.users.set_roles(work.users.get(admin.id, lock=True), ["member"], by=OPERATOR)
    send_reports(app)
    work_off(app)

    assert not [mail for mail in mailbox.all() if "week of" in mail.subject]
    with app.app_context():
        (job,) = db.session.scalars(select(Job).where(Job.kind == "send_weekly_report"))
        assert (job.state, job.outcome) == ("done", "the user has unsubscribed or can't view reports")
    assert other


def test_weekly_report_is_due_on_mondays():
    (entry,) = [entry for entry in SCHEDULE if entry.name == "send-weekly-reports"]
    begin = entry.begin(datetime(2026, 11, 25, 15, 0, tzinfo=UTC), UTC)
    assert begin == datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    assert entry.begin(begin - timedelta(seconds=1), UTC) == begin - timedelta(days=7)
    assert entry.key(begin, UTC) == "send-weekly-reports:2026-11-23T06:00"


def test_weekly_report_is_due_on_mondays_in_every_time_zone():
    (entry,) = [entry for entry in SCHEDULE if entry.name == "send-weekly-reports"]
    for zone, times in odd_times():
        for at in times:
            begin, following = entry.begin(at, zone), entry.next_begin(at, zone)
            assert begin <= at < following, (zone, at)
            for monday in (begin, following):
                local = monday.astimezone(zone)
                assert (local.weekday(), local.hour) == (0, 6), (zone, at)
            assert entry.begin(following, zone) == following
            assert entry.begin(following - timedelta(seconds=1), zone) == begin


def test_days_of_every_time_zone_are_contiguous(monkeypatch):
    for zone, times in odd_times():
        statistics = Statistics(session=None, zone=zone, clock=None)
        monkeypatch.setattr("app.web.query_params.viewer_zone", lambda zone=zone: zone)
        for at in times:
            today = at.astimezone(zone).date()
            begin, end = statistics._begin(today), statistics._begin(today + timedelta(days=1))
            assert begin <= at < end, (zone, at)
            assert (day(today.isoformat()), day_after(today.isoformat())) == (begin, end), (zone, at)
            assert (end - timedelta(seconds=1)).astimezone(zone).date() == today, (zone, at)


@cache
def odd_times():
    """Time zones with times around each clock change of two years; one of those that agree."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(730)]
    times = {}
    for zone in map(ZoneInfo, sorted(available_timezones())):
        offsets = tuple(at.astimezone(zone).utcoffset() for at in days)
        times.setdefault(offsets, zone)
    return [
        (
            zone,
            [
                days[0],
                *(days[at] + timedelta(hours=hours, minutes=30) for at in changes for hours in range(-36, 37, 3)),
            ],
        )
        for offsets, zone in times.items()
        for changes in [[at for at in range(1, len(days)) if offsets[at] != offsets[at - 1]]]
    ]


@pytest.mark.databases("sqlite")
@pytest.mark.settings(time_zone="Europe/Berlin")
def test_last_day_of_a_filter_is_complete_when_clocks_change(app, admin, clock):
    grace = Browser(app)
    for at, last_day, is_there in (
        (datetime(2026, 10, 25, 22, 30, tzinfo=UTC), "2026-10-25", True),  # 23:30 there.
        (datetime(2027, 3, 28, 22, 30, tzinfo=UTC), "2027-03-28", False),  # 00:30 of the next day there.
    ):
        clock.now = at
        grace.sign_in(admin)
        grace.post("/account", {"name": f"Grace {at.year}"})
        shown = grace.page(f"/admin/audit?since={last_day}&until={last_day}&kind=user.renamed")
        assert (f"Grace {at.year}" in shown.text("main .card")) == is_there


@pytest.mark.settings(time_zone="America/Los_Angeles")
def test_weekly_report_covers_the_week_that_just_ended(app, admin, clock, mailbox):
    clock.now = datetime(2026, 11, 18, 12, tzinfo=UTC)
    send_due(app)
    grace = Browser(app)
    grace.login(admin)
    grace.post(f"{REPORTS}/subscription", {"wanted": "yes"}, page=REPORTS)
    clock.now = datetime(2026, 11, 23, 6, tzinfo=UTC)  # Sunday evening there.
    send_due(app)
    assert not [mail for mail in mailbox.all() if "week of" in mail.subject]
    clock.now = datetime(2026, 11, 23, 14, 1, tzinfo=UTC)
    send_due(app)
    (mail,) = [mail for mail in mailbox.all() if "week of" in mail.subject]
    assert mail.subject.endswith("week of 16 November 2026")
    assert "Sign-ins: 1 (0)" in mail.text


def send_due(app):
    with app.app_context():
        tick()
    while work_off(app):
        continue
