"""`flask demo`: demo users with a year of activity."""

import random
import secrets
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import delete, func, insert, select

from app.audit.tasks import SealAuditEvents
from app.auth.emails.sign_up import SendConfirmation
from app.auth.models import Session
from app.auth.password_setup import credentials
from app.core.dialects import insert_rows, next_ids
from app.core.extensions import now, settings
from app.core.principal import Origin, Visit
from app.core.tokens import new_token, token_hash
from app.jobs.models import Job, JobState
from app.mail.models import MailStatus, SentMail
from app.statistics.models import Statistic
from app.statistics.service import ACTIVE
from app.statistics.tasks import CountStatistics
from app.unit_of_work import Work, reading, unit_of_work
from app.users.models import ADMINISTRATOR, MEMBER, Role, User, UserWord, searched_text, user_roles, words_of

ADMIN = "demo@example.com"
DAYS = 365
LIVELY_DAYS = 30
# The shares of people who were seen within so many days; the others were here at any time before.
SEEN_WITHIN = {1: 0.12, 7: 0.35, 30: 0.6}
# How much of that happens on each day of the week, from Monday.
WEEK = (1.1, 1.15, 1.1, 1.05, 0.95, 0.5, 0.45)
FIRST = """
Ada Alan Amara Anders Anita Aoife Barbara Bjørn Carla Chidi Chloé Dagmar Deniz Edsger Elif Emeka Fatima Femi Frances
Gabriel Grace Hana Hedy Hiroshi Ingrid Ivan Jade Jonas Juan Katherine Kenji Lars Lena Linus Lucía Mae Margaret Mei Nadia
Noor Olga Oscar Priya Radia Rosa Sanjay Sofía Tariq Thandi Ursula Viktor Wei Yara Yusuf Zoë
""".split()  # noqa: SIM905 - a list would take a page
LAST = """
Adeyemi Andersen Bauer Becker Bianchi Borg Castillo Chen Cohen Costa Dijkstra Dubois Eriksson Fischer García Gupta
Haddad Hamilton Hopper Horvat Ito Ivanova Johnson Kaya Keller Kim Kowalski Lamarr Larsen Lovelace Martin Mbeki Meyer
Moreau Mäkinen Nakamura Nguyen Novák Okafor Olsen Patel Perlman Rossi Santos Schmidt Silva Singh Smith Suzuki Tanaka
Turing Weber Wilson Wong Yilmaz Zhang
""".split()  # noqa: SIM905
BROWSERS = """
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36
Mozilla/5.0 (Macintosh; Intel Mac OS X 15_0) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15
Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1
""".strip().splitlines()
REASONS = ("Left the company", "Asked for it by phone", "Sent advertisements")


@click.command()
@click.option("--users", "count", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@click.option("--more", is_flag=True, help="Add more users to an earlier run, with the same password.")
@with_appcontext
def demo(count: int, more: bool) -> None:
    """Create demo users with a year of activity.

    All have the same new password, which is printed. One is an administrator. No emails are sent. Not for production.
    """
    if settings().environment == "production":
        raise click.ClickException("Can't run in production.")
    earlier = reading().session.scalar(select(User).where(User.email == ADMIN))
    if (earlier is not None) != more:
        raise click.ClickException(
            "There are no demo users yet. Run without --more."
            if more
            else f"There are already demo users, like {ADMIN}. Add more with --more."
        )
    password = secrets.token_urlsafe(12)
    hashed = earlier.hashed_password if earlier else credentials.policy.prepare(password, words=()).hashed
    crowd = Crowd(hashed, now(), settings().zone)
    with unit_of_work() as work:
        crowd.begin(work)
    with click.progressbar(length=count, label="Adding users", file=sys.stderr) as shown:
        for batch in crowd.batches(count):
            with unit_of_work(origin=Origin(crowd.visit())) as work:
                crowd.add(work, batch)
            shown.update(batch.count)
    with unit_of_work() as work:
        work.session.execute(delete(Statistic))
        insert_rows(work.session, Statistic, crowd.activity())
        work.enqueue(CountStatistics())
        work.enqueue(SealAuditEvents())
    secret = "the password of the first run." if earlier else password
    click.echo(f"Added {crowd.added:,} users. Sign in as {ADMIN}, or as any of them, with {secret}")


@dataclass(frozen=True, slots=True)
class Some:
    """The users who join at one moment, and the share of activity of its day."""

    count: int
    at: datetime
    liveliness: float


class Crowd:
    def __init__(self, hashed: str | None, today: datetime, zone: tzinfo) -> None:
        self._hashed, self._today, self._zone = hashed, today, zone
        # Reproducible pages are not wanted here, and nothing secret depends on it.
        self._random = random.Random()  # noqa: S311
        self._ids: list[int] = []
        self._number = 0
        self._roles: dict[str, int] = {}
        self.added = 0
        self._active: dict[tuple[str, str], int] = {}

    def begin(self, work: Work) -> None:
        """Create the administrator, unless it exists, and read the existing data."""
        self._roles = {role.name: role.id for role in work.session.scalars(select(Role))}
        self._number = work.session.scalar(select(func.max(User.id))) or 0
        kept = select(Statistic.name, Statistic.period, Statistic.value).where(Statistic.name.in_(ACTIVE))
        self._active = {(name, period): value for name, period, value in work.session.execute(kept)}
        if not work.session.scalar(select(User.id).where(User.email == ADMIN)):
            (user_id,) = self._insert(
                work, [self._person("Demo Administrator", ADMIN, self._today - timedelta(days=DAYS))]
            )
            work.session.execute(insert(user_roles), [{"user_id": user_id, "role_id": self._roles[ADMINISTRATOR]}])

    def batches(self, count: int) -> Iterator[Some]:
        """Return the days of the year with their sign-ups: growing, and few at weekends."""
        today = self._today.astimezone(self._zone).date()
        days = [self._time_on(today - timedelta(days=ago)) for ago in reversed(range(DAYS))]
        lively = [WEEK[at.astimezone(self._zone).weekday()] * self._random.uniform(0.8, 1.2) for at in days]
        weights = [(1 + 3 * number / DAYS) * lively[number] for number in range(DAYS)]
        joining = Counter(self._random.choices(range(DAYS), weights, k=count))
        for number, at in enumerate(days):
            yield Some(joining[number], at, lively[number])

    def _time_on(self, day: date) -> datetime:
        at = datetime.combine(day, time(hour=8), self._zone) + timedelta(hours=12 * self._random.random())
        return min(at.astimezone(UTC), self._today)

    def visit(self) -> Visit:
        """Return a browser with an address reserved for documentation (RFC 5737)."""
        network = self._random.choice(("192.0.2", "198.51.100", "203.0.113"))
        return Visit(address=f"{network}.{self._random.randint(1, 254)}", user_agent=self._random.choice(BROWSERS))

    def add(self, work: Work, batch: Some) -> None:
        work.clock = lambda: batch.at
        people = [self._stranger(batch.at) for _ in range(batch.count)]
        ids = self._insert(work, people)
        self._ids += ids
        self.added += len(ids)
        self._count_active(batch)
        member, managers = self._roles[MEMBER], self._roles.get("manager")
        pairs = [{"user_id": user_id, "role_id": member} for user_id in ids]
        if managers and len(self._ids) - len(ids) < 3:
            pairs += [{"user_id": user_id, "role_id": managers} for user_id in ids[:3]]
        insert_rows(work.session, user_roles, pairs)
        self._record_events(work, dict(zip(ids, people, strict=True)))
        if self._today - batch.at < timedelta(days=LIVELY_DAYS):
            self._leave_traces(work, dict(zip(ids, people, strict=True)), batch.at)

    def _count_active(self, batch: Some) -> None:
        """Add the numbers that the job would have counted at the end of this day; it counts today's itself."""
        day = batch.at.astimezone(self._zone).date()
        if day == self._today.astimezone(self._zone).date():
            return
        for name, span in ACTIVE.items():
            # The longer a span, the less its days differ.
            value = SEEN_WITHIN[span.days] * len(self._ids) * (1 + (batch.liveliness - 1) / span.days)
            self._active[name, day.isoformat()] = self._active.get((name, day.isoformat()), 0) + round(value)

    def activity(self) -> list[dict[str, Any]]:
        """Return the rows of Statistic for active users, including those of an earlier run."""
        return [{"name": name, "period": day, "value": value} for (name, day), value in self._active.items()]

    def _stranger(self, at: datetime) -> dict[str, Any]:
        self._number += 1
        name = f"{self._random.choice(FIRST)} {self._random.choice(LAST)}"
        plain = unicodedata.normalize("NFKD", name.lower().replace("ø", "o")).encode("ascii", "ignore").decode()
        person = self._person(name, f"{plain.replace(' ', '.')}.{self._number}@example.com", at)
        chance = self._random.random()
        if chance < 0.02:
            person |= {"is_active": False, "deactivated_at": at, "deactivation_reason": self._random.choice(REASONS)}
        elif chance < 0.1 and self._today - at < timedelta(days=5):
            person |= {"email_verified_at": None, "last_seen_at": None}
        return person

    def _person(self, name: str, email: str, at: datetime) -> dict[str, Any]:
        share = self._random.random()
        days = next((days for days, part in SEEN_WITHIN.items() if share < part), DAYS)
        seen = max(at, self._today - timedelta(days=days) * self._random.random())
        return {
            "email": email,
            "name": name,
            "hashed_password": self._hashed,
            "email_verified_at": at,
            "last_seen_at": seen,
            "created_at": at,
            "updated_at": at,
        }

    def _insert(self, work: Work, people: list[dict[str, Any]]) -> list[int]:
        ids = next_ids(work.session, User, len(people))
        for user_id, user in zip(ids, people, strict=True):
            user["id"] = user_id
        insert_rows(work.session, User, people)
        words = [
            {"user_id": person["id"], "word": word}
            for person in people
            for word in words_of(searched_text(person["name"], person["email"]))
        ]
        insert_rows(work.session, UserWord, words)
        return ids

    def _record_events(self, work: Work, people: dict[int, dict[str, Any]]) -> None:
        """Record the events of this moment: those of new users, and sign-ins of earlier ones."""
        work.audit.record_all("user.registered", [(user_id, {}) for user_id in people], by_themselves=True)
        confirmed: list[tuple[int, dict[str, Any]]] = [
            (user_id, {}) for user_id, person in people.items() if person["email_verified_at"]
        ]
        work.audit.record_all("user.verified", confirmed, by_themselves=True)
        for user_id, person in people.items():
            if "deactivated_at" in person:
                work.audit.record(
                    "user.deactivated", subject_id=user_id, reason=person["deactivation_reason"], until=None
                )
        back = self._random.sample(self._ids, self._returning(len(people)))
        work.audit.record_all(
            "session.started", [(user_id, {"method": "password"}) for user_id in back], by_themselves=True
        )
        wrong = back[: len(back) // 12 + (self._random.random() < 0.1)]
        work.audit.record_all("session.refused", [(user_id, {}) for user_id in wrong])

    def _returning(self, joining: int) -> int:
        """Return how many users sign in on a day: 3 % of all, limited for large numbers."""
        expected = min(0.03 * len(self._ids), max(60, 1.5 * joining)) * self._random.uniform(0.6, 1.4)
        return min(len(self._ids), int(expected + self._random.random()))

    def _leave_traces(self, work: Work, people: dict[int, dict[str, Any]], at: datetime) -> None:
        """Create sessions of recently seen users, and the jobs and emails that confirmed addresses."""
        active = [
            user_id for user_id, person in people.items() if person["last_seen_at"] and "deactivated_at" not in person
        ]
        others = self._random.sample(self._ids, min(len(self._ids), 2 * len(people)))
        insert_rows(work.session, Session, [self._session(user_id, at) for user_id in {*active, *others}])
        jobs = [
            self._job(job_id, user_id, at)
            for job_id, user_id in zip(next_ids(work.session, Job, len(people)), people, strict=True)
        ]
        insert_rows(work.session, Job, jobs)
        mails = [self._mail(job["id"], job["owner_id"], people[job["owner_id"]]["email"], at) for job in jobs]
        insert_rows(work.session, SentMail, mails)

    def _session(self, user_id: int, at: datetime) -> dict[str, Any]:
        visit, span = self.visit(), timedelta(days=30)
        ending: dict[str, Any] = {"ended_at": at + timedelta(hours=1), "end_reason": "signed_out"}
        return {
            **(ending if self._random.random() < 0.5 else {}),
            "user_id": user_id,
            "token_hash": token_hash(new_token()),
            "address": visit.address,
            "user_agent": visit.user_agent,
            "remembered": True,
            "created_at": at,
            "last_seen_at": at,
            "confirmed_at": at,
            "idle_seconds": int(span.total_seconds()),
            "expires_at": at + 3 * span,
        }

    def _job(self, job_id: int, user_id: int, at: datetime) -> dict[str, Any]:
        task = SendConfirmation(user_id=user_id)
        is_dead = self._random.random() < 0.01
        return {
            "id": job_id,
            "kind": task.kind,
            "arguments": task.arguments(),
            "queue": task.queue,
            "state": JobState.DEAD if is_dead else JobState.DONE,
            "run_after": at,
            "attempts": 1,
            "max_attempts": task.max_attempts,
            "outcome": "550 5.1.1 No such mailbox" if is_dead else None,
            "owner_id": user_id,
            "created_at": at,
            "started_at": at,
            "claimed_at": at,
            "finished_at": at + timedelta(seconds=1),
        }

    def _mail(self, job_id: int, user_id: int, email: str, at: datetime) -> dict[str, Any]:
        return {
            "job_id": job_id,
            "user_id": user_id,
            "kind": "verify_email",
            "recipient": email,
            "subject": "Confirm your email address",
            "message_id": f"<{new_token()}@example.com>",
            "status": MailStatus.SENT,
            "answer": "250 2.0.0 OK",
            "created_at": at,
            "sent_at": at + timedelta(seconds=1),
        }
