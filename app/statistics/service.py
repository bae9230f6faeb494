"""Counters for reports, updated by a job, so that reports cost the same for any amount of data."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from sqlalchemy import Select, delete, func, select

from app.audit.models import AuditEvent
from app.core.dialects import upsert
from app.core.service import Service
from app.jobs.models import Job, JobState
from app.statistics.models import Statistic
from app.users.models import User

Unit = Literal["day", "week", "month"]

# Which audit events make up a count of a day.
EVENTS = {
    "sign_ups": ("user.registered", "user.created", "invitation.accepted"),
    "sign_ins": ("session.started",),
    "failures": ("session.refused", "session.refused_unverified"),
}
# Users seen in the time before; counted every few minutes, so what stays of a day is its last count.
ACTIVE = {"active_day": timedelta(days=1), "active_week": timedelta(days=7), "active_month": timedelta(days=30)}
USERS = "users"  # All that are not deleted.
SHOWN = {"day": 30, "week": 26, "month": 12}
JOBS = {JobState.DONE: "jobs_done", JobState.DEAD: "jobs_dead"}
MAX_DAYS = 366
BACKUP = "backup"  # Seconds since 1970, not a count.
HOURS = 24
HOURS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A day, week (from Monday) or month; `active` is None if it was not counted."""

    begin: date
    sign_ups: int
    sign_ins: int
    failures: int
    active: int | None


@dataclass(frozen=True, slots=True)
class HourRow:
    begin: datetime
    done: int
    dead: int


class Statistics(Service):
    zone: tzinfo

    # ── counting ──

    def days_to_count(self) -> list[date]:
        """Return today, and the days before it since the last count or the first event; at most a year."""
        today = self._today()
        last = self.session.scalar(select(func.max(Statistic.period)).where(Statistic.name == "sign_ins"))
        first = date.fromisoformat(last) if last else self._first_day()
        first = max(first or today, today - timedelta(days=MAX_DAYS - 1))
        return [first + timedelta(days=number) for number in range((today - first).days + 1)]

    def count_day(self, day: date) -> None:
        """Count the events of `day`; for today, also all users and recently active ones."""
        begin, end = self._begin(day), self._begin(day + timedelta(days=1))
        kinds_counted = [kind for kinds in EVENTS.values() for kind in kinds]
        query = select(AuditEvent.kind, func.count()).where(AuditEvent.at >= begin, AuditEvent.at < end)
        counts = self._counts(query.where(AuditEvent.kind.in_(kinds_counted)).group_by(AuditEvent.kind))
        values = {name: sum(counts.get(kind, 0) for kind in kinds) for name, kinds in EVENTS.items()}
        if day == self._today():
            for name, span in ACTIVE.items():
                seen = select(func.count()).select_from(User).where(User.last_seen_at > self.clock() - span)
                values[name] = self.session.scalar(seen) or 0
            there = select(func.count()).select_from(User).where(User.deleted_at.is_(None))
            values[USERS] = self.session.scalar(there) or 0
        self._keep(values, day.isoformat())

    def count_hours(self) -> None:
        """Count the jobs that ended in this hour and the one before, and forget hours of last week."""
        hour = self.clock().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        for begin in (hour - timedelta(hours=1), hour):
            ended_jobs = select(Job.state, func.count()).where(
                Job.finished_at >= begin, Job.finished_at < begin + timedelta(hours=1)
            )
            counts = self._counts(ended_jobs.group_by(Job.state))
            self._keep({name: counts.get(state, 0) for state, name in JOBS.items()}, _hour(begin))
        old = delete(Statistic).where(Statistic.name.in_(JOBS.values()), Statistic.period < _hour(hour - HOURS_KEPT))
        self.session.execute(old.execution_options(synchronize_session=False))

    # ── reading ──

    def report(self, by: Unit) -> list[ReportRow]:
        """Return the latest days, weeks or months, oldest first; the last one is incomplete."""
        begins = self._begins(by)
        read = select(Statistic.name, Statistic.period, Statistic.value).where(
            Statistic.name.in_([*EVENTS, f"active_{by}"]), Statistic.period >= begins[0].isoformat()
        )
        sums = {begin: dict.fromkeys(EVENTS, 0) for begin in begins}
        active: dict[date, int] = {}
        for name, period, value in self.session.execute(read.order_by(Statistic.period)):
            begin = begin_of(by, date.fromisoformat(period))
            if begin not in sums:
                continue  # After a change of the time zone there may be a count of tomorrow.
            if name in EVENTS:
                sums[begin][name] += value
            else:
                active[begin] = value
        return [ReportRow(begin, **sums[begin], active=active.get(begin)) for begin in begins]

    def hours(self) -> list[HourRow]:
        """Return jobs that ended in each of the last hours, oldest first; the last hour is incomplete."""
        hour = self.clock().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begins = [hour - timedelta(hours=number) for number in reversed(range(HOURS))]
        read = select(Statistic.name, Statistic.period, Statistic.value).where(
            Statistic.name.in_(JOBS.values()), Statistic.period >= _hour(begins[0])
        )
        counts = {(name, period): value for name, period, value in self.session.execute(read)}
        done, dead = JOBS[JobState.DONE], JOBS[JobState.DEAD]
        return [
            HourRow(begin, counts.get((done, _hour(begin)), 0), counts.get((dead, _hour(begin)), 0)) for begin in begins
        ]

    # ── backups ──

    def note_backup(self) -> None:
        self._keep({BACKUP: int(self.clock().timestamp())}, "last")

    def last_backup(self) -> datetime | None:
        """Return the time of the last successful `flask backup`."""
        statistic = self.session.get(Statistic, (BACKUP, "last"))
        return datetime.fromtimestamp(statistic.value, UTC) if statistic else None

    def _counts(self, query: Select[str, int]) -> dict[str, int]:
        return {row[0]: row[1] for row in self.session.execute(query)}

    def _keep(self, values: dict[str, int], period: str) -> None:
        insert = upsert(self.session, Statistic)
        keep = insert.on_conflict_do_update(
            index_elements=[Statistic.name, Statistic.period], set_={"value": insert.excluded.value}
        )
        self.session.execute(keep, [{"name": name, "period": period, "value": value} for name, value in values.items()])

    def _begins(self, by: Unit) -> list[date]:
        begins = [begin_of(by, self._today())]
        while len(begins) < SHOWN[by]:
            begins.append(begin_of(by, begins[-1] - timedelta(days=1)))
        return begins[::-1]

    def _first_day(self) -> date | None:
        first = self.session.scalar(select(func.min(AuditEvent.at)))
        return first.astimezone(self.zone).date() if first else None

    def _today(self) -> date:
        return self.clock().astimezone(self.zone).date()

    def _begin(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


def begin_of(by: Unit, day: date) -> date:
    """Return the first day of the day, week or month that contains `day`."""
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by == "month" else day


def total(rows: Iterable[ReportRow], name: str) -> int:
    return sum(getattr(row, name) or 0 for row in rows)


def _hour(begin: datetime) -> str:
    return f"{begin:%Y-%m-%dT%H}"
