"""Jobs: emails through a real SMTP server, retries, housekeeping, and what must never leave the deployment."""

import json
import os
import re
import signal
import ssl
import threading
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from flask import g
from rq import Queue
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import OperationalError

from app.auth.emails.sign_in import SendPasswordChanged
from app.auth.models import OneTimeLink, Session, Throttle
from app.auth.tasks import PurgeUnconfirmed
from app.core.errors import JobFailed, LeaseLost
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.core.redis_client import connect
from app.factor_resets.models import FactorReset
from app.features import load_features
from app.jobs import registry
from app.jobs.models import Job
from app.jobs.rq_workers import Pool, Worker
from app.jobs.schedule import ENOUGH, Rounds, tick
from app.jobs.tasks import NoOperation, Task
from app.jobs.worker import UNKNOWN, perform
from app.mail.models import SentMail
from app.ops.tasks import PurgeExpired
from app.unit_of_work import unit_of_work
from app.users.models import EmailChange, User
from tests.support.browser import Browser
from tests.support.deployment import until
from tests.support.mailbox import work_off
from tests.support.smtp_server import running_smtp_server
from tests.support.workspace import CERTIFICATE, KEY

SCHEDULE = load_features().schedule


def rows(app, model):
    with app.app_context():
        return list(db.session.scalars(select(model).order_by(model.id)))


def count(app, model):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model))


def enqueue(app, *tasks):
    with app.app_context(), unit_of_work() as work:
        return [work.enqueue(task) for task in tasks]


# ── over SMTP ──


@pytest.fixture
def posting_app(keep_app, smtp_server):
    """The application with a mail server."""
    return keep_app(mail_url=smtp_server.url, mail_from="The Gate <gate@gatehouse.test>", mail_timeout_seconds=5)


@pytest.fixture
def poster(posting_app):
    return Browser(posting_app)


def test_delivered_email_is_recorded(posting_app, poster, smtp_server):
    poster.register("new@example.com")
    work_off(posting_app)

    (mail,) = smtp_server.received
    assert (mail.to, mail.sender) == ("new@example.com", "The Gate <gate@gatehouse.test>")
    assert mail.html
    assert mail.text
    (envelope,) = smtp_server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("gate@gatehouse.test", ["new@example.com"])
    assert b"Auto-Submitted: auto-generated" in envelope.content
    (record,) = rows(posting_app, SentMail)
    assert (record.status, record.recipient, record.kind) == ("sent", "new@example.com", "verify_email")
    assert record.message_id == mail.message_id
    assert mail.link not in str(vars(record))
    assert rows(posting_app, Job)[0].state == "done"


def test_deferred_email_is_sent_later_with_the_same_message_id_and_link(posting_app, poster, smtp_server, clock):
    smtp_server.answers += ["451 try again later", "451 try again later"]
    poster.register("new@example.com")
    work_off(posting_app)
    (job,), (record,) = rows(posting_app, Job), rows(posting_app, SentMail)
    assert (job.state, job.attempts, record.status) == ("waiting", 1, "delayed")
    assert "451 try again later" in job.outcome
    first_id, first_link = record.message_id, rows(posting_app, OneTimeLink)[0].token_hash

    for _ in range(2):
        clock.advance(minutes=5)
        work_off(posting_app)

    (mail,) = smtp_server.received
    assert mail.message_id == first_id
    assert [link.token_hash for link in rows(posting_app, OneTimeLink)] == [first_link]
    assert poster.verify_email(mail.link).status_code == 302


def test_permanently_refused_email_is_dead_at_once_and_shown(posting_app, poster, smtp_server):
    smtp_server.refuses["new@example.com"] = "550 no such user here"
    poster.register("new@example.com")
    work_off(posting_app)

    (job,), (record,) = rows(posting_app, Job), rows(posting_app, SentMail)
    assert (job.state, job.attempts, record.status) == ("dead", 1, "refused")
    assert "550 no such user here" in job.outcome
    assert "550 no such user here" in record.answer


def test_permanently_refused_content_is_dead_too(posting_app, poster, smtp_server):
    smtp_server.answers.append("554 this looks like spam")
    poster.register("new@example.com")
    work_off(posting_app)

    assert rows(posting_app, Job)[0].state == "dead"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("goodbye", ["421 too busy to say goodbye", "500 what?", "hang up"])
def test_accepted_email_counts_as_sent_whatever_quit_returns(posting_app, poster, smtp_server, goodbye):
    smtp_server.goodbye = goodbye
    poster.register("new@example.com")
    work_off(posting_app)

    assert [job.state for job in rows(posting_app, Job)] == ["done"]
    assert len(smtp_server.received) == 1


@pytest.mark.databases("sqlite")
def test_email_is_ascii_on_the_wire(make_app, smtp_server):
    app = make_app(mail_url=smtp_server.url, site_name="Gäte 毛", mail_from="“Zoë, Inc.”; a: b <post@bücher.example>")
    Browser(app).register("new@example.com")
    work_off(app)

    (envelope,), (mail,) = smtp_server.envelopes, smtp_server.received
    assert envelope.content.isascii()
    assert envelope.mail_from == "post@xn--bcher-kva.example"
    assert mail.sender == '"“Zoë, Inc.”; a: b" <post@xn--bcher-kva.example>'
    assert "Gäte 毛" in mail.text


@pytest.mark.settings(mails_per_address_per_hour=1)
def test_deferred_email_does_not_use_up_its_own_quota(posting_app, poster, smtp_server, clock):
    smtp_server.answers += ["451 try again later"]
    poster.register("new@example.com")
    work_off(posting_app)
    clock.advance(minutes=5)
    work_off(posting_app)

    assert len(smtp_server.received) == 1
    assert [record.status for record in rows(posting_app, SentMail)] == ["sent"]


def waits_for_a_lock(database_url):
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ).fetchone()[0]


@pytest.mark.settings(mails_per_address_per_hour=1)
@pytest.mark.databases("postgresql")
def test_quota_of_an_address_is_counted_under_a_lock(app, database_url):
    first, second = enqueue(app, NoOperation(), NoOperation())
    mail = {"kind": "x", "recipient": "ada@example.com"}
    answers = []

    def ask():
        with app.app_context(), unit_of_work() as work:
            answers.append(work.mail_quota.is_below_quota(second, **mail))

    other = threading.Thread(target=ask)
    with app.app_context(), unit_of_work() as work:
        assert work.mail_quota.is_below_quota(first, **mail)
        work.mail_quota.open(job_id=first, user_id=None, subject="x", domain="x", **mail)
        other.start()
        until(lambda: answers or waits_for_a_lock(database_url))
        assert answers == []
    other.join()
    assert answers == [False]


@pytest.mark.databases("sqlite")
def test_email_is_sent_after_a_day_of_refusals(posting_app, poster, people, smtp_server, clock):
    person = people.add("ada@example.com", name="Ada")
    smtp_server.answers += ["451 greylisted"] * 30
    with posting_app.app_context(), unit_of_work() as work:
        event_id = work.audit.record("password.changed", subject_id=person.id)
        work.enqueue(SendPasswordChanged(user_id=person.id, event_id=event_id))
    for _ in range(31):
        work_off(posting_app)
        clock.advance(hours=1.25)  # The longest wait is 1.2 hours.

    assert [(job.state, job.attempts) for job in rows(posting_app, Job)] == [("done", 31)]
    assert len(smtp_server.received) == 1


@pytest.mark.databases("sqlite")
def test_reset_email_is_dropped_when_its_link_has_expired(posting_app, poster, people, smtp_server, clock):
    people.add("ada@example.com")
    smtp_server.answers += ["451 greylisted"]
    poster.forgot_password("ada@example.com")
    work_off(posting_app)
    clock.advance(minutes=61)
    work_off(posting_app)

    (job,) = rows(posting_app, Job)
    assert (job.state, smtp_server.received) == ("done", [])
    assert job.outcome == "the link was used, has expired, or was replaced"


@pytest.mark.databases("sqlite")
def test_newer_link_makes_an_older_email_unnecessary(posting_app, poster, people, smtp_server, clock):
    people.add("ada@example.com")
    smtp_server.answers += ["451 greylisted"]
    poster.forgot_password("ada@example.com")
    work_off(posting_app)
    poster.forgot_password("ada@example.com")
    work_off(posting_app)
    clock.advance(minutes=5)
    work_off(posting_app)

    (mail,) = smtp_server.received
    assert poster.reset_password(mail.link, "a louder harbour today").status_code == 302


def test_user_erased_during_delivery_causes_no_error(posting_app, poster, people, monkeypatch, log):
    people.add("ada@example.com")
    poster.forgot_password("ada@example.com")

    def send(*_, **__):
        with posting_app.app_context(), unit_of_work() as work:
            work.users.erase(work.users.get_by_email("ada@example.com"), by=OPERATOR)
        return "accepted"

    monkeypatch.setattr("app.jobs.worker.send", send)
    work_off(posting_app)

    assert [job.state for job in rows(posting_app, Job)] == ["done"]
    assert rows(posting_app, SentMail) == []
    assert "Traceback" not in log.text


@pytest.mark.databases("sqlite")
def test_unreachable_mail_server_is_retried(make_app):
    app = make_app(mail_url="smtp://127.0.0.1:1", mail_timeout_seconds=1)
    Browser(app).register("new@example.com")
    work_off(app)

    (job,) = rows(app, Job)
    assert (job.state, job.outcome) == (
        "waiting",
        "the mail server did not accept the email yet: ConnectionRefusedError",
    )


@pytest.mark.databases("sqlite")
def test_production_without_a_mail_server_keeps_emails_waiting(make_app):
    app = make_app(
        environment="production", base_url="https://gatehouse.test", argon2_memory_kib=19456, argon2_time_cost=2
    )
    Browser(app).register("new@example.com")
    work_off(app)

    (job,) = rows(app, Job)
    assert (job.state, job.outcome) == ("waiting", "the mail server did not accept the email yet: MAIL_URL is not set")


@pytest.mark.databases("sqlite")
def test_unusual_name_cannot_break_a_header(make_app, smtp_server, people):
    app = make_app(mail_url=smtp_server.url, site_name='Gäte, "Deployment" <x@y>')
    people.add("ada@example.com", name="Ada, Countess <of> Lovelace")
    Browser(app).forgot_password("ada@example.com")
    work_off(app)

    (mail,) = smtp_server.received
    assert mail.subject == 'Reset your Gäte, "Deployment" <x@y> password'
    assert "Hello Ada, Countess <of> Lovelace," in mail.text
    assert "Ada, Countess &lt;of&gt; Lovelace" in mail.html


# ── TLS ──


def server_context():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def outcome_of_a_mail(make_app, mail_url):
    app = make_app(mail_url=mail_url, mail_timeout_seconds=5)
    Browser(app).register("new@example.com")
    work_off(app)
    (job,) = rows(app, Job)
    return job.state, job.outcome


@pytest.mark.databases("sqlite")
def test_server_without_tls_gets_no_email(make_app, smtp_server):
    state, outcome = outcome_of_a_mail(make_app, f"{smtp_server.url}?starttls=always")

    assert state == "waiting"
    assert "STARTTLS" in outcome
    assert smtp_server.received == []


@pytest.mark.databases("sqlite")
def test_server_with_an_untrusted_certificate_gets_no_email(make_app):
    with running_smtp_server(tls_context=server_context(), require_starttls=True) as server:
        state, outcome = outcome_of_a_mail(make_app, f"smtp://localhost:{server.port}?starttls=always")

    assert (state, server.received) == ("waiting", [])
    assert "SSLCertVerificationError" in outcome


@pytest.mark.databases("sqlite")
def test_server_with_a_trusted_certificate_is_used_with_tls(make_app, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with running_smtp_server(tls_context=server_context(), require_starttls=True) as server:
        assert outcome_of_a_mail(make_app, f"smtp://localhost:{server.port}?starttls=always")[0] == "done"
        assert len(server.received) == 1


@pytest.mark.databases("sqlite")
def test_certificate_for_another_name_is_refused(make_app, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with running_smtp_server(tls_context=server_context(), require_starttls=True) as server:
        state, outcome = outcome_of_a_mail(make_app, f"smtp://127.0.0.1:{server.port}?starttls=always")

    assert state == "waiting"
    assert "SSLCertVerificationError" in outcome


@pytest.mark.databases("sqlite")
def test_smtps_uses_tls_from_the_first_byte(make_app, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with running_smtp_server(ssl_context=server_context()) as server:
        assert outcome_of_a_mail(make_app, f"smtps://localhost:{server.port}")[0] == "done"
        assert len(server.received) == 1


@pytest.fixture
def guarded_server(monkeypatch):
    """An SMTP server that accepts emails only from the user `gate`."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with running_smtp_server(
        tls_context=server_context(), require_starttls=True, auth_required=True, password_of={"gate": "p@ss/word"}
    ) as server:
        yield server


@pytest.mark.databases("sqlite")
def test_mail_server_gets_our_host_name(make_app, guarded_server):
    url = f"smtp://gate:p%40ss%2Fword@localhost:{guarded_server.port}?starttls=always"

    assert outcome_of_a_mail(make_app, url)[0] == "done"


@pytest.mark.databases("sqlite")
def test_email_waits_while_mail_credentials_are_wrong(make_app, guarded_server):
    url = f"smtp://gate:hunter2@localhost:{guarded_server.port}?starttls=always"
    state, outcome = outcome_of_a_mail(make_app, url)

    assert state == "waiting"
    assert "535" in outcome
    assert "hunter2" not in outcome


# ── running jobs ──


@pytest.mark.databases("sqlite", "postgresql")
def test_job_runs_once_for_repeated_calls(app, client, mailbox):
    client.register("new@example.com")
    (job,) = rows(app, Job)

    for _ in range(3):
        with app.app_context():
            perform(job.id)

    assert len(mailbox.all()) == 1
    assert rows(app, Job)[0].attempts == 1


def test_call_for_a_missing_job_is_no_error(app):
    with app.app_context():
        perform(999999999)


def test_failed_job_stores_only_the_kind_of_error(app, monkeypatch):
    def fail(work, task, claim):
        raise RuntimeError("a secret that someone typed")

    monkeypatch.setitem(registry.HANDLERS, NoOperation, fail)
    (job_id,) = enqueue(app, NoOperation())

    with app.app_context(), pytest.raises(JobFailed, match=f"^job {job_id}$"):
        perform(job_id)

    (job,) = rows(app, Job)
    assert (job.state, job.outcome) == ("waiting", "failed with RuntimeError")


@pytest.fixture
def full_disk(monkeypatch):
    """Let the database refuse the next writes to a table, as often as the test says."""
    left = Counter()

    def refuse(connection, cursor, statement, *_):
        for table in [table for table in left if statement.startswith(f"UPDATE {table} ") and left[table]]:
            left[table] -= 1
            raise OperationalError(statement, {}, Exception("disk full"))

    monkeypatch.setattr("app.jobs.worker.RECORD_AGAIN_SECONDS", 0)
    event.listen(Engine, "before_cursor_execute", refuse)
    yield left
    event.remove(Engine, "before_cursor_execute", refuse)


@pytest.mark.databases("sqlite", "postgresql")
def test_job_outcome_is_stored_once_the_disk_has_room(app, monkeypatch, log, full_disk):
    def fail(work, task, claim):
        full_disk["jobs"] = 3
        raise RuntimeError

    monkeypatch.setitem(registry.HANDLERS, NoOperation, fail)
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context(), pytest.raises(JobFailed):
        perform(job_id)

    (job,) = rows(app, Job)
    assert (job.state, job.attempts, job.outcome) == ("waiting", 1, "failed with RuntimeError")
    assert log.text.count("the end of a job cannot be stored yet") == 3


@pytest.mark.databases("sqlite", "postgresql")
def test_email_is_sent_once_despite_a_full_disk(app, poster, posting_app, smtp_server, full_disk):
    poster.register("new@example.com")
    full_disk["sent_mails"] = 2
    work_off(posting_app)

    assert full_disk["sent_mails"] == 0
    assert len(smtp_server.received) == 1
    assert [mail.status for mail in rows(app, SentMail)] == ["sent"]
    assert [job.state for job in rows(app, Job)] == ["done"]


def test_stopping_worker_does_not_wait_for_a_full_disk(app, monkeypatch, full_disk):
    def fail(work, task, claim):
        full_disk["jobs"] = 1
        g.stops = lambda: True
        raise RuntimeError

    monkeypatch.setitem(registry.HANDLERS, NoOperation, fail)
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context(), pytest.raises(OperationalError):
        perform(job_id)

    assert rows(app, Job)[0].state == "running"


@pytest.mark.databases("sqlite", "postgresql")
def test_writes_of_a_failed_job_are_rolled_back(app, monkeypatch, ada):
    def fail(work, task, claim):
        work.users.change_fields(work.users.get(ada.id), {"name": "Half done"}, by=OPERATOR)
        work.enqueue(PurgeExpired())
        raise RuntimeError

    monkeypatch.setitem(registry.HANDLERS, NoOperation, fail)
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context(), pytest.raises(JobFailed):
        perform(job_id)

    assert rows(app, User)[0].name == "Ada Lovelace"
    assert [job.kind for job in rows(app, Job)] == ["no_operation"]


@pytest.mark.databases("sqlite", "postgresql")
def test_worker_that_lost_its_lease_rolls_back(app, monkeypatch, ada, clock):
    def oversleep(work, task, claim):
        work.users.change_fields(work.users.get(ada.id), {"name": "Too late"}, by=OPERATOR)
        raise LeaseLost

    monkeypatch.setitem(registry.HANDLERS, NoOperation, oversleep)
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context():
        perform(job_id)

    assert rows(app, User)[0].name == "Ada Lovelace"
    (job,) = rows(app, Job)
    assert (job.state, job.attempts) == ("running", 1)


def test_job_of_a_newer_version_waits_for_workers_that_know_it(app):
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context(), unit_of_work() as work:
        work.job_board.get(job_id).kind = "fly_to_the_moon"
    with app.app_context():
        perform(job_id)

    job = rows(app, Job)[0]
    assert (job.state, job.outcome) == ("waiting", UNKNOWN)


@pytest.mark.databases("sqlite", "postgresql")
def test_job_is_dead_after_its_last_attempt_and_can_be_retried(app, monkeypatch, clock, flask):
    def fail(work, task, claim):
        raise ValueError

    (job_id,) = enqueue(app, NoOperation())
    with monkeypatch.context() as broken:
        broken.setitem(registry.HANDLERS, NoOperation, fail)
        for _ in range(8):
            work_off(app)
            clock.advance(hours=2)
    assert rows(app, Job)[0].state == "dead"
    assert "dead" in flask("jobs", "list", "--state", "dead").output
    assert "dead jobs: 1" in flask("doctor").output

    assert flask("jobs", "retry", str(job_id)).exit_code == 0
    work_off(app)

    assert rows(app, Job)[0].state == "done"


def test_failed_attempt_stores_where_it_failed_without_data(app, monkeypatch):
    def fail(work, task, claim):
        secret = "hunter2"
        raise ValueError(secret)

    monkeypatch.setitem(registry.HANDLERS, NoOperation, fail)
    enqueue(app, NoOperation())
    work_off(app)

    (job,) = rows(app, Job)
    assert job.outcome == "failed with ValueError"
    assert job.traceback.splitlines()[-1].startswith("tests/integration/test_jobs.py:")
    assert job.traceback.splitlines()[-1].endswith(" in fail")
    assert "app/jobs/worker.py:" in job.traceback
    assert "hunter2" not in str(vars(job))


# ── tasks in steps ──


@pytest.fixture
def rename_ten_times(app, ada, monkeypatch):
    """A task that renames Ada in ten steps; `between` runs after each."""
    between = SimpleNamespace(call=lambda number: None)

    def rename(run, task):
        first = (run.claim.position or {"next": 1})["next"]
        for number in range(first, 11):
            with run.step() as work:
                work.users.change_fields(work.users.get(ada.id), {"name": f"Ada {number}"}, by=OPERATOR)
                work.progress(number, 10, position={"next": number + 1})
            between.call(number)
        return "renamed"

    monkeypatch.delitem(registry.HANDLERS, NoOperation)
    monkeypatch.setitem(registry.STEPPED, NoOperation, rename)
    return between


def name_of(app, person):
    with app.app_context():
        return db.session.get(User, person.id).name


@pytest.mark.databases("sqlite", "postgresql")
def test_each_step_is_committed_before_the_next_starts(app, ada, rename_ten_times, clock, flask):
    seen = []

    def look(number):
        clock.advance(seconds=2)
        shown = json.loads(flask("jobs", "show", str(job_id), "--json").stdout)
        seen.append((name_of(app, ada), shown["progress"]["percent"]))

    rename_ten_times.call = look
    (job_id,) = enqueue(app, NoOperation())
    work_off(app)

    assert seen == [(f"Ada {number}", 10 * number) for number in range(1, 11)]
    (job,) = rows(app, Job)
    assert (job.state, job.outcome, job.progress_done, job.progress_total) == ("done", "renamed", 10, 10)
    assert job.worker.endswith(f":{os.getpid()}")


@pytest.mark.databases("sqlite", "postgresql")
def test_failed_step_is_rolled_back_and_retried(app, ada, rename_ten_times, clock):
    tried = []

    def fail(number):
        tried.append(number)
        if tried.count(4) and len(tried) == 4:
            raise ValueError

    rename_ten_times.call = fail
    enqueue(app, NoOperation())
    work_off(app)
    assert name_of(app, ada) == "Ada 4"
    clock.advance(minutes=1)
    work_off(app)

    assert tried == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [(job.state, job.attempts) for job in rows(app, Job)] == [("done", 2)]


@pytest.mark.databases("sqlite", "postgresql")
def test_lost_lease_rolls_back_the_step(app, ada, rename_ten_times, clock):
    def oversleep(number):
        if number == 3:
            clock.advance(hours=1)
            with app.app_context(), unit_of_work() as work:
                assert work.job_queue.claim(job_id)

    rename_ten_times.call = oversleep
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context():
        perform(job_id)

    assert name_of(app, ada) == "Ada 3"
    (job,) = rows(app, Job)
    assert (job.state, job.attempts, job.progress_done) == ("running", 2, 3)


@pytest.mark.databases("sqlite", "postgresql")
def test_job_in_steps_is_cancelled_after_its_step_and_resumes_when_retried(app, ada, rename_ten_times, flask):
    def cancel(number):
        if number == 3:
            assert "stops after the current step" in flask("jobs", "cancel", str(job_id)).output

    rename_ten_times.call = cancel
    (job_id,) = enqueue(app, NoOperation())
    work_off(app)

    (job,) = rows(app, Job)
    assert (job.state, job.progress_done, name_of(app, ada)) == ("cancelled", 3, "Ada 3")
    flask("jobs", "retry", str(job_id))
    work_off(app)
    assert name_of(app, ada) == "Ada 10"


def test_stopping_worker_hands_a_job_in_steps_to_another(app, ada, rename_ten_times):
    (job_id,) = enqueue(app, NoOperation())
    with app.app_context():
        g.stops = lambda: True
        perform(job_id)
    (job,) = rows(app, Job)
    assert (job.state, job.progress_done, job.max_attempts - job.attempts) == ("waiting", 1, Task.max_attempts)

    work_off(app)
    (job,) = rows(app, Job)
    assert (job.state, name_of(app, ada)) == ("done", "Ada 10")


def test_following_a_job_draws_a_progress_bar(app, flask):
    (job_id,) = enqueue(app, NoOperation())
    work_off(app)

    shown = flask("jobs", "show", str(job_id), "--follow")

    assert shown.exit_code == 0
    assert f"Job {job_id}" in shown.stderr
    assert flask("jobs", "show", "999999999", "--follow").exit_code == 1


# ── the queue holds only IDs ──


def test_queue_messages_contain_only_ids_as_json(app, client, redis_url):
    client.register("canary@example.com", "a canary in a harbour", name="Canary")

    connection = connect(redis_url)
    (job,) = Queue("urgent", connection=connection, serializer=JSONSerializer).jobs
    assert (job.func_name, job.args, job.kwargs) == ("app.jobs.worker.perform", [rows(app, Job)[0].id], {})
    for key in connection.keys("rq:*"):
        kind = connection.type(key)
        value = connection.hgetall(key) if kind == b"hash" else key
        assert b"canary" not in str(value).lower().encode()
    connection.close()


def test_real_worker_runs_the_job(app, client, mailbox, redis_url):
    client.register("new@example.com")
    connection = connect(redis_url)
    queues = [Queue(name, connection=connection, serializer=JSONSerializer) for name in ("urgent", "default", "bulk")]
    worker = Worker(queues, connection=connection, serializer=JSONSerializer)
    worker.app = app

    worker.work(burst=True, logging_level="WARNING")

    assert rows(app, Job)[0].state == "done"
    assert connection.keys("rq:job:*") == []
    connection.close()


@pytest.mark.parametrize(("processes", "without_bulk"), [(1, []), (2, ["worker 2"]), (3, ["worker 2"])])
def test_one_of_several_workers_takes_no_bulk_jobs(app, redis_url, processes, without_bulk):
    pool = Pool(app, url=redis_url, processes=processes, schedule=True, burst=False)

    queues = {name: part.args[0] for name, part in pool._parts.items() if name.startswith("worker")}

    assert len(queues) == processes
    assert "schedule" in pool._parts
    assert [name for name, names in queues.items() if "bulk" not in names] == without_bulk
    assert all({"urgent", "default"} <= set(queue) for queue in queues.values())


def test_worker_stopped_between_two_jobs_takes_no_other(app, redis_url, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    connection = connect(redis_url)
    worker = Worker([Queue("default", connection=connection)], connection=connection, serializer=JSONSerializer)
    worker.set_state("busy")
    worker.request_stop(signal.SIGTERM, None)  # RQ's loop has already checked whether it must stop.

    with pytest.raises(StopRequested):
        worker.set_state("idle")


def test_failed_request_notifies_no_worker(app, redis_url):
    with app.app_context(), pytest.raises(RuntimeError), unit_of_work() as work:
        work.enqueue(NoOperation())
        raise RuntimeError

    connection = connect(redis_url)
    assert Queue("default", connection=connection, serializer=JSONSerializer).count == 0
    connection.close()
    assert rows(app, Job) == []


# ── schedule and housekeeping ──


@pytest.mark.databases("sqlite", "postgresql")
def test_tick_runs_once_per_period(app, clock):
    clock.now = clock.now.replace(hour=0, minute=10)
    with app.app_context():
        for _ in range(3):
            tick()
        assert count(app, Job) == len(SCHEDULE)
        clock.advance(hours=1)
        tick()

    keys = [job.dedupe_key for job in rows(app, Job)]
    every_hour = [entry for entry in SCHEDULE if entry.every <= timedelta(hours=1)]
    assert len(keys) == len(SCHEDULE) + len(every_hour)
    assert all(re.fullmatch(r"[a-z-]+:\d{4}-\d\d-\d\dT\d\d:\d\d", key) for key in keys)


@pytest.mark.databases("sqlite", "postgresql")
def test_schedule_runs_on_a_new_period_a_forgotten_job_or_after_half_a_minute(app, redis_url, clock):
    clock.now = clock.now.replace(hour=0, minute=11, second=0)
    rounds = Rounds()
    with app.app_context():
        assert rounds.run_if_due()
        assert not rounds.run_if_due()
        clock.advance(seconds=29)
        assert not rounds.run_if_due()
        clock.advance(seconds=1)
        assert rounds.run_if_due()  # Each job was notified of half a minute ago, so none counts as forgotten.

        clock.now = clock.now.replace(minute=14, second=50)
        assert rounds.run_if_due()
        clock.advance(seconds=10)
        assert rounds.run_if_due()  # Periods of five minutes start.

        with unit_of_work() as work:
            job_id = work.enqueue(NoOperation())
            claim = work.job_queue.claim(job_id)
            work.job_queue.retry_later(claim, outcome="not yet")
        assert not rounds.run_if_due()
        clock.advance(seconds=7)
        assert rounds.run_if_due()  # It is due.
        assert not rounds.run_if_due()


def test_long_queue_is_not_notified_again(app, redis_url, clock):
    connection = connect(redis_url)
    with app.app_context():
        with unit_of_work() as work:
            work.enqueue(NoOperation())
        connection.rpush("rq:queue:default", *range(ENOUGH))
        clock.advance(minutes=5)
        assert tick() == 0
        connection.delete("rq:queue:default")
        assert tick() == 1
    connection.close()


@pytest.mark.databases("sqlite", "postgresql")
def test_missed_periods_run_once(app, clock):
    with app.app_context():
        tick()
        clock.advance(days=10)
        tick()

    assert count(app, Job) == 2 * len(SCHEDULE)


@pytest.mark.databases("sqlite", "postgresql")
def test_unconfirmed_accounts_are_deleted_after_a_week_and_others_stay(app, client, ada, mailbox, clock):
    client.register("new@example.com")
    mailbox.all()
    clock.advance(days=6, hours=23)
    client.register("later@example.com")
    clock.advance(hours=2)
    enqueue(app, PurgeUnconfirmed())
    work_off(app)

    assert [user.email for user in rows(app, User)] == ["ada@example.com", "later@example.com"]
    assert "new@example.com" not in str([vars(row) for row in rows(app, SentMail)])


@pytest.mark.databases("sqlite", "postgresql")
def test_purge_continues_in_the_next_transaction(app, clock):
    with app.app_context(), unit_of_work() as work:
        for number in range(1001):
            work.session.add(User(email=f"u{number}@x.example", created_at=clock.now, updated_at=clock.now))
    clock.advance(days=8)
    enqueue(app, PurgeUnconfirmed())

    assert work_off(app) == 1
    assert count(app, User) == 0
    (job,) = rows(app, Job)
    assert (job.outcome, job.progress_done, job.attempts) == ("accounts erased: 1001", 1001, 1)


@pytest.mark.databases("sqlite", "postgresql")
def test_expired_data_is_deleted_and_the_rest_kept(app, client, new_browser, ada, mailbox, clock):
    client.sign_in(ada)
    client.sign_in(ada)
    new_browser().login(ada, "not that harbour")
    client.forgot_password(ada.email)
    mailbox.all()
    with app.app_context(), unit_of_work() as work:
        for confirmed, ended_at in ((None, clock.now), (clock.now, None)):
            change = {"old_email": ada.email, "new_email": "new@example.com", "requested_at": clock.now}
            work.session.add(EmailChange(user_id=ada.id, confirmed_at=confirmed, ended_at=ended_at, **change))
        times = {"begun_at": clock.now, "due_at": clock.now, "ended_at": clock.now}
        work.session.add(FactorReset(user_id=ada.id, reason="Lost.", **times))
    models = (Session, OneTimeLink, Throttle, Job, SentMail, EmailChange, FactorReset)
    kept = {model: count(app, model) for model in models}
    assert all(kept.values()), kept

    enqueue(app, PurgeExpired())
    work_off(app)
    assert {model: count(app, model) for model in kept} == kept | {Job: kept[Job] + 1}

    clock.advance(days=200)
    enqueue(app, PurgeExpired())
    work_off(app)
    assert {model.__name__: count(app, model) for model in kept} == {
        "Session": 0,
        "OneTimeLink": 0,
        "Throttle": 0,
        "Job": 1,
        "SentMail": 0,
        "EmailChange": 0,
        "FactorReset": 0,
    }
    assert client.login(ada).status_code == 302


def test_job_carries_the_request_id_that_enqueued_it(app, client, flask):
    answer = client.forgot_password("nobody@example.com")
    work_off(app)

    (job,) = json.loads(flask("jobs", "list", "--json").output)
    assert job["request_id"] == answer.headers["X-Request-ID"]
