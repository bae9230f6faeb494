"""Jobs that need attention."""

from collections.abc import Iterator

from flask import url_for

from app.admin.notices import Notice, counted
from app.core.extensions import now
from app.jobs.models import JobState
from app.jobs.notifier import notifier
from app.jobs.services.queue import OVERDUE
from app.unit_of_work import Work


def find_job_notices(services: Work) -> Iterator[Notice]:
    url = url_for("admin.jobs")
    workers = notifier.find_workers()
    if notifier.connection is None:
        yield Notice("warning", "No queue is set, so jobs start with a delay. Set REDIS_URL.", url)
    elif workers is None:
        yield Notice("error", "Can't reach the queue (Redis or Valkey). Jobs wait until it is back.", url)
    elif not workers.list_alive(now(), busy=services.job_board.busy_workers()):
        yield Notice("warning", "No worker is running. Emails and other jobs wait.", url)
    elif workers.last_run_at is None:
        yield Notice("warning", "The schedule is not running. Scheduled jobs and retries wait.", url)
    if dead := services.job_board.count_dead():
        text = f"{counted(dead, 'job')} failed after all attempts."
        yield Notice("error", text, url_for("admin.jobs", state=JobState.DEAD))
    if overdue := services.job_queue.count_overdue(by=OVERDUE):
        text = f"{counted(overdue, 'job')} should have started more than {OVERDUE.seconds // 60} minutes ago."
        yield Notice("warning", text, url_for("admin.jobs", state=JobState.WAITING))
