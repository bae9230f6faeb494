"""A mail server that is down, refuses, delays or hangs: jobs and email records say what happened."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from app.auth.emails.sign_in import SendPasswordReset
from app.jobs.models import Job, JobState
from app.mail.models import MailStatus
from tests.support.deployment import until

pytestmark = pytest.mark.slow

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def _deployment(build_once):
    deployment = build_once(mail_timeout_seconds="1")
    deployment.valkey.start()
    deployment.start_worker()
    return deployment


@pytest.fixture
def deployment(_deployment, smtp_server, sqlite_template):
    """A deployment with a worker and short mail timeouts."""
    _deployment.empty(sqlite_template)
    return _deployment


@pytest.fixture
def send(deployment):
    """Enqueue an email to Ada; return the job's ID."""

    def enqueue():
        ada = deployment.add_user(ADA, password="a quieter harbour")
        with deployment.work() as work:
            return work.enqueue(SendPasswordReset(user_id=ada))

    return enqueue


def put_off(deployment, job_id):
    """Return the job after its first attempt has failed."""
    return until(lambda: job if (job := deployment.job(job_id)).outcome else None)


def try_again(deployment, job_id):
    """Move to the next attempt and run the rescue of due jobs."""
    with deployment.work() as work:
        work.session.execute(update(Job).where(Job.id == job_id).values(run_after=datetime.now(UTC)))
        work.job_queue.rescue()
    return ended(deployment, job_id)


def ended(deployment, job_id):
    return until(lambda: job if (job := deployment.job(job_id)).finished_at else None)


def test_email_waits_while_the_mail_server_is_down_and_is_then_sent(deployment, smtp_server, send):
    smtp_server.close()

    late = put_off(deployment, send())

    assert late.state == JobState.WAITING
    assert late.run_after > late.created_at
    assert late.outcome == "the mail server did not accept the email yet: ConnectionRefusedError"
    (record,) = deployment.mails()
    assert (record.status, record.answer, record.sent_at) == (MailStatus.DELAYED, "ConnectionRefusedError", None)

    smtp_server.open()
    done = try_again(deployment, late.id)
    assert (done.state, done.attempts) == (JobState.DONE, 2)
    assert [mail.message_id for mail in smtp_server.received] == [record.message_id]
    assert [mail.status for mail in deployment.mails()] == [MailStatus.SENT]


def test_permanently_refused_email_is_not_retried_and_keeps_the_reason(deployment, smtp_server, send):
    smtp_server.answers = ["550 5.1.1 nobody of that name"]

    dead = ended(deployment, send())

    assert (dead.state, dead.attempts) == (JobState.DEAD, 1)
    assert dead.outcome == "the mail server refused the email: 550 5.1.1 nobody of that name"
    (record,) = deployment.mails()
    assert (record.status, record.answer) == (MailStatus.REFUSED, "550 5.1.1 nobody of that name")
    assert smtp_server.received == []


def test_deferred_email_is_sent_later_with_the_same_message_id(deployment, smtp_server, send):
    smtp_server.answers = ["451 4.7.1 come back later"]

    late = put_off(deployment, send())
    assert late.outcome == "the mail server did not accept the email yet: 451 4.7.1 come back later"
    assert [mail.status for mail in deployment.mails()] == [MailStatus.DELAYED]
    done = try_again(deployment, late.id)

    assert (done.state, done.attempts) == (JobState.DONE, 2)
    first, second = smtp_server.next_arrival(), smtp_server.next_arrival()
    assert first.message_id == second.message_id
    assert first.link == second.link
    assert len(smtp_server.received) == 1
    assert [(mail.status, mail.answer) for mail in deployment.mails()] == [(MailStatus.SENT, "accepted")]


def test_silent_mail_server_times_out_and_is_retried(deployment, smtp_server, send):
    smtp_server.hold(ADA)

    late = put_off(deployment, send())
    assert late.outcome.startswith("the mail server did not accept the email yet")
    assert [mail.status for mail in deployment.mails()] == [MailStatus.DELAYED]
    smtp_server.release()
    done = try_again(deployment, late.id)

    assert done.state == JobState.DONE
    assert {mail.message_id for mail in smtp_server.received} == {deployment.mails()[0].message_id}
    assert [mail.status for mail in deployment.mails()] == [MailStatus.SENT]
