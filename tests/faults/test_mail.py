"""A mail server that is away, refuses, delays or hangs: the jobs and the records of mails say what happened."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from app.models import Job, JobState, MailStatus
from app.tasks import SendPasswordReset
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
    """With a worker, and little patience for mail servers."""
    _deployment.empty(sqlite_template)
    return _deployment


@pytest.fixture
def send(deployment):
    """Enqueue a mail to Ada; returns the job's id."""

    def enqueue():
        ada = deployment.add_user(ADA, password="a quieter harbour")
        with deployment.work() as work:
            return work.enqueue(SendPasswordReset(user_id=ada))

    return enqueue


def put_off(deployment, job_id):
    """The job, once its first try has failed."""
    return until(lambda: job if (job := deployment.job(job_id)).outcome else None)


def try_again(deployment, job_id):
    """Let the time pass until the next try, and have the job queue look."""
    with deployment.work() as work:
        work.session.execute(update(Job).where(Job.id == job_id).values(run_after=datetime.now(UTC)))
        work.job_queue.rescue()
    return ended(deployment, job_id)


def ended(deployment, job_id):
    return until(lambda: job if (job := deployment.job(job_id)).finished_at else None)


def test_while_the_mail_server_is_away_a_mail_waits_and_then_goes_out(deployment, smtp_server, send):
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


def test_a_mail_that_is_refused_for_good_is_not_tried_again_and_says_why(deployment, smtp_server, send):
    smtp_server.answers = ["550 5.1.1 nobody of that name"]

    dead = ended(deployment, send())

    assert (dead.state, dead.attempts) == (JobState.DEAD, 1)
    assert dead.outcome == "the mail server refused the email: 550 5.1.1 nobody of that name"
    (record,) = deployment.mails()
    assert (record.status, record.answer) == (MailStatus.REFUSED, "550 5.1.1 nobody of that name")
    assert smtp_server.received == []


def test_a_mail_that_is_put_off_goes_out_later_as_the_same_mail(deployment, smtp_server, send):
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


def test_a_mail_server_that_never_answers_is_given_up_on_and_asked_again(deployment, smtp_server, send):
    smtp_server.hold(ADA)

    late = put_off(deployment, send())
    assert late.outcome.startswith("the mail server did not accept the email yet")
    assert [mail.status for mail in deployment.mails()] == [MailStatus.DELAYED]
    smtp_server.release()
    done = try_again(deployment, late.id)

    assert done.state == JobState.DONE
    assert {mail.message_id for mail in smtp_server.received} == {deployment.mails()[0].message_id}
    assert [mail.status for mail in deployment.mails()] == [MailStatus.SENT]
