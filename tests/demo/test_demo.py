"""`flask demo`: fictional users with a history."""

import re
from collections import Counter

import pytest
from sqlalchemy import func, select

from app.audit.models import AuditEvent
from app.auth.models import Session
from app.core.extensions import db
from app.jobs.models import Job, JobState
from app.mail.models import SentMail
from app.statistics.models import Statistic
from app.statistics.service import Statistics
from app.unit_of_work import reading
from app.users.models import User
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.mailbox import work_off

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def password_of(result):
    assert result.exit_code == 0, result.output
    return re.search(r"with (\S+)$", result.output.strip())[1]


def counts(app):
    with app.app_context():
        return [db.session.scalar(select(func.count()).select_from(model)) for model in (User, Session, Job, SentMail)]


def test_demo_users_exist_can_be_found_and_sign_in(app, flask):
    password = password_of(flask("demo", "--users", "60"))
    users, sessions, jobs, mails = counts(app)
    assert users == 61
    assert sessions
    assert jobs >= mails > 0

    grace = Browser(app)
    grace.post("/auth/login", {"email": "demo@example.com", "password": password})
    with app.app_context():
        (someone,) = db.session.scalars(
            select(User).where(User.is_active, User.email_verified_at.is_not(None)).limit(1)
        )
        email, word = someone.email, someone.name.split()[-1].lower()
    assert email in grace.page(f"/users?q={word}").text("main")
    other = Browser(app)
    assert other.post("/auth/login", {"email": email, "password": password}).status_code == 302
    assert other.get("/users").status_code in {200, 403}


def test_demo_history_covers_a_year_in_order_and_fills_the_reports(app, flask):
    flask("demo", "--users", "60")
    work_off(app)
    with app.app_context():
        events = db.session.execute(select(AuditEvent.at, AuditEvent.kind).order_by(AuditEvent.id)).all()
        kinds = Counter(event.kind for event in events)
        past = [event.at for event in events if event.kind in {"user.registered", "user.verified", "session.started"}]
        assert past == sorted(past)
        assert (past[-1] - past[0]).days > 200
        assert kinds["user.registered"] == 60
        assert kinds["session.started"] >= 60
        report = reading()[Statistics].report("month")
        joined = [event.at.date() for event in events if event.kind == "user.registered"]
        assert sum(row.sign_ups for row in report) == sum(day >= report[0].begin for day in joined) > 40
        assert db.session.scalars(select(Job.state).where(Job.kind == "count_statistics")).all() == [JobState.DONE]
    assert flask("audit", "verify").exit_code == 0


def test_demo_has_active_users_on_every_day_of_the_year(app, flask):
    assert flask("demo", "--users", "400").exit_code == 0
    work_off(app)
    with app.app_context():
        for by in ("day", "week", "month"):
            report = reading()[Statistics].report(by)
            assert all(row.active for row in report[1:])  # The year may start in the middle of the first month.
            assert report[-1].active > report[1].active / 2
        days = reading()[Statistics].report("day")
        assert len({row.active for row in days}) > 10
        assert all(row.sign_ins for row in days[:-1])
        active = {
            (row.name, row.period): row.value
            for row in db.session.scalars(select(Statistic).where(Statistic.name.like("active%")))
        }
    assert flask("demo", "--users", "400", "--more").exit_code == 0
    with app.app_context():
        yesterday = sorted(period for name, period in active if name == "active_month")[-2]
        assert db.session.get(Statistic, ("active_month", yesterday)).value > active["active_month", yesterday]


def test_second_demo_run_adds_users_only_on_request_and_keeps_the_password(app, admin, flask):
    assert flask("demo", "--more").exit_code == 1
    password = password_of(flask("demo", "--users", "3"))
    before = counts(app)
    refused = flask("demo", "--users", "1")
    assert refused.exit_code == 1
    assert "--more" in refused.output
    assert counts(app) == before

    assert flask("demo", "--users", "1", "--more").exit_code == 0
    assert counts(app)[0] == 1 + 1 + 3 + 1
    with app.app_context():
        first, newest = db.session.scalars(
            select(User.hashed_password).where(User.email != admin.email).order_by(User.id)
        ).all()[:: 1 + 3]
    assert newest == first  # A user of the demo may be deactivated, so that signing in as one could be refused.
    assert Browser(app).post("/auth/login", {"email": "demo@example.com", "password": password}).status_code == 302


@pytest.mark.databases("sqlite")
def test_demo_is_refused_in_production(make_app):
    app = make_app(
        environment="production", base_url="https://accounts.example.com", argon2_memory_kib=19456, argon2_time_cost=2
    )
    result = flask_command(app, "demo")
    assert result.exit_code == 1
    assert "Can't run in production" in result.output
    assert counts(app)[0] == 0
