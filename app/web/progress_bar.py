"""A progress bar in the terminal for a job."""

import sys
import time
from datetime import timedelta

import click

from app.core.extensions import db, now
from app.jobs.display import progress_text, situation
from app.jobs.models import Job, JobState
from app.unit_of_work import reading

LOOK_EVERY_SECONDS = 0.5
SHOULD_BEGIN_WITHIN = timedelta(seconds=10)


def follow_job(job_id: int, *, label: str) -> Job:
    """Draw a bar on standard error until the job has ended; returns it. Raises JobNotFound."""
    is_told = False
    with click.progressbar(
        length=100, label=label, show_eta=False, item_show_func=lambda text: text, file=sys.stderr
    ) as bar:
        while True:
            board = reading().job_board
            job = board.get(job_id)
            pace = board.pace(job)
            is_over = job.state not in {JobState.WAITING, JobState.RUNNING}
            bar.update((100 if is_over else pace.percent or 0) - bar.pos, progress_text(job, pace) or situation(job))
            db.session.close()
            if is_over:
                return job
            if job.state == JobState.WAITING and not is_told and now() - job.created_at > SHOULD_BEGIN_WITHIN:
                is_told = True
                click.echo("\nNo worker has started the job. Start one with `flask jobs worker`.", err=True)
            time.sleep(LOOK_EVERY_SECONDS)
